package decisionapi_test

import (
	"encoding/json"
	"flag"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/serving"
	"github.com/quartet-autoscaling/quartet/internal/serving/servingtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// users: an admin, and a tenant who may read decisions in the namespace shop.
var users = map[string]servingtest.User{
	"admin": {Name: "admin", May: func(authorizationv1.SubjectAccessReviewSpec) bool { return true }},
	"tenant": {Name: "tenant", May: func(spec authorizationv1.SubjectAccessReviewSpec) bool {
		asked := spec.ResourceAttributes
		return asked != nil && asked.Group == "hpa.decisions.quartet.dev" && asked.Resource == "decisions" && asked.Namespace == "shop"
	}},
}

func decided(namespace, name string, to int32, ago time.Duration) (decision.Unit, func() decisionapi.Decision) {
	unit := decision.Unit{Kind: "HorizontalPodAutoscaler", Namespace: namespace, Name: name}
	d := decision.Decision[int32, struct{}]{
		Component: "hpa", Unit: unit, At: now.Add(-ago), From: 3, To: to, Act: to != 3,
		Reason: "MetricAboveTarget", Message: "orders-depth wants it",
		Steps: []decision.Step{{Rule: "metric/external", In: "3", Out: "5", Reason: "AboveTarget", Message: "orders-depth is 50, target 10 per replica"}},
	}
	outcome := decision.Outcome{Result: decision.Unneeded}
	if d.Act {
		outcome.Result = decision.Succeeded
	} else {
		d.Reason = "WithinTolerance"
	}
	return unit, func() decisionapi.Decision {
		rendered := decisionapi.Render(d, outcome, nil)
		rendered.BuildVersion = "v0.1.0" // not that of the test's build
		return rendered
	}
}

// serveHPA serves three decisions; leading may be changed while serving.
func serveHPA(t *testing.T, leading *atomic.Pointer[string]) *servingtest.Running {
	t.Helper()
	store := decisionapi.NewStore(decisionapi.StoreConfig{
		Component: "hpa",
		Kind:      "HorizontalPodAutoscaler",
		Clock:     testingclock.NewFakePassiveClock(now),
		Leading: func() (bool, string) {
			if other := leading.Load(); other != nil {
				return false, *other
			}
			return true, "this"
		},
	})
	store.Put(decided("shop", "orders", 5, 12*time.Second))
	store.Put(decided("shop", "baskets", 3, 90*time.Second))
	store.Put(decided("bank", "transfers", 9, time.Hour))
	return servingtest.Run(t, serving.Config{
		Name:       "test",
		Options:    serving.NewOptions(),
		Kubeconfig: servingtest.Start(t, users).Kubeconfig,
	}, func(s *serving.Server) error {
		return decisionapi.InstallGroup(s, decisionapi.GroupName("hpa"), store)
	})
}

const base = "/apis/hpa.decisions.quartet.dev/v1alpha1"

// asTable is what kubectl asks for.
const asTable = "Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

func TestAPI(t *testing.T) {
	var other atomic.Pointer[string]
	running := serveHPA(t, &other)

	t.Run("get", func(t *testing.T) {
		code, body := running.Get(t, base+"/namespaces/shop/decisions/orders", "tenant")
		var got decisionapi.Decision
		if err := json.Unmarshal([]byte(body), &got); err != nil || code != http.StatusOK {
			t.Fatalf("code %d, %v: %s", code, err, body)
		}
		_, render := decided("shop", "orders", 5, 12*time.Second)
		want := render()
		want.APIVersion, want.Kind = "hpa.decisions.quartet.dev/v1alpha1", "Decision"
		want.Namespace, want.Name = "shop", "orders"
		want.At = metav1.NewMicroTime(want.At.UTC())
		got.At = metav1.NewMicroTime(got.At.UTC())
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
	t.Run("discovery names the resource", func(t *testing.T) {
		code, body := running.Get(t, base, "admin")
		var list metav1.APIResourceList
		if err := json.Unmarshal([]byte(body), &list); err != nil || code != http.StatusOK || len(list.APIResources) != 1 {
			t.Fatalf("code %d, %v: %s", code, err, body)
		}
		got := list.APIResources[0]
		want := metav1.APIResource{Name: "decisions", SingularName: "decision", Namespaced: true, Kind: "Decision", Verbs: metav1.Verbs{"get", "list"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})

	for name, tc := range map[string]struct {
		path, token string
		want        int
		wantBody    string
	}{
		"no such decision":            {base + "/namespaces/shop/decisions/none", "tenant", http.StatusNotFound, `decisions.hpa.decisions.quartet.dev \"none\" not found`},
		"another tenant's namespace":  {base + "/namespaces/bank/decisions", "tenant", http.StatusForbidden, "cannot list resource"},
		"all namespaces for a tenant": {base + "/decisions", "tenant", http.StatusForbidden, "cannot list resource"},
		"a field that is not":         {base + "/decisions?fieldSelector=" + url.QueryEscape("colour=red"), "admin", http.StatusBadRequest, "is not one of the fields"},
		"watch is not served":         {base + "/decisions?watch=true", "admin", http.StatusMethodNotAllowed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			code, body := running.Get(t, tc.path, tc.token)
			if code != tc.want || !strings.Contains(body, tc.wantBody) {
				t.Errorf("GET %s = %d %s, want %d with %q", tc.path, code, body, tc.want, tc.wantBody)
			}
		})
	}

	for name, tc := range map[string]struct{ query, want string }{
		"by reason":            {"fieldSelector=reason%3DWithinTolerance", "baskets"},
		"by act":               {"fieldSelector=act%3Dtrue", "transfers orders"},
		"by name and outcome":  {"fieldSelector=metadata.name%3Dorders,outcome%3DSucceeded", "orders"},
		"by a label none has":  {"labelSelector=team%3Dorders", ""},
		"by namespace's field": {"fieldSelector=metadata.namespace%3Dbank", "transfers"},
	} {
		t.Run("list "+name, func(t *testing.T) {
			code, body := running.Get(t, base+"/decisions?"+tc.query, "admin")
			var list decisionapi.DecisionList
			if err := json.Unmarshal([]byte(body), &list); err != nil || code != http.StatusOK {
				t.Fatalf("code %d, %v: %s", code, err, body)
			}
			var got []string
			for _, d := range list.Items {
				got = append(got, d.Name)
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("names = %q, want %q", got, tc.want)
			}
		})
	}

	t.Run("table", func(t *testing.T) {
		_, body := running.Get(t, base+"/decisions", "admin", asTable)
		golden(t, "table.json", body)
	})
	t.Run("a replica that does not lead", func(t *testing.T) {
		holder := "hpa-controller-7d9f_1"
		other.Store(&holder)
		code, body := running.Get(t, base+"/namespaces/shop/decisions/orders", "tenant")
		if code != http.StatusServiceUnavailable || !strings.Contains(body, "the leader is hpa-controller-7d9f_1") {
			t.Errorf("code %d, body %s, want 503 naming the leader", code, body)
		}
		holder = ""
		if code, body := running.Get(t, base+"/decisions", "admin"); code != http.StatusServiceUnavailable || !strings.Contains(body, "not seen a leader yet") {
			t.Errorf("code %d, body %s, want 503", code, body)
		}
	})
}

func golden(t *testing.T, name, body string) {
	t.Helper()
	var parsed any
	if err := json.Unmarshal([]byte(body), &parsed); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	got, err := json.MarshalIndent(parsed, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)+"\n"); diff != "" {
		t.Errorf("%s -want +got:\n%s", path, diff)
	}
}

func TestInstallGroupRefusesAnotherComponentsGroup(t *testing.T) {
	store := decisionapi.NewStore(decisionapi.StoreConfig{Component: "hpa"})
	if err := decisionapi.InstallGroup(nil, decisionapi.GroupName("vpa"), store); err == nil {
		t.Error("InstallGroup() took a store for another component's group")
	}
}
