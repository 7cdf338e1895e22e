package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

// Series of the exporter, which are also the names of their metrics.
const (
	// sessionsSeries is of each pod, by state.
	sessionsSeries = "shop_sessions"
	// errorsSeries is of each pod.
	errorsSeries = "shop_errors"
	// backlogSeries is of a Deployment.
	backlogSeries = "shop_backlog"
	// heatSeries is of a node, and tells itself when it was measured.
	heatSeries = "shop_heat"
)

// heat is what heatSeries shows.
const heat = 41.5

// monitored are two namespaces, an exporter about their objects, and a Prometheus
// with a password that scrapes it.
type monitored struct {
	// pods has workers that the exporter counts sessions of, and objects a
	// Deployment that it tells the backlog of.
	pods, objects *stage
	node          string
	heatAt        time.Time
	// sessions are the open ones, shared evenly by all running pods.
	sessions, backlog atomic.Int64

	prometheus brokers.Prometheus
	server     *brokers.Server
}

const (
	prometheusSecret   = "prometheus"
	prometheusUser     = "adapter"
	prometheusPassword = "hunter22-hunter22"
)

// newMonitored starts it all and waits until Prometheus knows the first pod.
// Without Prometheus the test is skipped, and fails in continuous integration.
func newMonitored(t *testing.T, sessions, backlog int64) *monitored {
	t.Helper()
	brokertest.Program(t, "prometheus")
	m := &monitored{
		pods: newStageWithoutBroker(t, suite.lab, "-pods"), objects: newStageWithoutBroker(t, suite.lab, "-objects"),
		// Half a second, so that no rounding of milliseconds shows in seconds.
		heatAt: time.Now().Truncate(time.Second).Add(-20*time.Second - 500*time.Millisecond),
	}
	m.sessions.Store(sessions)
	m.backlog.Store(backlog)
	var nodes corev1.NodeList
	if err := m.pods.client.List(t.Context(), &nodes); err != nil || len(nodes.Items) == 0 {
		t.Fatalf("list the nodes: %d, %v", len(nodes.Items), err)
	}
	m.node = nodes.Items[0].Name
	for _, s := range []*stage{m.pods, m.objects} {
		s.create(s.deployment(1))
	}
	m.startPrometheus(t)
	return m
}

func (m *monitored) startPrometheus(t *testing.T) {
	t.Helper()
	exporter := httptest.NewServer(http.HandlerFunc(m.export))
	t.Cleanup(exporter.Close)
	var err error
	m.prometheus, err = brokers.NewPrometheus(brokertest.Folder(t, "prometheus"), strings.TrimPrefix(exporter.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	m.prometheus.User, m.prometheus.Password = prometheusUser, prometheusPassword
	settings, err := m.prometheus.Config()
	if err != nil {
		t.Fatal(err)
	}
	m.server = brokertest.Start(t, settings)
	// What series there are is asked once a minute: they must be there before.
	eventually(t, 60*time.Second, func() error { return m.scraped(t) })
}

// scraped asks Prometheus itself for a pod's series.
func (m *monitored) scraped(t *testing.T) error {
	at, err := url.Parse(m.prometheus.URL())
	if err != nil {
		return err
	}
	at.User = url.UserPassword(prometheusUser, prometheusPassword)
	client, err := api.NewClient(api.Config{Address: at.String()})
	if err != nil {
		return err
	}
	value, _, _, err := v1.NewAPI(client).Query(t.Context(), sessionsSeries, time.Now())
	if err != nil {
		return err
	}
	if series, ok := value.(model.Vector); !ok || len(series) == 0 {
		return errors.New("Prometheus has not scraped the exporter's pods yet")
	}
	return nil
}

// export is the exporter's page.
func (m *monitored) export(w http.ResponseWriter, r *http.Request) {
	var pods corev1.PodList
	if err := m.pods.client.List(r.Context(), &pods, ctrlclient.InNamespace(m.pods.namespace)); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var running []string
	for i := range pods.Items {
		if p := &pods.Items[i]; p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
			running = append(running, p.Name)
		}
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	var page strings.Builder
	for _, pod := range running {
		of := fmt.Sprintf("namespace=%q,pod=%q", m.pods.namespace, pod)
		fmt.Fprintf(&page, "%s{%s,state=\"open\"} %g\n", sessionsSeries, of, float64(m.sessions.Load())/float64(len(running)))
		// Nothing may scale by those that are not selected.
		fmt.Fprintf(&page, "%s{%s,state=\"closed\"} 1000\n%s{%s} 1\n", sessionsSeries, of, errorsSeries, of)
	}
	fmt.Fprintf(&page, "%s{namespace=%q,deployment=%q} %d\n", backlogSeries, m.objects.namespace, workload, m.backlog.Load())
	fmt.Fprintf(&page, "%s{node=%q} %g %d\n", heatSeries, m.node, heat, m.heatAt.UnixMilli())
	_, _ = w.Write([]byte(page.String())) // who went away needs no page
}

// secret has the password of Prometheus.
func secret(meta metav1.ObjectMeta) *corev1.Secret {
	meta.Name = prometheusSecret
	return &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{"username": prometheusUser, "password": prometheusPassword}}
}

// source asks for rules, each of one series and kind of object.
func (m *monitored) source(rules ...v1alpha1.PrometheusRule) v1alpha1.MetricSourceSpec {
	return v1alpha1.MetricSourceSpec{
		PollInterval: metav1.Duration{Duration: time.Second},
		Timeout:      metav1.Duration{Duration: time.Second},
		MaxAge:       metav1.Duration{Duration: 4 * time.Second},
		Source: v1alpha1.Source{Prometheus: &v1alpha1.PrometheusSource{
			URLs: []string{m.prometheus.URL()}, Rules: rules,
			Auth: &v1alpha1.HTTPAuth{Basic: &v1alpha1.BasicAuth{
				Username: v1alpha1.SecretKey{Name: prometheusSecret, Key: "username"},
				Password: v1alpha1.SecretKey{Name: prometheusSecret, Key: "password"},
			}},
		}},
	}
}

// rule is about the objects that a label of the series names.
func rule(series, label string, kind v1alpha1.PrometheusResource, kept ...string) v1alpha1.PrometheusRule {
	return v1alpha1.PrometheusRule{
		Series: series, Labels: kept,
		Resources: v1alpha1.PrometheusResources{Overrides: map[string]v1alpha1.PrometheusResource{
			"namespace": {Resource: "namespaces"}, label: kind,
		}},
	}
}
