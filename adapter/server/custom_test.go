package server

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
	custommetricsv1beta2 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/server/inventory"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/serving/servingtest"
)

const customGroup = "/apis/custom.metrics.k8s.io/v1beta2"

// cluster has some pods and one queue, a kind of a CRD.
type cluster struct {
	client    *metadatafake.FakeMetadataClient
	inventory *inventory.Inventory
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	mapper := apimeta.NewDefaultRESTMapper(nil)
	for kind, scope := range map[schema.GroupVersionKind]apimeta.RESTScope{
		{Version: "v1", Kind: "Pod"}:                                    apimeta.RESTScopeNamespace,
		{Version: "v1", Kind: "Service"}:                                apimeta.RESTScopeNamespace,
		{Version: "v1", Kind: "Node"}:                                   apimeta.RESTScopeRoot,
		{Version: "v1", Kind: "Namespace"}:                              apimeta.RESTScopeRoot,
		{Group: "example.com", Version: "v1beta3", Kind: "Queue"}:       apimeta.RESTScopeNamespace,
		{Group: "example.com", Version: "v1beta3", Kind: "BrokerClass"}: apimeta.RESTScopeRoot,
	} {
		mapper.Add(kind, scope)
	}
	var pods []runtime.Object
	for name, app := range map[string]string{"web-1": "web", "web-2": "web", "web-3": "web", "db-1": "db"} {
		pods = append(pods, &metav1.PartialObjectMetadata{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"app": app}},
		})
	}
	c := &cluster{client: metadatafake.NewSimpleMetadataClient(scheme, pods...)}
	c.client.PrependReactor("list", "services", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "services"}, "", nil)
	})
	var err error
	c.inventory, err = inventory.New(inventory.Config{Mapper: mapper, Client: c.client, Clock: clock.RealClock{}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// of is a value about an object.
func of(metric, resource, namespace, name string, value float64, labels ...string) query.ObjectValue {
	r := schema.ParseGroupResource(resource)
	v := query.ObjectValue{Metric: metric, Group: r.Group, Resource: r.Resource, Namespace: namespace, Name: name, Gauge: query.NumberOf(value)}
	for i := 0; i+1 < len(labels); i += 2 {
		if v.Labels == nil {
			v.Labels = map[string]string{}
		}
		v.Labels[labels[i]] = labels[i+1]
	}
	return v
}

// sharedServed is what a ClusterMetricSource serves that was read at epoch.
func sharedServed() query.Served {
	own := of("requests", "pods", "shop", "web-2", 2.5)
	own.At, own.WindowSeconds = epoch.Add(-30*time.Second), 60
	s := query.Served{
		Facts: query.Facts{Source: "ClusterMetricSource all (prometheus)", Created: epoch, MaxAge: time.Minute, SampledAt: epoch},
		Objects: query.Objects{Values: []query.ObjectValue{
			of("requests", "pods", "shop", "web-1", 1, "code", "200"), of("requests", "pods", "shop", "web-1", 4, "code", "500"), own,
			{Metric: "requests", Resource: "pods", Namespace: "shop", Name: "web-3", Gauge: query.Gauge{Presence: query.NotANumber}},
			of("requests", "pods", "shop", "db-1", 0), of("requests", "pods", "shop", "gone-1", 9),
			of("requests", "services", "shop", "web", 7), of("requests", "widgets", "shop", "w", 7),
			of("heat", "nodes", "", "n1", 60), of("bill", "namespaces", "", "shop", 12),
			of("depth", "queues.example.com", "shop", "orders", 8), of("depth", "brokerclasses.example.com", "", "fast", 3),
		}},
	}
	slices.SortFunc(s.Objects.Values, query.CompareObjects)
	return s
}

var shared = decision.Unit{Kind: "ClusterMetricSource", Name: "all", UID: "9"}

func TestCustomReads(t *testing.T) {
	a := startAPI(t)
	a.table.Put(shared, sharedServed())
	never := query.Served{Facts: query.Facts{Source: "MetricSource shop/new (http)", MaxAge: time.Minute,
		LastFailure: &query.Failure{At: epoch, Reason: "Unreachable", Message: "connection refused", InRow: 2}},
		Samples: []query.Sample{{Metric: "latency", Kind: query.Value, Fault: &decision.Fault{Reason: "NoSampleYet", Message: "there is no sample"}}}}
	a.table.Put(decision.Unit{Kind: "MetricSource", Namespace: "shop", Name: "new"}, never)

	for name, test := range map[string]struct {
		path, token string
		after       time.Duration
		code        int
		want        []string // within the body
		lacks       []string
	}{
		"by name, with its own time and window": {
			path: "/namespaces/shop/pods/web-2/requests", code: http.StatusOK,
			want: []string{`"describedObject":{"kind":"Pod","namespace":"shop","name":"web-2","apiVersion":"v1"}`, `"metric":{"name":"requests","selector":null}`,
				`"timestamp":"2026-03-01T11:59:30Z"`, `"windowSeconds":60`, `"value":"2500m"`},
		},
		"several series are summed":   {path: "/namespaces/shop/pods/web-1/requests", code: http.StatusOK, want: []string{`"value":"5"`}},
		"one of several series":       {path: "/namespaces/shop/pods/web-1/requests?metricLabelSelector=code%3D500", code: http.StatusOK, want: []string{`"value":"4"`, `"selector":{"matchLabels":{"code":"500"}}`}},
		"a measured zero":             {path: "/namespaces/shop/pods/db-1/requests", code: http.StatusOK, want: []string{`"value":"0"`}},
		"an object without a scope":   {path: "/nodes/n1/heat", token: "token-of-admin", code: http.StatusOK, want: []string{`{"kind":"Node","name":"n1","apiVersion":"v1"}`, `"value":"60"`}},
		"a namespace":                 {path: "/namespaces/shop/metrics/bill", code: http.StatusOK, want: []string{`{"kind":"Namespace","name":"shop","apiVersion":"v1"}`, `"value":"12"`}},
		"an object of a CRD":          {path: "/namespaces/shop/queues.example.com/orders/depth", code: http.StatusOK, want: []string{`{"kind":"Queue","namespace":"shop","name":"orders","apiVersion":"example.com/v1beta3"}`, `"value":"8"`}},
		"one of a CRD, without scope": {path: "/brokerclasses.example.com/fast/depth", token: "token-of-admin", code: http.StatusOK, want: []string{`"kind":"BrokerClass"`, `"value":"3"`}},
		"all objects, without a list": {
			path: "/namespaces/shop/services/*/requests", code: http.StatusOK, want: []string{`"name":"web"`, `"value":"7"`},
		},
		"by selector, without those that have no value": {
			path: "/namespaces/shop/pods/*/requests?labelSelector=app%3Dweb", code: http.StatusOK,
			want: []string{`"name":"web-1"`, `"value":"5"`, `"name":"web-2"`}, lacks: []string{"web-3", "db-1", "gone-1"},
		},
		"by both selectors": {
			path: "/namespaces/shop/pods/*/requests?labelSelector=app%3Dweb&metricLabelSelector=code%3D200", code: http.StatusOK,
			want: []string{`"name":"web-1"`, `"value":"1"`}, lacks: []string{"web-2"},
		},
		"a selector of none":            {path: "/namespaces/shop/pods/*/requests?labelSelector=app%3Dnone", code: http.StatusNotFound, want: []string{"of none that selector", `"reason":"MetricNotFound"`}},
		"a selector that is not listed": {path: "/namespaces/shop/services/*/requests?labelSelector=app%3Dweb", code: http.StatusServiceUnavailable, want: []string{"add services to the chart's value metricsAdapter.customMetrics.resources", "ObjectsForbidden"}},
		"no such metric":                {path: "/namespaces/shop/pods/web-1/errors", code: http.StatusNotFound, want: []string{"no MetricSource has a value of metric errors for pods web-1"}},
		"no such metric of any":         {path: "/namespaces/shop/pods/*/errors?labelSelector=app%3Dweb", code: http.StatusNotFound, want: []string{"no MetricSource has a value of metric errors of pods in namespace shop"}},
		"no such object":                {path: "/namespaces/shop/pods/web-9/requests", code: http.StatusNotFound, want: []string{"metric requests for pods web-9"}},
		"no such kind":                  {path: "/namespaces/shop/widgets/w/requests", code: http.StatusNotFound, want: []string{"the cluster has no resource widgets"}},
		"no such series":                {path: "/namespaces/shop/pods/web-1/requests?metricLabelSelector=code%3D302", code: http.StatusNotFound, want: []string{"no series that metricLabelSelector", "code=302"}},
		"a source that was never read":  {path: "/namespaces/shop/pods/web-1/latency", code: http.StatusServiceUnavailable, want: []string{"MetricSource shop/new (http)", "connection refused"}},
		"no number":                     {path: "/namespaces/shop/pods/web-3/requests", code: http.StatusServiceUnavailable, want: []string{"NotANumber", "ClusterMetricSource all (prometheus)"}},
		"older than maxAge": {
			path: "/namespaces/shop/pods/web-1/requests", after: 2 * time.Minute, code: http.StatusServiceUnavailable,
			want: []string{"ClusterMetricSource all (prometheus)", "2m0s old", "maxAge 1m0s", "no poll has failed", `"reason":"Stale"`},
		},
		"older by its own time": {path: "/namespaces/shop/pods/web-2/requests", after: 40 * time.Second, code: http.StatusServiceUnavailable, want: []string{"1m10s old"}},
		"those of them that are fresh": {
			path: "/namespaces/shop/pods/*/requests?labelSelector=app%3Dweb", after: 40 * time.Second, code: http.StatusOK,
			want: []string{`"name":"web-1"`}, lacks: []string{"web-2"},
		},
		"all of them stale":                {path: "/namespaces/shop/pods/*/requests", after: time.Hour, code: http.StatusServiceUnavailable, want: []string{`"reason":"Stale"`}},
		"a metric selector that is none":   {path: "/namespaces/shop/pods/web-1/requests?metricLabelSelector=%3D%3D", code: http.StatusBadRequest, want: []string{"metricLabelSelector", `"reason":"BadRequest"`}},
		"a selector that is none":          {path: "/namespaces/shop/pods/*/requests?labelSelector=%3D%3D", code: http.StatusBadRequest},
		"another namespace":                {path: "/namespaces/other/pods/web-1/requests", code: http.StatusForbidden},
		"a tenant without the permission":  {path: "/namespaces/shop/pods/web-1/requests", token: "token-of-tenant", code: http.StatusForbidden},
		"a tenant, of all pods":            {path: "/namespaces/shop/pods/*/requests", token: "token-of-tenant", code: http.StatusForbidden},
		"a tenant with another permission": {path: "/namespaces/shop/pods/web-1/other-metric", token: "token-of-tenant", code: http.StatusNotFound},
		"a tenant, of a node":              {path: "/nodes/n1/heat", token: "token-of-tenant", code: http.StatusForbidden},
		"a tenant, of its namespace":       {path: "/namespaces/shop/metrics/bill", token: "token-of-tenant", code: http.StatusForbidden},
		"nobody":                           {path: "/namespaces/shop/pods/web-1/requests", token: "made-up", code: http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			a.clock.SetTime(epoch.Add(test.after))
			token := test.token
			if token == "" {
				token = "token-of-hpa"
			}
			code, body := a.get(t, customGroup+test.path, token)
			if code != test.code {
				t.Fatalf("GET %s = %d, want %d: %s", test.path, code, test.code, body)
			}
			for _, want := range test.want {
				if !strings.Contains(body, want) {
					t.Errorf("the body lacks %s:\n%s", want, body)
				}
			}
			for _, lacks := range test.lacks {
				if strings.Contains(body, lacks) {
					t.Errorf("the body has %s:\n%s", lacks, body)
				}
			}
		})
	}
	if n := a.objects.inventory.Watches(); n > 2 {
		t.Errorf("%d watches of two resources in one namespace", n)
	}
}

// TestReadsListNothing: after the first selector, reads come from the watch, and
// follow it.
func TestReadsListNothing(t *testing.T) {
	a := startAPI(t)
	a.table.Put(shared, sharedServed())
	path := customGroup + "/namespaces/shop/pods/*/requests?labelSelector=app%3Dweb"
	names := func() []string {
		t.Helper()
		code, body := a.get(t, path, "token-of-hpa")
		var list custommetricsv1beta2.MetricValueList
		if err := json.Unmarshal([]byte(body), &list); code != http.StatusOK || err != nil {
			t.Fatalf("%d: %s", code, body)
		}
		var out []string
		for _, item := range list.Items {
			out = append(out, item.DescribedObject.Name)
		}
		return out
	}
	if diff := cmp.Diff([]string{"web-1", "web-2"}, names()); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	for range 20 {
		names()
	}
	lists := 0
	for _, action := range a.objects.client.Actions() {
		if action.Matches("list", "pods") {
			lists++
		}
	}
	if lists != 1 {
		t.Errorf("%d lists of pods for 21 reads", lists)
	}
	pods := a.objects.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace("shop")
	if err := pods.Delete(t.Context(), "web-2", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	servingtest.Eventually(t, "the pod that went is not told of", func() bool { return slices.Equal(names(), []string{"web-1"}) })
}

func TestCustomVersions(t *testing.T) {
	a := startAPI(t)
	a.table.Put(shared, sharedServed())
	path := "/apis/custom.metrics.k8s.io/v1beta1/namespaces/shop/pods/web-1/requests?metricLabelSelector=code%3D500"
	code, body := a.get(t, path, "token-of-hpa")
	for _, want := range []string{`"apiVersion":"custom.metrics.k8s.io/v1beta1"`, `"metricName":"requests"`, `"value":"4"`, `"selector":{"matchLabels":{"code":"500"}}`} {
		if code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%d, lacks %s: %s", code, want, body)
		}
	}
}

func TestCustomDiscovery(t *testing.T) {
	a := startAPI(t)
	names := func(version string) []string {
		t.Helper()
		code, body := a.get(t, "/apis/custom.metrics.k8s.io/"+version, "token-of-hpa")
		var list metav1.APIResourceList
		if err := json.Unmarshal([]byte(body), &list); code != http.StatusOK || err != nil {
			t.Fatalf("discovery = %d: %s", code, body)
		}
		var out []string
		for _, r := range list.APIResources {
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
	if diff := cmp.Diff([]string{"pods/custommetrics"}, names("v1beta2")); diff != "" {
		t.Errorf("without any metric (-want +got):\n%s", diff)
	}
	if body := aggregated(); strings.Count(body, `"subresource":"custommetrics"`) != 2 {
		t.Errorf("aggregated discovery without any metric: %s", body)
	}
	if code, _ := a.get(t, customGroup+"/namespaces/shop/pods/any/custommetrics", "token-of-hpa"); code != http.StatusNotFound {
		t.Errorf("reading the placeholder = %d", code)
	}
	served := sharedServed()
	// What is said to be both within namespaces and not has no form in discovery.
	served.Objects.Values = append(served.Objects.Values, of("requests", "pods", "", "static", 1))
	slices.SortFunc(served.Objects.Values, query.CompareObjects)
	a.table.Put(shared, served)
	want := []string{
		"brokerclasses.example.com/depth", "namespaces/bill", "nodes/heat", "pods/requests", "queues.example.com/depth", "services/requests", "widgets/requests",
	}
	for _, version := range []string{"v1beta1", "v1beta2"} {
		if diff := cmp.Diff(want, names(version)); diff != "" {
			t.Errorf("%s with metrics (-want +got):\n%s", version, diff)
		}
	}
	if body := aggregated(); strings.Count(body, `"subresource":"heat"`) != 2 || strings.Contains(body, "custommetrics") {
		t.Errorf("aggregated discovery with metrics: %s", body)
	}
	if code, body := a.get(t, "/apis", "token-of-hpa"); code != http.StatusOK || !strings.Contains(body, "custom.metrics.k8s.io") {
		t.Errorf("the groups = %d: %s", code, body)
	}
	if code, body := a.get(t, "/openapi/v3/apis/custom.metrics.k8s.io/v1beta2", "token-of-hpa"); code != http.StatusOK || !strings.Contains(body, "MetricValueList") {
		t.Errorf("OpenAPI = %d: %.300s", code, body)
	}
}
