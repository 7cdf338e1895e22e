package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// TestMetricChanges: who may view a namespace sees its metrics change as they do,
// and the HPA controller follows them.
func TestMetricChanges(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab)
	s.fill(30)
	s.create(s.metricSource(), &corev1.ServiceAccount{ObjectMeta: s.meta("tenant")}, &rbacv1.RoleBinding{
		ObjectMeta: s.meta("tenant-views"),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: "tenant"}},
	})
	tenant, err := s.lab.ServiceAccountKubeconfig(t.Context(), s.namespace, "tenant")
	if err != nil {
		t.Fatal(err)
	}
	// The role reaches the API server a moment later.
	eventually(t, 20*time.Second, func() error {
		_, err := s.lab.Kubectl(t.Context(), "--kubeconfig="+tenant, "get", "metricchanges", "-n", s.namespace)
		return err
	})
	rows := s.followChanges(tenant)
	awaitRow(t, rows, "30")
	s.fill(25)
	awaitRow(t, rows, "55")

	eventually(t, 30*time.Second, func() error {
		line, err := readyDetail(suite.release.Process("hpa-controller"), "metric-changes")
		if err == nil && (!strings.Contains(line, "followed") || strings.Contains(line, "not followed")) {
			err = fmt.Errorf("readiness says %q, want that changes are followed", line)
		}
		return err
	})
	if out, err := s.lab.Kubectl(t.Context(), "--kubeconfig="+tenant, "get", "metricchanges", "-n", "kube-system"); err == nil || !strings.Contains(err.Error(), "(Forbidden)") {
		t.Errorf("a tenant follows another namespace: %v: %s", err, out)
	}
}

// followChanges gives what `kubectl get metricchanges -w` prints, until the test
// ends.
func (s *stage) followChanges(kubeconfig string) <-chan string {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	watch := exec.CommandContext(ctx, s.lab.KubectlPath(), "--kubeconfig="+kubeconfig, "--cache-dir="+s.t.TempDir(),
		"get", "metricchanges", "-n", s.namespace, "-w")
	out, err := watch.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		s.t.Fatal(err)
	}
	rows := make(chan string, 100)
	go func() {
		defer close(rows)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			select {
			case rows <- lines.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	s.t.Cleanup(func() {
		cancel()
		for range rows { // all is read before the end is waited for
		}
		_ = watch.Wait() // it was ended
	})
	return rows
}

// awaitRow waits for a row of the metric with a value.
func awaitRow(t *testing.T, rows <-chan string, value string) {
	t.Helper()
	limit := time.After(30 * time.Second)
	var seen []string
	for {
		select {
		case row, ok := <-rows:
			if !ok {
				t.Fatalf("kubectl ended before it showed %s; it printed %q", value, seen)
			}
			seen = append(seen, row)
			if cells := strings.Fields(row); len(cells) > 1 && cells[0] == metricName && cells[1] == value {
				return
			}
		case <-limit:
			t.Fatalf("no row shows %s; kubectl printed %q", value, seen)
		}
	}
}

// TestDraftIsTried: kubectl-quartet asks the broker that a draft names, and makes
// nothing in the cluster.
func TestDraftIsTried(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab)
	s.fill(30)
	draft := s.metricSource()
	row := s.tried(draft, metricName)
	if !slices.Equal(row[:3], []string{metricName, string(v1alpha1.ValueDepth), "30"}) {
		t.Errorf("the row of the metric is %q, want %s with 30", row, v1alpha1.ValueDepth)
	}
	var made v1alpha1.MetricSource
	if err := s.client.Get(t.Context(), ctrlclient.ObjectKeyFromObject(draft), &made); !apierrors.IsNotFound(err) {
		t.Errorf("the draft is in the cluster: %v", err)
	}
}

// tried tries a draft and gives the cells of the row that a metric has.
func (s *stage) tried(draft *v1alpha1.MetricSource, metric string) []string {
	s.t.Helper()
	// A poll is made once, however loaded the machine is.
	draft.Spec.Timeout.Duration = 30 * time.Second
	draft.APIVersion, draft.Kind = v1alpha1.GroupVersion.String(), "MetricSource"
	text, err := yaml.Marshal(draft)
	if err != nil {
		s.t.Fatal(err)
	}
	file := filepath.Join(s.t.TempDir(), "draft.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	out, err := explain(s.t, s.lab.Kubeconfig(), "metric", "test", "-f", file, "--polls=1")
	if err != nil {
		s.t.Fatalf("metric test: %v: %s", err, out)
	}
	if strings.Contains(out, prometheusPassword) {
		s.t.Errorf("metric test prints a password:\n%s", out)
	}
	for line := range strings.Lines(out) {
		if cells := strings.Fields(line); len(cells) >= 3 && cells[0] == metric {
			return cells
		}
	}
	s.t.Fatalf("metric test printed no value of %s:\n%s", metric, out)
	return nil
}
