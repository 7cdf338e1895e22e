package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/test/budget"
	"github.com/quartet-autoscaling/quartet/test/crash"
)

// playPool grows a pool for pods that fit nowhere, and shrinks it to its minimum
// when they are gone: one node is then empty, one has a pod that moves, and one a
// pod whose budget lets nobody disturb it.
func playPool(s *stage) crash.Outcome {
	s.t.Helper()
	s.removePoolAfter()
	broken := s.watchBudgets()
	s.create(s.pool(1, 5), s.budget("keeper", intstr.FromString("100%")), s.poolDeployment("keeper", 1, "1"))
	keeper := s.awaitRunning("keeper", 1)[0]
	// As long as the plug is there, the mover has no room beside the keeper.
	plug := s.poolDeployment("plug", 1, "2800m")
	plug.Spec.Template.Spec.NodeSelector = map[string]string{corev1.LabelHostname: keeper.Spec.NodeName}
	s.create(plug)
	s.awaitRunning("plug", 1)
	s.create(s.poolDeployment("batch", 2, "3"), s.poolDeployment("mover", 1, "500m"))
	s.awaitRunning("batch", 2)
	s.awaitRunning("mover", 1)
	peak := len(s.poolNodes())

	for _, name := range []string{"plug", "batch"} {
		if err := s.client.Delete(s.t.Context(), &appsv1.Deployment{ObjectMeta: s.meta(name)}); err != nil {
			s.t.Fatal(err)
		}
	}
	s.awaitNodes(1)
	mover := s.awaitRunning("mover", 1)[0]
	status := s.awaitPoolAtRest()
	after := s.pods("keeper")
	return crash.Outcome{
		"nodes at the peak":          fmt.Sprint(peak),
		"nodes in the end":           s.nodesText(keeper.Spec.NodeName),
		"pool's status":              fmt.Sprintf("%d nodes, %d ready, %d starting, %d draining, %d asked for", status.Nodes, status.Ready, status.Starting, status.Draining, len(status.Requested)),
		"keeper undisturbed":         fmt.Sprint(len(after) == 1 && after[0].UID == keeper.UID && after[0].DeletionTimestamp == nil),
		"mover on the keeper's node": fmt.Sprint(mover.Spec.NodeName == keeper.Spec.NodeName),
		"pods pending":               fmt.Sprint(s.pending()),
		"budgets broken":             broken(),
	}
}

func (s *stage) budget(app string, least intstr.IntOrString) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{ObjectMeta: s.meta(app), Spec: policyv1.PodDisruptionBudgetSpec{
		MinAvailable: ptr.To(least), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}},
	}}
}

// watchBudgets begins to watch from outside, and returns what gives the budgets
// of the stage that an eviction broke.
func (s *stage) watchBudgets() (broken func() string) {
	s.t.Helper()
	w, err := budget.Watch(s.t.Context(), s.lab.Config())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(w.Stop)
	return func() string {
		var all []string
		for _, v := range w.Report().Violations {
			if v.Namespace == s.namespace {
				all = append(all, v.String())
			}
		}
		return strings.Join(all, "; ")
	}
}

// removePoolAfter removes the stage's pods, its pool and the pool's nodes when
// the test ends: a pool's nodes outlive it.
func (s *stage) removePoolAfter() {
	s.after(func(ctx context.Context) error {
		here := ctrlclient.InNamespace(s.namespace)
		return errors.Join(
			s.client.DeleteAllOf(ctx, &appsv1.Deployment{}, here),
			ctrlclient.IgnoreNotFound(s.client.Delete(ctx, &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}})),
			s.client.DeleteAllOf(ctx, &corev1.Pod{}, here, ctrlclient.GracePeriodSeconds(0)),
			s.client.DeleteAllOf(ctx, &corev1.Node{}, ctrlclient.MatchingLabels{nodepool.PoolLabel: s.namespace}),
		)
	})
}

// awaitPoolAtRest waits until the pool's status says that nothing is under way.
func (s *stage) awaitPoolAtRest() v1alpha1.NodePoolStatus {
	s.t.Helper()
	var p v1alpha1.NodePool
	eventually(s.t, 30*time.Second, func() error {
		s.get(s.namespace, &p)
		if n := p.Status; n.Starting != 0 || n.Draining != 0 || len(n.Requested) != 0 || int(n.Nodes) != len(s.poolNodes()) {
			return fmt.Errorf("the pool is not at rest: %+v", n)
		}
		return nil
	})
	return p.Status
}

// nodesText tells of each node of the pool whether it is the one that stays, and
// what keeps pods off it.
func (s *stage) nodesText(home string) string {
	s.t.Helper()
	var all []string
	for _, n := range s.poolNodes() {
		text := "another"
		if n.Name == home {
			text = "the keeper's"
		}
		all = append(all, strings.TrimSpace(text+" "+marks(&n)))
	}
	return strings.Join(all, ", ")
}

// marks are the signs of a drain on a node.
func marks(n *corev1.Node) string {
	var all []string
	if n.Spec.Unschedulable {
		all = append(all, "cordoned")
	}
	for _, t := range n.Spec.Taints {
		if t.Key == nodepool.DrainTaint {
			all = append(all, "tainted "+t.Value)
		}
	}
	return strings.Join(all, " ")
}

func (s *stage) pending() int {
	s.t.Helper()
	var list corev1.PodList
	if err := s.client.List(s.t.Context(), &list, ctrlclient.InNamespace(s.namespace)); err != nil {
		s.t.Fatal(err)
	}
	n := 0
	for _, p := range list.Items {
		if p.Status.Phase == corev1.PodPending {
			n++
		}
	}
	return n
}

// settled tries until check gives nil, for as long as a binary that has just come
// back may take to put things right.
func settled(ctx context.Context, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-every.C:
		}
	}
}

// noDrainLeft wants no node of the cluster tainted or cordoned: every drain is
// finished or undone.
func noDrainLeft(ctx context.Context) error {
	return settled(ctx, func() error {
		var nodes corev1.NodeList
		if err := suite.lab.Client().List(ctx, &nodes); err != nil {
			return err
		}
		for _, n := range nodes.Items {
			if text := marks(&n); text != "" {
				return fmt.Errorf("node %s is %s", n.Name, text)
			}
		}
		return nil
	})
}

// noNodeWithoutPool wants no node made for a pool that is gone.
func noNodeWithoutPool(ctx context.Context) error {
	return settled(ctx, func() error {
		var nodes corev1.NodeList
		if err := suite.lab.Client().List(ctx, &nodes, ctrlclient.HasLabels{nodepool.PoolLabel}); err != nil {
			return err
		}
		for _, n := range nodes.Items {
			pool := n.Labels[nodepool.PoolLabel]
			if err := suite.lab.Client().Get(ctx, ctrlclient.ObjectKey{Name: pool}, &v1alpha1.NodePool{}); err != nil {
				return fmt.Errorf("node %s: pool %s: %w", n.Name, pool, err)
			}
		}
		return nil
	})
}
