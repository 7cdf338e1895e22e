package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	customapi "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	externalapi "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

// stubMetrics serves the three metrics APIs of a lab with values that a test sets:
// each pod that a selector finds has those of its label app, and a metric without a
// value fails.
type stubMetrics struct {
	pods ctrlclient.Client

	mu sync.Mutex
	// cpu is what the container of each pod uses, in thousandths, by the label app.
	cpu map[string]int64
	// values are those of pods, objects and external metrics by the metric's name.
	values map[string]int64
}

// stubAPIs are the APIs by their group and version.
var stubAPIs = []metav1.GroupVersion{
	{Group: "metrics.k8s.io", Version: "v1beta1"},
	{Group: "custom.metrics.k8s.io", Version: "v1beta2"},
	{Group: "external.metrics.k8s.io", Version: "v1beta1"},
}

// newStubMetrics serves them until the test ends.
func newStubMetrics(t *testing.T, l *lab.Lab) *stubMetrics {
	t.Helper()
	s := &stubMetrics{pods: l.Client(), cpu: map[string]int64{}, values: map[string]int64{}}
	server := httptest.NewTLSServer(s)
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseInt(address.Port(), 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	port := int32(number)
	objects := []ctrlclient.Object{&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "stub-metrics"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost", Ports: []corev1.ServicePort{{Port: port}}},
	}}
	for _, api := range stubAPIs {
		objects = append(objects, &apiregistrationv1.APIService{
			ObjectMeta: metav1.ObjectMeta{Name: api.Version + "." + api.Group},
			Spec: apiregistrationv1.APIServiceSpec{
				Group: api.Group, Version: api.Version, GroupPriorityMinimum: 100, VersionPriority: 100, InsecureSkipTLSVerify: true,
				Service: &apiregistrationv1.ServiceReference{Namespace: metav1.NamespaceSystem, Name: "stub-metrics", Port: &port},
			},
		})
	}
	for _, o := range objects {
		if err := l.Client().Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	for _, api := range stubAPIs {
		if err := l.WaitAPIService(t.Context(), api.Version+"."+api.Group); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// set changes the value of a metric, and use what the pods of an app use.
func (s *stubMetrics) set(metric string, value int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[metric] = value
}

func (s *stubMetrics) use(app string, milli int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cpu[app] = milli
}

func (s *stubMetrics) value(metric string) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.values[metric]
	if !ok {
		return 0, fmt.Errorf("the source of %s is away", metric)
	}
	return value, nil
}

// ServeHTTP answers discovery, and paths as the three APIs have them.
func (s *stubMetrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	answer, err := s.answer(r, parts)
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		answer = &metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
			Status:   metav1.StatusFailure, Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound, Message: err.Error(),
		}
		w.WriteHeader(http.StatusNotFound)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// answer takes apis/GROUP/VERSION, and after namespaces/NAMESPACE either pods, or
// pods/*/METRIC, or RESOURCE/NAME/METRIC, or METRIC.
func (s *stubMetrics) answer(r *http.Request, parts []string) (any, error) {
	if len(parts) == 3 {
		return &metav1.APIResourceList{
			TypeMeta:     metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"},
			GroupVersion: parts[1] + "/" + parts[2],
		}, nil
	}
	if len(parts) < 6 || parts[3] != "namespaces" {
		return nil, fmt.Errorf("no %s here", r.URL.Path)
	}
	namespace, rest := parts[4], parts[5:]
	switch {
	case parts[1] == "metrics.k8s.io":
		return s.resources(r, namespace)
	case parts[1] == "external.metrics.k8s.io":
		value, err := s.value(rest[0])
		return &externalapi.ExternalMetricValueList{
			TypeMeta: metav1.TypeMeta{Kind: "ExternalMetricValueList", APIVersion: "external.metrics.k8s.io/v1beta1"},
			Items:    []externalapi.ExternalMetricValue{{MetricName: rest[0], Timestamp: metav1.Now(), Value: *resource.NewQuantity(value, resource.DecimalSI)}},
		}, err
	case len(rest) == 3:
		return s.custom(r, namespace, rest)
	}
	return nil, fmt.Errorf("no %s here", r.URL.Path)
}

func (s *stubMetrics) selected(ctx context.Context, r *http.Request, namespace string) ([]corev1.Pod, error) {
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		return nil, err
	}
	var list corev1.PodList
	err = s.pods.List(ctx, &list, ctrlclient.InNamespace(namespace), ctrlclient.MatchingLabelsSelector{Selector: selector})
	return list.Items, err
}

func (s *stubMetrics) resources(r *http.Request, namespace string) (any, error) {
	pods, err := s.selected(r.Context(), r, namespace)
	out := &metricsapi.PodMetricsList{TypeMeta: metav1.TypeMeta{Kind: "PodMetricsList", APIVersion: "metrics.k8s.io/v1beta1"}}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range pods {
		usage, known := s.cpu[pods[i].Labels["app"]]
		if !known {
			continue
		}
		out.Items = append(out.Items, metricsapi.PodMetrics{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pods[i].Name}, Timestamp: metav1.Now(), Window: metav1.Duration{},
			Containers: []metricsapi.ContainerMetrics{{Name: "worker", Usage: corev1.ResourceList{
				corev1.ResourceCPU: *resource.NewMilliQuantity(usage, resource.DecimalSI)}}},
		})
	}
	return out, err
}

func (s *stubMetrics) custom(r *http.Request, namespace string, path []string) (any, error) {
	value, err := s.value(path[2])
	if err != nil {
		return nil, err
	}
	out := &customapi.MetricValueList{TypeMeta: metav1.TypeMeta{Kind: "MetricValueList", APIVersion: "custom.metrics.k8s.io/v1beta2"}}
	add := func(kind, name string) {
		out.Items = append(out.Items, customapi.MetricValue{
			DescribedObject: corev1.ObjectReference{Kind: kind, Namespace: namespace, Name: name},
			Metric:          customapi.MetricIdentifier{Name: path[2]}, Timestamp: metav1.Now(), Value: *resource.NewQuantity(value, resource.DecimalSI),
		})
	}
	if path[1] != "*" {
		add("Deployment", path[1])
		return out, nil
	}
	pods, err := s.selected(r.Context(), r, namespace)
	for i := range pods {
		add("Pod", pods[i].Name)
	}
	return out, err
}
