package kwok

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/provider"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func order(name string) provider.Order {
	p := nodepool.Pool{Template: nodepool.Template{
		Capacity:      corev1.ResourceList{"cpu": resource.MustParse("2"), "memory": resource.MustParse("4Gi")},
		StartupTaints: []corev1.Taint{{Key: "starting", Effect: corev1.TaintEffectNoSchedule}},
	}}
	r := nodepool.Request{Name: name, Zone: "z", At: start}
	return provider.Order{Pool: "workers", Request: r, Template: p.Template, Node: p.NewNode("workers", r), BootTime: 30 * time.Second}
}

// until waits for a condition that another goroutine brings about.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func TestBoot(t *testing.T) {
	client := fake.NewClientset()
	clock := clocktesting.NewFakeClock(start.Add(10 * time.Second))
	p := New(client.CoreV1().Nodes(), clock)
	if err := p.Create(t.Context(), order("workers-1")); err == nil {
		t.Error("a provider that is not running accepts a node")
	}
	ctx, stop := context.WithCancel(t.Context())
	p.Start(ctx)
	failures := 1
	client.PrependReactor("create", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
		if failures--; failures >= 0 {
			return true, nil, errors.New("the API server is away")
		}
		return false, nil, nil
	})
	for range 2 {
		if err := p.Create(ctx, order("workers-1")); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.Accepted("workers"); len(got) != 1 || got[0] != "workers-1" {
		t.Errorf("accepted %v", got)
	}
	get := func() (*corev1.Node, error) {
		return client.CoreV1().Nodes().Get(ctx, "workers-1", metav1.GetOptions{})
	}
	until(t, "it boots", clock.HasWaiters)
	clock.Step(19 * time.Second) // 29 s after it was first asked for
	if _, err := get(); err == nil {
		t.Error("the node came before its boot time")
	}
	clock.Step(time.Second)
	until(t, "it tries again", clock.HasWaiters)
	clock.Step(retry)
	until(t, "the node is there", func() bool { _, err := get(); return err == nil })
	node, err := get()
	if err != nil {
		t.Fatal(err)
	}
	if node.Labels[nodepool.PoolLabel] != "workers" || node.Labels[corev1.LabelTopologyZone] != "z" || len(node.Spec.Taints) != 1 ||
		node.Status.Allocatable.Pods().Value() == 0 || node.Annotations[managedAnnotation] != "fake" {
		t.Errorf("the node is %+v", node)
	}
	until(t, "nothing boots", func() bool { return len(p.Accepted("workers")) == 0 })

	// A node on its way is forgotten when the provider ends.
	if err := p.Create(ctx, order("workers-2")); err != nil {
		t.Fatal(err)
	}
	later := order("workers-3")
	later.Request.At = clock.Now()
	if err := p.Create(ctx, later); err != nil {
		t.Fatal(err)
	}
	stop()
	p.Wait()
	if got := p.Accepted("workers"); len(got) != 0 {
		t.Errorf("accepted %v after the end", got)
	}
}

func TestDelete(t *testing.T) {
	client := fake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "u"}})
	p := New(client.CoreV1().Nodes(), clocktesting.NewFakeClock(start))
	for range 2 {
		if err := p.Delete(t.Context(), "n", "u"); err != nil {
			t.Error(err)
		}
	}
	sent := client.Actions()[0].(clienttesting.DeleteActionImpl).DeleteOptions.Preconditions
	if sent == nil || sent.UID == nil || *sent.UID != "u" {
		t.Errorf("the preconditions are %v", sent)
	}
}
