package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// Metrics of the namespace with pods.
const (
	tenantMetric = "shop-open"
	othersMetric = "shop-closed"
)

// tenantReads lets a tenant have one external and one custom metric of its own
// namespace: it reads these, and nothing else, whether it exists or not.
func (m *monitored) tenantReads(t *testing.T) {
	t.Helper()
	s := m.pods
	external := m.source()
	external.Source.Prometheus.Query = "count(" + errorsSeries + ")"
	external.Metrics = []v1alpha1.SourceMetric{
		{Name: tenantMetric, Value: v1alpha1.ValueQuery}, {Name: othersMetric, Value: v1alpha1.ValueQuery},
	}
	// With the cluster's own Secret.
	draft := &v1alpha1.MetricSource{ObjectMeta: s.meta("external"), Spec: external}
	if row := s.tried(draft.DeepCopy(), tenantMetric); row[2] != "5" {
		t.Errorf("the draft's row is %q, want 5", row)
	}
	s.create(draft, &corev1.ServiceAccount{ObjectMeta: s.meta("tenant")})
	kubeconfig, err := s.lab.ServiceAccountKubeconfig(t.Context(), s.namespace, "tenant")
	if err != nil {
		t.Fatal(err)
	}
	ofPods := "/apis/custom.metrics.k8s.io/v1beta2/namespaces/" + s.namespace + "/pods/*/"
	ofNamespace := "/apis/external.metrics.k8s.io/v1beta1/namespaces/" + s.namespace + "/"
	own := []string{ofPods + sessionsSeries, ofNamespace + tenantMetric}
	others := []string{ofPods + errorsSeries, ofNamespace + othersMetric}
	never := append([]string{
		ofPods + "nothing", ofNamespace + "nothing",
		"/apis/custom.metrics.k8s.io/v1beta2/namespaces/" + m.objects.namespace + "/deployments.apps/" + workload + "/" + backlogSeries,
		"/apis/external.metrics.k8s.io/v1beta1/namespaces/" + m.objects.namespace + "/" + tenantMetric,
		"/apis/custom.metrics.k8s.io/v1beta2/nodes/" + m.node + "/" + heatSeries,
	}, others...)

	for _, path := range append(own, others...) {
		eventually(t, 20*time.Second, func() error { return m.readsValue(t, path) })
	}
	for _, path := range append(own, never...) {
		if err := m.refused(t, kubeconfig, path); err != nil {
			t.Errorf("a tenant without a Role: %v", err)
		}
	}
	s.create(&rbacv1.Role{ObjectMeta: s.meta("tenant"), Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"custom.metrics.k8s.io"}, Resources: []string{"pods/" + sessionsSeries}, Verbs: []string{"get"}},
		{APIGroups: []string{"external.metrics.k8s.io"}, Resources: []string{tenantMetric}, Verbs: []string{"list"}},
	}}, &rbacv1.RoleBinding{
		ObjectMeta: s.meta("tenant"),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "tenant"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: "tenant"}},
	})
	for _, path := range own {
		eventually(t, 20*time.Second, func() error { return m.readsValue(t, path, "--kubeconfig="+kubeconfig) })
	}
	for _, path := range never {
		if err := m.refused(t, kubeconfig, path); err != nil {
			t.Errorf("a tenant with a Role for other metrics: %v", err)
		}
	}
}

// readsValue gives an error unless the path gives a list with values.
func (m *monitored) readsValue(t *testing.T, path string, flags ...string) error {
	t.Helper()
	out, err := m.pods.lab.Kubectl(t.Context(), append(flags, "get", "--raw", path)...)
	if err != nil {
		return err
	}
	if !strings.Contains(out, `"value":`) {
		return fmt.Errorf("%s gives no value: %s", path, out)
	}
	return nil
}

// refused gives an error unless the path is forbidden.
func (m *monitored) refused(t *testing.T, kubeconfig, path string) error {
	t.Helper()
	err := m.readsValue(t, path, "--kubeconfig="+kubeconfig)
	switch {
	case err == nil:
		return errors.New(path + " was read")
	case !strings.Contains(err.Error(), "(Forbidden)"):
		return fmt.Errorf("want Forbidden, got %w", err)
	}
	return nil
}
