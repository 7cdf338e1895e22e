package controller

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/recommender/history"
)

// prometheus answers questions for the past of pod orders-1, and of one that is
// gone, once it is ready.
type prometheusServer struct {
	*httptest.Server
	ready  chan struct{}
	broken atomic.Bool
}

func servePrometheus(t *testing.T) *prometheusServer {
	t.Helper()
	s := &prometheusServer{ready: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(s.Close)
	return s
}

func (s *prometheusServer) answer(w http.ResponseWriter, r *http.Request) {
	select {
	case <-s.ready:
	case <-r.Context().Done():
		return
	}
	if s.broken.Load() {
		http.Error(w, "out of order", http.StatusInternalServerError)
		return
	}
	_ = r.ParseForm()
	query, now := r.Form.Get("query"), time.Now().Unix()
	series := func(pod, value string) string {
		var values []string
		for at := now - 8*24*3600; at < now; at += 3600 {
			values = append(values, fmt.Sprintf(`[%d,%q]`, at, value))
		}
		return fmt.Sprintf(`{"metric":{"pod_name":%q,"name":"app"},"values":[%s]}`, pod, strings.Join(values, ","))
	}
	labelled := func(pod, app string) string {
		return fmt.Sprintf(`{"metric":{"kubernetes_namespace":"shop","kubernetes_pod_name":%q,"pod_label_app":%q},"value":[%d,"1"]}`, pod, app, now)
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.HasPrefix(query, "rate("):
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"matrix","result":[%s,%s,%s]}}`,
			series("orders-0", "0.1"), series("orders-1", "0.1"), series("other", "9"))
	case strings.HasPrefix(query, "container_memory"):
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"matrix","result":[%s]}}`, series("orders-0", "268435456"))
	default:
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[%s,%s]}}`, labelled("orders-0", "orders"), labelled("other", "other"))
	}
}

// remember has the world's recommender read its history there.
func (w *world) remember(address string) (woken chan types.NamespacedName) {
	w.t.Helper()
	c := history.Defaults()
	c.Address = address
	reader, err := history.New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	rules := w.options.rules()
	woken = make(chan types.NamespacedName, 10)
	w.passes.past = newPast(w.t.Context(), reader, rules)
	w.passes.past.pods, w.passes.past.targets = w.pods, w.passes.targets
	w.passes.past.wake = func(key types.NamespacedName) { woken <- key }
	return woken
}

func (w *world) condition(kind vpav1.VerticalPodAutoscalerConditionType) (status corev1.ConditionStatus, message string) {
	for _, c := range w.vpa().Status.Conditions {
		if c.Type == kind {
			return c.Status, c.Message
		}
	}
	return "", ""
}

// TestHistoryComesFromPrometheus reads history that takes a while.
func TestHistoryComesFromPrometheus(t *testing.T) {
	w := newWorld(t, vpa("orders"))
	server := servePrometheus(t)
	woken := w.remember(server.URL)

	w.pass(time.Now(), "1", "1Gi")
	if status, _ := w.condition(vpav1.FetchingHistory); status != corev1.ConditionTrue {
		t.Errorf("FetchingHistory is %q while history is read", status)
	}
	if r := w.vpa().Status.Recommendation; r != nil {
		t.Errorf("recommends %v without history", r)
	}
	if learned := w.history("orders").Learned; len(learned) > 0 {
		t.Errorf("learned %v without history", learned)
	}

	close(server.ready)
	select {
	case <-woken:
	case <-time.After(30 * time.Second):
		t.Fatal("nothing is decided on when history is there")
	}
	w.seen()
	w.pass(time.Now(), "100m", "256Mi")
	w.seen()
	if status, _ := w.condition(vpav1.FetchingHistory); status != "" {
		t.Errorf("FetchingHistory is %q with history at hand", status)
	}
	// The golden numbers of a steady 100m and 256Mi.
	target := w.vpa().Status.Recommendation.ContainerRecommendations[0].Target
	if cpu, memory := target.Cpu().MilliValue(), target.Memory().Value(); cpu != 126 || memory != 323522422 {
		t.Errorf("recommends %dm and %d bytes, want 126m and 323522422", cpu, memory)
	}
	if status, _ := w.condition(vpav1.LowConfidence); status != corev1.ConditionTrue && w.history("orders").Learned["app"].Samples < 300 {
		t.Errorf("learned %d samples only", w.history("orders").Learned["app"].Samples)
	}
}

// TestHistoryThatFailsIsTold breaks Prometheus.
func TestHistoryThatFailsIsTold(t *testing.T) {
	w := newWorld(t, vpa("orders"))
	server := servePrometheus(t)
	server.broken.Store(true)
	close(server.ready)
	woken := w.remember(server.URL)
	w.pass(time.Now(), "1", "1Gi")
	select {
	case <-woken:
	case <-time.After(30 * time.Second):
		t.Fatal("the failure is not told of")
	}
	w.seen()
	w.pass(time.Now(), "1", "1Gi")
	status, message := w.condition(vpav1.FetchingHistory)
	if status != corev1.ConditionTrue || !strings.Contains(message, "could not be read") {
		t.Errorf("FetchingHistory is %q: %q", status, message)
	}
	if r := w.vpa().Status.Recommendation; r != nil {
		t.Errorf("recommends %v without history", r)
	}
}

func TestLabelsAsPrometheusNamesThem(t *testing.T) {
	tests := map[string]struct {
		selector string
		labels   labels.Set
		want     bool
	}{
		"a plain one":          {"app=orders", labels.Set{"app": "orders"}, true},
		"one with a prefix":    {"app.kubernetes.io/name=orders", labels.Set{"app_kubernetes_io_name": "orders"}, true},
		"another value":        {"app.kubernetes.io/name=orders", labels.Set{"app_kubernetes_io_name": "carts"}, false},
		"one of several":       {"app.kubernetes.io/name in (orders,carts)", labels.Set{"app_kubernetes_io_name": "carts"}, true},
		"one that must not be": {"!legacy-app", labels.Set{"legacy_app": "x"}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			selector, err := labels.Parse(tc.selector)
			if err != nil {
				t.Fatal(err)
			}
			if got := sanitized(selector).Matches(tc.labels); got != tc.want {
				t.Errorf("matches: %v, want %v", got, tc.want)
			}
		})
	}
	if sanitized(labels.Nothing()).Matches(labels.Set{}) {
		t.Error("nothing matches something")
	}
}
