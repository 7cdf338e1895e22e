package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// TestExplainMetric: the value that an HPA reads comes with its time, source and
// steps, for those who may see the namespace; kubectl lists the decisions too.
func TestExplainMetric(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab).withQueueLoop()
	s.fill(60)
	eventually(t, 20*time.Second, func() error {
		out, err := explain(t, s.lab.Kubeconfig(), "explain", "metric", metricName, "-n", s.namespace)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if !strings.HasPrefix(out, "Metric "+metricName+" of namespace "+s.namespace+" is 60, sampled ") || !strings.Contains(out, "metric/"+metricName) {
			return fmt.Errorf("explain metric printed\n%s", out)
		}
		return nil
	})
	out, err := s.lab.Kubectl(t.Context(), "get", "decisions.adapter.decisions.quartet.dev", "-n", s.namespace)
	if err != nil || !strings.Contains(out, metricName+"=60") {
		t.Errorf("kubectl get: %v\n%s", err, out)
	}
	s.create(&corev1.ServiceAccount{ObjectMeta: s.meta("tenant")}, &rbacv1.RoleBinding{
		ObjectMeta: s.meta("tenant-views"),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: "tenant"}},
	})
	tenant, err := s.lab.ServiceAccountKubeconfig(t.Context(), s.namespace, "tenant")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() error {
		if out, err := explain(t, tenant, "explain", "metric", metricName, "-n", s.namespace); err != nil {
			return fmt.Errorf("a tenant who may view: %w: %s", err, out)
		}
		return nil
	})
	if out, err := explain(t, tenant, "explain", "metric", "nothing", "-n", s.namespace); err == nil || !strings.Contains(out, metricName) {
		t.Errorf("a metric that does not exist: %v: %s", err, out)
	}
}
