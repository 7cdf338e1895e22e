package metricchanges_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/metricchanges"
	"github.com/quartet-autoscaling/quartet/internal/metricchanges/follow"
	"github.com/quartet-autoscaling/quartet/internal/metricchanges/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/serving"
	"github.com/quartet-autoscaling/quartet/internal/serving/servingtest"
)

// users: one who may follow everything, and a tenant of namespace shop.
var users = map[string]servingtest.User{
	"admin": {Name: "admin", May: func(authorizationv1.SubjectAccessReviewSpec) bool { return true }},
	"tenant": {Name: "tenant", May: func(spec authorizationv1.SubjectAccessReviewSpec) bool {
		asked := spec.ResourceAttributes
		return asked != nil && asked.Group == v1alpha1.GroupVersion.Group && asked.Resource == v1alpha1.Resource && asked.Namespace == "shop"
	}},
}

const base = "/apis/adapter.decisions.quartet.dev/v1alpha1"

func serve(t *testing.T) (*servingtest.Running, *metricchanges.Store) {
	t.Helper()
	store := metricchanges.NewStore(clock.RealClock{})
	server := servingtest.Run(t, serving.Config{
		Name: "test", Options: serving.NewOptions(), Kubeconfig: servingtest.Start(t, users).Kubeconfig,
	}, func(s *serving.Server) error {
		return decisionapi.InstallGroup(s, decisionapi.GroupName(v1alpha1.Component),
			decisionapi.NewStore(decisionapi.StoreConfig{Component: v1alpha1.Component}),
			decisionapi.Beside{Resource: v1alpha1.Resource, Storage: metricchanges.NewStorage(store), AddToScheme: v1alpha1.AddToScheme})
	})
	t.Cleanup(store.Close) // before the server ends, which waits for its watches
	return server, store
}

func depth(v int64) metricchanges.State {
	at := metav1.NewMicroTime(time.Now().Add(-3 * time.Second))
	return metricchanges.State{
		Value: resource.NewQuantity(v, resource.DecimalSI), SampledAt: &at,
		SourceRef: v1alpha1.SourceRef{Kind: "MetricSource", Name: "orders"},
	}
}

var (
	shop = metricchanges.Key{Namespace: "shop", Name: "depth"}
	bank = metricchanges.Key{Namespace: "bank", Name: "depth"}
)

func TestReadingIsSeparatedByNamespace(t *testing.T) {
	server, store := serve(t)
	store.Set(shop, depth(7))
	store.Set(bank, depth(8))
	for name, test := range map[string]struct {
		path, token string
		code        int
		want        []string
	}{
		"one":                    {"/namespaces/shop/metricchanges/depth", "tenant", http.StatusOK, []string{`"value":"7"`, `"kind":"MetricSource"`, `"sampledAt"`}},
		"none":                   {"/namespaces/shop/metricchanges/rate", "tenant", http.StatusNotFound, nil},
		"a namespace":            {"/namespaces/shop/metricchanges", "tenant", http.StatusOK, []string{`"value":"7"`}},
		"another's":              {"/namespaces/bank/metricchanges", "tenant", http.StatusForbidden, nil},
		"another's, to follow":   {"/namespaces/bank/metricchanges?watch=1", "tenant", http.StatusForbidden, nil},
		"all":                    {"/metricchanges", "tenant", http.StatusForbidden, nil},
		"all, to follow":         {"/metricchanges?watch=1", "tenant", http.StatusForbidden, nil},
		"all, who may":           {"/metricchanges", "admin", http.StatusOK, []string{`"value":"7"`, `"value":"8"`}},
		"selected":               {"/metricchanges?fieldSelector=metadata.namespace%3Dbank", "admin", http.StatusOK, []string{`"value":"8"`}},
		"a selector that is not": {"/metricchanges?fieldSelector=value%3D8", "admin", http.StatusBadRequest, nil},
		"nobody":                 {"/metricchanges?watch=1", "made-up", http.StatusUnauthorized, nil},
		"an old version":         {"/metricchanges?watch=1&resourceVersion=5", "admin", http.StatusGone, []string{"Expired"}},
		"no version":             {"/metricchanges?watch=1&resourceVersion=x", "admin", http.StatusBadRequest, nil},
	} {
		t.Run(name, func(t *testing.T) {
			code, body := server.Get(t, base+test.path, test.token)
			if code != test.code {
				t.Fatalf("GET %s = %d, want %d: %s", test.path, code, test.code, body)
			}
			for _, want := range test.want {
				if !strings.Contains(body, want) {
					t.Errorf("the body lacks %s: %s", want, body)
				}
			}
			if test.token == "tenant" && strings.Contains(body, `"value":"8"`) {
				t.Errorf("a tenant sees another's: %s", body)
			}
		})
	}
	const asTable = "Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
	if code, body := server.Get(t, base+"/namespaces/shop/metricchanges", "tenant", asTable); code != http.StatusOK ||
		!strings.Contains(body, `"cells":["depth","7","3s","MetricSource/orders"]`) {
		t.Errorf("the table = %d: %s", code, body)
	}
}

// heard waits for the next event of a kind.
func heard(t *testing.T, w watch.Interface, kind watch.EventType, value string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case <-deadline:
			t.Fatalf("no event %s %s", kind, value)
		case e, ok := <-w.ResultChan():
			c, is := e.Object.(*metricchanges.MetricChange)
			if !ok || !is {
				t.Fatalf("the watch ended, or told %#v; want %s %s", e.Object, kind, value)
			}
			if e.Type == kind && c.Value.String() == value {
				return
			}
			if c.Namespace == "bank" {
				t.Fatalf("told of another's: %+v", c)
			}
		}
	}
}

func TestWatchOverTheNetwork(t *testing.T) {
	server, store := serve(t)
	store.Set(shop, depth(1))
	store.Set(bank, depth(100))
	watcher, err := follow.NewWatcher(&rest.Config{
		Host: server.URL + "/", BearerToken: "admin", TLSClientConfig: rest.TLSClientConfig{Insecure: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	w, err := watcher.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.namespace=shop", AllowWatchBookmarks: true})
	if err != nil {
		t.Fatal(err)
	}
	heard(t, w, watch.Added, "1")
	store.Set(bank, depth(101))
	store.Set(shop, depth(2))
	heard(t, w, watch.Modified, "2")
	store.Delete(shop)
	heard(t, w, watch.Deleted, "2")
	if _, err := watcher.Watch(ctx, metav1.ListOptions{ResourceVersion: "5"}); !apierrors.IsResourceExpired(err) {
		t.Errorf("a watch from long ago: %v, want 410", err)
	}
	store.Close()
	select {
	case _, ok := <-w.ResultChan():
		if ok {
			t.Error("told something while ending")
		}
	case <-time.After(20 * time.Second):
		t.Error("the watch did not end with the process")
	}
}
