package controller

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/plan"
	"github.com/quartet-autoscaling/quartet/internal/ledger"
	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/lab/labtest"
)

// scene is a lab with the scaler at work in this process.
type scene struct {
	*testing.T
	lab    *lab.Lab
	client client.Client
}

// until waits for a condition, which is nil where it holds.
func (s *scene) until(what string, check func(ctx context.Context) error) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 60*time.Second)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			s.Fatalf("%s: %v", what, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// scaler runs the whole command in this process, on a port of its own, and gives
// what ends it.
func (s *scene) scaler(ledgers string) func() int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		s.Fatal(err)
	}
	command := NewCommand()
	inner := command.Run
	ctx, stop := context.WithCancel(s.Context())
	command.Run = func(context.Context) error { return inner(ctx) }
	code := make(chan int, 1)
	logs, err := os.Create(filepath.Join(s.lab.Logs(), "cluster-scaler.log"))
	if err != nil {
		s.Fatal(err)
	}
	go func() {
		code <- command.Main([]string{
			"--kubeconfig=" + s.lab.Kubeconfig(), "--leader-elect=false", "--scan-interval=500ms", "--bind-address=127.0.0.1",
			"--secure-port=" + strconv.Itoa(port), "--ledger-dir=" + ledgers, "--log-format=text", "--log-level=debug",
			"--scale-down-unneeded-time=2s", "--scale-down-delay-after-add=1s",
		}, io.Discard, logs)
	}()
	return func() int {
		stop()
		defer func() { _ = logs.Close() }()
		return <-code
	}
}

func (s *scene) apply(objects ...client.Object) {
	s.Helper()
	for _, o := range objects {
		if err := s.client.Create(s.Context(), o); err != nil {
			s.Fatalf("create %s: %v", o.GetName(), err)
		}
	}
}

func testPool() *v1alpha1.NodePool {
	return &v1alpha1.NodePool{
		ObjectMeta: metav1.ObjectMeta{Name: "workers"},
		Spec: v1alpha1.NodePoolSpec{
			Min: 1, Max: 4,
			Template: v1alpha1.NodeTemplate{Capacity: corev1.ResourceList{
				"cpu": resource.MustParse("2"), "memory": resource.MustParse("4Gi"),
			}},
			Provider: v1alpha1.NodeProvider{Kwok: &v1alpha1.KwokProvider{BootTime: &metav1.Duration{Duration: time.Second}}},
			// Only pods and budgets are to hold a node.
			ScaleDown:  &v1alpha1.ScaleDownTimes{UtilizationThresholdPercent: ptr.To[int32](100)},
			Disruption: &v1alpha1.NodeDisruption{Budgets: []v1alpha1.DisruptionBudget{{Nodes: ptr.To[int32](3)}}},
		},
	}
}

func testDeployment(name string, pods int32, cpu string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &pods, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					NodeSelector: map[string]string{nodepool.PoolLabel: "workers"},
					Containers: []corev1.Container{{Name: "c", Image: "example.test/c", Resources: corev1.ResourceRequirements{
						Requests: corev1.ResourceList{"cpu": resource.MustParse(cpu)},
					}}},
				},
			},
		},
	}
}

func (s *scene) nodes(ctx context.Context) ([]corev1.Node, error) {
	var list corev1.NodeList
	err := s.client.List(ctx, &list, client.MatchingLabels{nodepool.PoolLabel: "workers"})
	return list.Items, err
}

func (s *scene) wantNodes(n int) {
	s.Helper()
	s.until(fmt.Sprintf("%d nodes", n), func(ctx context.Context) error {
		nodes, err := s.nodes(ctx)
		if err != nil {
			return err
		}
		if len(nodes) != n {
			return fmt.Errorf("there are %d nodes", len(nodes))
		}
		for _, node := range nodes {
			if len(node.Spec.Taints) > 0 {
				return fmt.Errorf("node %s has the taints %v", node.Name, node.Spec.Taints)
			}
		}
		return nil
	})
}

func (s *scene) wantRunning(name string, n int32) {
	s.Helper()
	s.until(fmt.Sprintf("%d pods of %s", n, name), func(ctx context.Context) error {
		var d appsv1.Deployment
		if err := s.client.Get(ctx, types.NamespacedName{Namespace: "default", Name: name}, &d); err != nil {
			return err
		}
		if d.Status.ReadyReplicas != n || d.Status.Replicas != n {
			return fmt.Errorf("%d of %d are ready", d.Status.ReadyReplicas, d.Status.Replicas)
		}
		return nil
	})
}

func (s *scene) resize(name string, n int32) {
	s.Helper()
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n))
	if err := s.client.Patch(s.Context(), testDeployment(name, 0, "1"), patch); err != nil {
		s.Fatal(err)
	}
}

// TestInTheLab grows a pool, meets a budget that holds a node, and shrinks it
// again, with the real scheduler, and replays what was recorded.
func TestInTheLab(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a control plane")
	}
	l := labtest.Start(t, lab.Options{Name: "cluster-scaler", Nodes: 1})
	s := &scene{T: t, lab: l, client: l.Client()}
	if out, err := l.Kubectl(t.Context(), "apply", "-f", "../../deploy/helm/quartet/files/crds"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.until("the CRD", func(ctx context.Context) error {
		return s.client.List(ctx, &v1alpha1.NodePoolList{})
	})
	ledgers := t.TempDir()
	stop := s.scaler(ledgers)
	s.apply(testPool())
	s.wantNodes(1)

	s.apply(testDeployment("web", 5, "1"))
	s.wantRunning("web", 5)
	s.wantNodes(3)

	strict := intstr.FromString("100%")
	s.apply(testDeployment("strict", 1, "100m"), &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "strict"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &strict, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "strict"}}},
	})
	s.wantRunning("strict", 1)
	s.resize("web", 0)
	s.wantNodes(1)
	s.resize("web", 3)
	s.wantRunning("web", 3)
	s.until("the budget in the pool's message", func(ctx context.Context) error {
		var pool v1alpha1.NodePool
		if err := s.client.Get(ctx, types.NamespacedName{Name: "workers"}, &pool); err != nil {
			return err
		}
		if !strings.Contains(pool.Status.Message, "held by budget default/strict: currentHealthy=1 desiredHealthy=1") {
			return fmt.Errorf("the message is %q", pool.Status.Message)
		}
		return nil
	})
	if code := stop(); code != 0 {
		t.Errorf("the scaler ended with %d", code)
	}
	replayAll(t, ledgers)
	if out, err := l.Kubectl(t.Context(), "get", "qnp", "-o", "wide"); err == nil {
		t.Log("\n" + out)
	}
	if out, err := l.Kubectl(t.Context(), "get", "events", "-A", "--no-headers", "-o", "custom-columns=R:.reason,O:.involvedObject.kind,N:.involvedObject.name,M:.message,S:.source.component"); err == nil {
		for line := range strings.Lines(out) {
			if strings.Contains(line, fieldManager) {
				t.Log(strings.TrimSpace(line))
			}
		}
	}
}

func replayAll(t *testing.T, dir string) {
	t.Helper()
	files, err := ledger.Files(dir, plan.Component)
	if err != nil || len(files) == 0 {
		t.Fatalf("the ledger's files: %v, %v", files, err)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		report, err := ledger.Replay(f, plan.Rules())
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if report.Decisions == 0 || len(report.Differences) > 0 {
			t.Errorf("%d decisions, differences %v", report.Decisions, report.Differences)
		}
	}
}
