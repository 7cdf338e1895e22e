package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
)

// poolTaint keeps the pods of other tests off a pool's nodes.
const poolTaint = "example.com/pool"

// pool makes a NodePool of nodes with 4 CPUs whose pods select it by its label
// and tolerate its taint.
func (s *stage) pool(low, high int32) *v1alpha1.NodePool {
	p := &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}, Spec: v1alpha1.NodePoolSpec{
		Min: low, Max: high,
		Template: v1alpha1.NodeTemplate{Capacity: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("16Gi"), corev1.ResourcePods: resource.MustParse("20"),
		}, Taints: []corev1.Taint{{Key: poolTaint, Value: s.namespace, Effect: corev1.TaintEffectNoSchedule}}},
		Provider: v1alpha1.NodeProvider{Kwok: &v1alpha1.KwokProvider{BootTime: &metav1.Duration{Duration: time.Second}}},
	}}
	s.t.Cleanup(func() {
		// The test's context is over; a pool that stays would grow for other tests.
		_ = s.client.Delete(context.Background(), p)
	})
	return p
}

// poolDeployment has one container that asks for so much CPU, on the stage's pool.
func (s *stage) poolDeployment(name string, replicas int32, cpu string) *appsv1.Deployment {
	d := s.deployment(replicas)
	d.Name = name
	labels := map[string]string{"app": name}
	d.Spec.Selector.MatchLabels, d.Spec.Template.Labels = labels, labels
	d.Spec.Template.Spec.NodeSelector = map[string]string{nodepool.PoolLabel: s.namespace}
	d.Spec.Template.Spec.Tolerations = []corev1.Toleration{{Key: poolTaint, Value: s.namespace}}
	d.Spec.Template.Spec.TerminationGracePeriodSeconds = ptr.To(int64(1))
	d.Spec.Template.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse(cpu)
	return d
}

func (s *stage) poolNodes() []corev1.Node {
	s.t.Helper()
	var list corev1.NodeList
	if err := s.client.List(s.t.Context(), &list, ctrlclient.MatchingLabels{nodepool.PoolLabel: s.namespace}); err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

func (s *stage) pods(app string) []corev1.Pod {
	s.t.Helper()
	var list corev1.PodList
	if err := s.client.List(s.t.Context(), &list, ctrlclient.InNamespace(s.namespace), ctrlclient.MatchingLabels{"app": app}); err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

func (s *stage) awaitRunning(app string, want int) []corev1.Pod {
	s.t.Helper()
	var running []corev1.Pod
	eventually(s.t, 60*time.Second, func() error {
		running = nil
		for _, p := range s.pods(app) {
			if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
				running = append(running, p)
			}
		}
		if len(running) != want {
			return fmt.Errorf("%d pods of %s run, want %d; pool: %s", len(running), app, want, s.poolText())
		}
		return nil
	})
	return running
}

func (s *stage) poolText() string {
	s.t.Helper()
	var p v1alpha1.NodePool
	if err := s.client.Get(s.t.Context(), ctrlclient.ObjectKey{Name: s.namespace}, &p); err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, c := range p.Status.Conditions {
		fmt.Fprintf(&b, "%s=%s %s (%s); ", c.Type, c.Status, c.Reason, c.Message)
	}
	return b.String()
}

func (s *stage) awaitNodes(want int) {
	s.t.Helper()
	eventually(s.t, 90*time.Second, func() error {
		if got := len(s.poolNodes()); got != want {
			return fmt.Errorf("%d nodes, want %d; pool: %s", got, want, s.poolText())
		}
		return nil
	})
}

// TestPoolGrowsAndShrinks: pods that fit nowhere get nodes, as many as they need;
// once they are gone the nodes go too.
func TestPoolGrowsAndShrinks(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab)
	s.create(s.pool(0, 5), s.poolDeployment("batch", 6, "1800m"))
	s.awaitRunning("batch", 6)
	if got := len(s.poolNodes()); got != 3 {
		t.Errorf("%d nodes for 6 pods of which 2 fit on a node, want 3", got)
	}
	var d appsv1.Deployment
	s.get("batch", &d)
	before := d.DeepCopy()
	d.Spec.Replicas = ptr.To(int32(0))
	if err := s.client.Patch(t.Context(), &d, ctrlclient.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	s.awaitNodes(0)
}

// TestPoolKeepsItsBounds: a pool is never under its minimum and never over its
// maximum, and pods that stay pending are told why.
func TestPoolKeepsItsBounds(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab)
	s.create(s.pool(1, 2))
	s.awaitNodes(1)
	s.create(s.poolDeployment("greedy", 5, "3"))
	s.awaitRunning("greedy", 2)
	consistently(t, 5*time.Second, func() error {
		if got := len(s.poolNodes()); got > 2 {
			return fmt.Errorf("%d nodes, the maximum is 2", got)
		}
		return nil
	})
	var pending string
	for _, p := range s.pods("greedy") {
		if p.Status.Phase == corev1.PodPending {
			pending = p.Name
		}
	}
	eventually(t, 20*time.Second, func() error {
		out, err := explain(t, s.lab.Kubeconfig(), "explain", "pod", pending, "-n", s.namespace)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if !strings.Contains(out, s.namespace) || !strings.Contains(strings.ToLower(out), "max") {
			return fmt.Errorf("explain pod does not say that the pool is at its maximum:\n%s", out)
		}
		return nil
	})
}

// TestBudgetStopsDrain: a node that would be removed, but for a budget that
// allows no disruption, stays; the scaler says which budget, and removes the node
// once the budget is gone.
func TestBudgetStopsDrain(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab)
	s.create(s.pool(0, 3), s.poolDeployment("filler", 1, "3500m"))
	first := s.awaitRunning("filler", 1)[0].Spec.NodeName
	s.create(&policyv1.PodDisruptionBudget{ObjectMeta: s.meta("keeper"), Spec: policyv1.PodDisruptionBudgetSpec{
		MinAvailable: ptr.To(intstr.FromString("100%")),
		Selector:     &metav1.LabelSelector{MatchLabels: map[string]string{"app": "keeper"}},
	}})
	s.create(s.poolDeployment("keeper", 1, "1"))
	keeper := s.awaitRunning("keeper", 1)[0]
	if keeper.Spec.NodeName == first {
		t.Fatalf("the keeper runs on the filler's node %s", first)
	}
	// A smaller filler leaves room on the first node for the keeper, and keeps that
	// node above the threshold.
	smaller := s.poolDeployment("smaller", 1, "2500m")
	smaller.Spec.Template.Spec.NodeSelector = map[string]string{corev1.LabelHostname: first}
	s.create(smaller)
	var filler appsv1.Deployment
	s.get("filler", &filler)
	if err := s.client.Delete(t.Context(), &filler); err != nil {
		t.Fatal(err)
	}
	s.awaitRunning("smaller", 1)

	eventually(t, 60*time.Second, func() error {
		out, err := explain(t, s.lab.Kubeconfig(), "explain", "node", keeper.Spec.NodeName)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if !strings.Contains(out, s.namespace+"/keeper") {
			return fmt.Errorf("explain node does not name the budget:\n%s", out)
		}
		return nil
	})
	consistently(t, 10*time.Second, func() error {
		now := s.pods("keeper")
		if len(now) != 1 || now[0].UID != keeper.UID || now[0].DeletionTimestamp != nil {
			return errors.New("the keeper was disturbed")
		}
		return nil
	})
	var b policyv1.PodDisruptionBudget
	s.get("keeper", &b)
	if err := s.client.Delete(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	s.awaitNodes(1)
	s.awaitRunning("keeper", 1)
}

// TestInvalidNodePoolIsRefused: the API server itself names the field.
func TestInvalidNodePoolIsRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab)
	cases := map[string]struct {
		spoil func(*v1alpha1.NodePool)
		field string
	}{
		"min over max": {func(p *v1alpha1.NodePool) { p.Spec.Min = 9 }, "spec.min"},
		"no provider":  {func(p *v1alpha1.NodePool) { p.Spec.Provider = v1alpha1.NodeProvider{} }, "spec.provider"},
		"no memory":    {func(p *v1alpha1.NodePool) { delete(p.Spec.Template.Capacity, corev1.ResourceMemory) }, "spec.template.capacity"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := s.pool(0, 2)
			c.spoil(p)
			err := s.client.Create(t.Context(), p)
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), c.field) {
				t.Errorf("error %v, want Invalid naming %s", err, c.field)
			}
		})
	}
}
