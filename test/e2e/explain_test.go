package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	decisions "github.com/quartet-autoscaling/quartet/internal/decisionapi/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/tool"
)

// explain runs the user's tool under a kubeconfig.
func explain(t *testing.T, kubeconfig string, args ...string) (string, error) {
	t.Helper()
	stdout, stderr, err := tool.Run(t.Context(), append([]string{"--kubeconfig", kubeconfig}, args...)...)
	return stdout + stderr, err
}

// TestExplain: the steps of the last decision come from the controller, for
// those who may see the namespace and for no one else.
func TestExplain(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab).withQueueLoop()
	s.fill(60)
	s.awaitReplicas(3, 3, 30*time.Second)

	var text string
	eventually(t, 20*time.Second, func() error {
		var err error
		if text, err = explain(t, s.lab.Kubeconfig(), "explain", "hpa", workload, "-n", s.namespace); err != nil {
			return fmt.Errorf("%w: %s", err, text)
		}
		if !strings.Contains(text, metricName) {
			return fmt.Errorf("the text does not name the metric:\n%s", text)
		}
		return nil
	})
	raw, err := explain(t, s.lab.Kubeconfig(), "explain", "hpa", workload, "-n", s.namespace, "-o", "json")
	if err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	var d decisions.Decision
	if err := json.Unmarshal([]byte(raw), &d); err != nil {
		t.Fatalf("decode %s: %v", raw, err)
	}
	if d.To != "3" || len(d.Steps) == 0 || d.Unit.Name != workload {
		t.Errorf("decision on %s to %s with %d steps, want %s to 3 with steps", d.Unit, d.To, len(d.Steps), workload)
	}

	// A tenant without rights on decisions is told so; one with the namespace's
	// view role is served.
	s.create(&corev1.ServiceAccount{ObjectMeta: s.meta("tenant")})
	tenant, err := s.lab.ServiceAccountKubeconfig(t.Context(), s.namespace, "tenant")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := explain(t, tenant, "explain", "hpa", workload, "-n", s.namespace); err == nil || !strings.Contains(strings.ToLower(out), "forbidden") {
		t.Errorf("a tenant without rights got %v: %s", err, out)
	}
	s.create(&rbacv1.RoleBinding{
		ObjectMeta: s.meta("tenant-views"),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: "tenant"}},
	})
	eventually(t, 20*time.Second, func() error {
		if out, err := explain(t, tenant, "explain", "hpa", workload, "-n", s.namespace); err != nil {
			return fmt.Errorf("a tenant who may view: %w: %s", err, out)
		}
		return nil
	})
	if out, err := explain(t, s.lab.Kubeconfig(), "explain", "hpa", "nobody", "-n", s.namespace); err == nil || !strings.Contains(out, "nobody") {
		t.Errorf("an HPA that does not exist: %v: %s", err, out)
	}
}

// TestKubectlGetDecisions: the decisions are objects that kubectl prints.
func TestKubectlGetDecisions(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab).withQueueLoop()
	eventually(t, 20*time.Second, func() error {
		out, err := s.lab.Kubectl(t.Context(), "get", "decisions.hpa.decisions.quartet.dev", "-n", s.namespace)
		if err != nil {
			return err
		}
		if !strings.Contains(out, workload) || !strings.Contains(out, "REASON") {
			return fmt.Errorf("kubectl get printed\n%s", out)
		}
		return nil
	})
}
