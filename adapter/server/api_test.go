package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/server/peer"
	"github.com/quartet-autoscaling/quartet/adapter/table"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/serving"
	"github.com/quartet-autoscaling/quartet/internal/serving/servingtest"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// users are the HPA controller, which may read all metrics of namespace shop, an
// administrator, and a tenant that may read one that nothing serves.
var users = map[string]servingtest.User{
	"token-of-hpa": {Name: "hpa", May: func(s authorizationv1.SubjectAccessReviewSpec) bool {
		return s.NonResourceAttributes != nil || (s.ResourceAttributes != nil &&
			strings.HasSuffix(s.ResourceAttributes.Group, ".metrics.k8s.io") && s.ResourceAttributes.Namespace == "shop")
	}},
	"token-of-admin": {Name: "admin", May: func(authorizationv1.SubjectAccessReviewSpec) bool { return true }},
	"token-of-viewer": {Name: "viewer", May: func(s authorizationv1.SubjectAccessReviewSpec) bool {
		return s.ResourceAttributes != nil && s.ResourceAttributes.Namespace == "shop" && s.ResourceAttributes.Resource == "decisions"
	}},
	"token-of-tenant": {Name: "tenant", May: func(s authorizationv1.SubjectAccessReviewSpec) bool {
		// The name is that of an external metric, or follows that of pods.
		return s.ResourceAttributes != nil && s.ResourceAttributes.Namespace == "shop" &&
			(s.ResourceAttributes.Resource == "other-metric" || s.ResourceAttributes.Resource == "pods" && s.ResourceAttributes.Subresource == "other-metric")
	}},
}

type reads map[string]int

func (r reads) Read(result string) { r[result]++ }

// api is the real server in process, reached over its secure port.
type api struct {
	url   string
	table *table.Table
	last  *decisionapi.Store
	clock *clocktesting.FakePassiveClock
	// objects are the cluster's, for selectors.
	objects *cluster
}

func (a *api) providers(t *testing.T, peers *peer.Set) providers {
	t.Helper()
	a.objects = newCluster(t)
	return providers{
		chain:    withReads,
		external: &externalProvider{table: a.table, clock: a.clock, observer: reads{}, peers: peers},
		custom:   &customProvider{table: a.table, objects: a.objects.inventory, clock: a.clock, observer: reads{}},
	}
}

func startAPI(t *testing.T) *api {
	t.Helper()
	return startAPIWith(t, nil)
}

func startAPIWith(t *testing.T, peers *peer.Set) *api {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &api{
		url: "https://" + listener.Addr().String(), table: table.New(), clock: clocktesting.NewFakePassiveClock(epoch),
		last: decisionapi.NewStore(decisionapi.StoreConfig{Component: apiComponent}),
	}
	server, err := newAPI(serving.Config{
		Name: Name, Options: serving.NewOptions(), Listener: listener, Kubeconfig: servingtest.Start(t, users).Kubeconfig,
	}, a.providers(t, peers), a.last)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run() = %v", err)
		}
	})
	servingtest.Eventually(t, "the server answers", func() bool {
		code, _ := a.get(t, "/livez", "")
		return code == http.StatusOK
	})
	return a
}

func (a *api) get(t *testing.T, path, token string, accept ...string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	for _, form := range accept {
		request.Header.Set("Accept", form)
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		//nolint:gosec // the certificate was made by the server itself, a moment ago
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

const group = "/apis/external.metrics.k8s.io/v1beta1"

// ordersServed is what a MetricSource serves that was read at epoch.
func ordersServed() query.Served {
	return query.Served{
		Facts: query.Facts{
			Source: "MetricSource shop/orders (natsJetStream ORDERS/workers)", Created: epoch.Add(-time.Hour),
			MaxAge: time.Minute, SampledAt: epoch,
		},
		Samples: []query.Sample{
			{Metric: "orders-depth", Kind: query.Depth, Value: 0, Labels: map[string]string{"queue": "orders"}},
			{Metric: "orders-rate", Kind: query.ArrivalRate, Value: 12.3456, WindowSeconds: 30},
			{Metric: "orders-wait", Kind: query.SecondsToDrain, Fault: &decision.Fault{
				Source: "MetricSource shop/orders (natsJetStream ORDERS/workers)", Reason: "NoDrain", Message: "20 messages and no drain",
			}},
		},
	}
}

var orders = decision.Unit{Kind: "MetricSource", Namespace: "shop", Name: "orders", UID: "1"}

func TestReads(t *testing.T) {
	a := startAPI(t)
	a.table.Put(orders, ordersServed())
	a.clock.SetTime(epoch.Add(10 * time.Second))

	for name, test := range map[string]struct {
		path, token string
		after       time.Duration
		code        int
		want        []string // within the body
	}{
		"a measured zero, with its own time": {
			path: "/namespaces/shop/orders-depth", code: http.StatusOK,
			want: []string{`"metricName":"orders-depth"`, `"metricLabels":{"queue":"orders"}`, `"timestamp":"2026-03-01T12:00:00Z"`, `"value":"0"`},
		},
		"a rate with its window": {
			path: "/namespaces/shop/orders-rate", code: http.StatusOK,
			want: []string{`"value":"12346m"`, `"window":30`, `"metricLabels":{}`},
		},
		"a selector that matches": {path: "/namespaces/shop/orders-depth?labelSelector=queue%3Dorders", code: http.StatusOK, want: []string{`"value":"0"`}},
		"a selector that does not match": {
			path: "/namespaces/shop/orders-depth?labelSelector=queue%3Dothers", code: http.StatusNotFound,
			want: []string{"queue=orders", "queue=others"},
		},
		"a selector that is none": {path: "/namespaces/shop/orders-depth?labelSelector=%3D%3D%3D", code: http.StatusBadRequest},
		"a name that nothing serves": {
			path: "/namespaces/shop/orders-deep", code: http.StatusNotFound,
			want: []string{`"reason":"NotFound"`, "no MetricSource in namespace shop serves metric orders-deep"},
		},
		"a value that cannot be computed": {
			path: "/namespaces/shop/orders-wait", code: http.StatusServiceUnavailable,
			want: []string{`"reason":"ServiceUnavailable"`, "20 messages and no drain", `"reason":"NoDrain"`},
		},
		"older than maxAge": {
			path: "/namespaces/shop/orders-depth", after: 2 * time.Minute, code: http.StatusServiceUnavailable,
			want: []string{"MetricSource shop/orders (natsJetStream ORDERS/workers)", "2m10s old", "maxAge 1m0s", "no poll has failed", `"reason":"Stale"`},
		},
		"another namespace":                {path: "/namespaces/other/orders-depth", code: http.StatusForbidden},
		"a tenant without the permission":  {path: "/namespaces/shop/orders-depth", token: "token-of-tenant", code: http.StatusForbidden},
		"a tenant with another permission": {path: "/namespaces/shop/other-metric", token: "token-of-tenant", code: http.StatusNotFound},
		"nobody":                           {path: "/namespaces/shop/orders-depth", token: "made-up", code: http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			a.clock.SetTime(epoch.Add(10*time.Second + test.after))
			token := test.token
			if token == "" {
				token = "token-of-hpa"
			}
			code, body := a.get(t, group+test.path, token)
			if code != test.code {
				t.Fatalf("GET %s = %d, want %d: %s", test.path, code, test.code, body)
			}
			for _, want := range test.want {
				if !strings.Contains(body, want) {
					t.Errorf("the body lacks %s:\n%s", want, body)
				}
			}
		})
	}
}

func TestDiscovery(t *testing.T) {
	a := startAPI(t)
	names := func() []string {
		t.Helper()
		code, body := a.get(t, group, "token-of-hpa")
		if code != http.StatusOK {
			t.Fatalf("discovery = %d: %s", code, body)
		}
		var list metav1.APIResourceList
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, r := range list.APIResources {
			if !r.Namespaced || r.Kind != "ExternalMetricValueList" {
				t.Errorf("resource %+v", r)
			}
			out = append(out, r.Name)
		}
		return out
	}
	aggregated := func() string {
		t.Helper()
		code, body := a.get(t, "/apis", "token-of-hpa", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
		if code != http.StatusOK {
			t.Fatalf("aggregated discovery = %d: %s", code, body)
		}
		return body
	}
	if body := aggregated(); !strings.Contains(body, `"resource":"`+placeholder+`"`) {
		t.Errorf("aggregated discovery without any metric: %s", body)
	}
	// An empty list would make kubectl and Helm fail for the whole cluster.
	if diff := cmp.Diff([]string{placeholder}, names()); diff != "" {
		t.Errorf("without any metric (-want +got):\n%s", diff)
	}
	if code, body := a.get(t, group+"/namespaces/shop/"+placeholder, "token-of-hpa"); code != http.StatusNotFound {
		t.Errorf("reading the placeholder = %d: %s", code, body)
	}
	a.table.Put(orders, ordersServed())
	if diff := cmp.Diff([]string{"orders-depth", "orders-rate", "orders-wait"}, names()); diff != "" {
		t.Errorf("with metrics (-want +got):\n%s", diff)
	}
	if body := aggregated(); !strings.Contains(body, `"resource":"orders-wait"`) || strings.Contains(body, placeholder) {
		t.Errorf("aggregated discovery with metrics: %s", body)
	}
	if code, body := a.get(t, "/apis", "token-of-hpa"); code != http.StatusOK || !strings.Contains(body, "external.metrics.k8s.io") {
		t.Errorf("the groups = %d: %s", code, body)
	}
	for _, path := range []string{"/openapi/v2", "/openapi/v3"} {
		if code, body := a.get(t, path, "token-of-hpa"); code != http.StatusOK {
			t.Errorf("GET %s = %d: %s", path, code, body)
		}
	}
}

// TestLastDecisions: explain reads them by the permissions of its user, beside
// the metrics and as any other group.
func TestLastDecisions(t *testing.T) {
	a := startAPI(t)
	a.last.Put(orders, func() decisionapi.Decision {
		return decisionapi.Render(decision.Decision[string, struct{}]{
			Component: query.Component, Unit: orders, At: epoch, To: "orders-depth=7", Reason: "Serving",
		}, decision.Outcome{Result: decision.Succeeded}, nil)
	})
	path := "/apis/adapter.decisions.quartet.dev/v1alpha1/namespaces/shop/decisions"
	for _, p := range []string{path, path + "/orders"} {
		if code, body := a.get(t, p, "token-of-viewer"); code != http.StatusOK || !strings.Contains(body, `"to":"orders-depth=7"`) {
			t.Errorf("GET %s = %d: %s", p, code, body)
		}
		if code, body := a.get(t, p, "token-of-tenant"); code != http.StatusForbidden {
			t.Errorf("GET %s by a tenant without the permission = %d: %s", p, code, body)
		}
	}
	if code, body := a.get(t, path+"/others", "token-of-viewer"); code != http.StatusNotFound {
		t.Errorf("a decision that was never made = %d: %s", code, body)
	}
	if code, body := a.get(t, "/apis", "token-of-hpa"); code != http.StatusOK || !strings.Contains(body, "adapter.decisions.quartet.dev") {
		t.Errorf("the groups = %d: %s", code, body)
	}
}

func TestOwnMetricsAreServedToThoseWhoMay(t *testing.T) {
	a := startAPI(t)
	if code, _ := a.get(t, "/metrics", ""); code != http.StatusForbidden {
		t.Errorf("metrics for nobody = %d, want 403", code)
	}
	if code, _ := a.get(t, "/metrics", "token-of-hpa"); code != http.StatusOK {
		t.Errorf("metrics = %d, want 200", code)
	}
}
