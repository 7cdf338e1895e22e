package budget_test

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/budget"
	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/lab/labtest"
)

const (
	limit    = 60 * time.Second
	replicas = 3
)

// scene is a Deployment of three pods under a budget, watched.
type scene struct {
	t       *testing.T
	lab     *lab.Lab
	client  ctrlclient.Client
	guard   *policyv1.PodDisruptionBudget
	watcher *budget.Watcher
}

// TestWatcher: what a real cluster shows of deletions and evictions, allowed, refused and forged.
func TestWatcher(t *testing.T) {
	t.Parallel()
	s := newScene(t)

	// A deletion asks no budget and is no eviction.
	s.must(s.client.Delete(t.Context(), s.pods()[0]))
	s.awaitSeen(0, 0)
	s.awaitWhole()

	// The API refuses what the budget does not allow.
	if err := s.evict(s.pods()[0]); !apierrors.IsTooManyRequests(err) {
		t.Errorf("an eviction against the budget gives %v, want 429", err)
	}
	s.awaitSeen(0, 0)

	// It allows what the budget does.
	s.guard.Spec.MinAvailable = ptr.To(intstr.FromString("50%"))
	s.must(s.client.Update(t.Context(), s.guard))
	s.awaitAllowed(1)
	s.must(s.evict(s.pods()[0]))
	s.awaitSeen(1, 0)
	s.awaitWhole()

	// An eviction behind the budget's back, as an API server would let one pass that did not look: the condition
	// first, then the deletion.
	s.guard.Spec.MinAvailable = ptr.To(intstr.FromString("100%"))
	s.must(s.client.Update(t.Context(), s.guard))
	s.awaitAllowed(0)
	victim := s.pods()[0]
	victim.Status.Conditions = append(victim.Status.Conditions, corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI", LastTransitionTime: metav1.Now(),
	})
	s.must(s.client.Status().Update(t.Context(), victim))
	s.must(s.client.Delete(t.Context(), victim))
	s.awaitSeen(2, 1)
	if v := s.watcher.Report().Violations[0]; v.Pod != victim.Name || v.Budget != "guard" || v.Healthy != 2 || v.Desired != 3 {
		t.Errorf("the violation is %s", v)
	}
}

func newScene(t *testing.T) *scene {
	t.Helper()
	l := labtest.Start(t, lab.Options{Name: "budget", Nodes: 1})
	s := &scene{t: t, lab: l, client: l.Client()}
	meta, selector := metav1.ObjectMeta{Namespace: "default", Name: "web"}, metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	s.must(s.client.Create(t.Context(), &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
		Replicas: ptr.To(int32(replicas)), Selector: &selector,
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: selector.MatchLabels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "nothing-to-pull"}}},
		},
	}}))
	s.guard = &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "guard"},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &selector, MinAvailable: ptr.To(intstr.FromString("100%"))},
	}
	s.must(s.client.Create(t.Context(), s.guard))
	s.awaitWhole()
	watcher, err := budget.Watch(t.Context(), l.Config())
	s.must(err)
	t.Cleanup(watcher.Stop)
	s.watcher = watcher
	return s
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// pods returns the pods that stay and are Ready.
func (s *scene) pods() []*corev1.Pod {
	s.t.Helper()
	var list corev1.PodList
	s.must(s.client.List(s.t.Context(), &list, ctrlclient.InNamespace("default")))
	var ready []*corev1.Pod
	for i := range list.Items {
		for _, c := range list.Items[i].Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && list.Items[i].DeletionTimestamp == nil {
				ready = append(ready, &list.Items[i])
			}
		}
	}
	return ready
}

func (s *scene) evict(pod *corev1.Pod) error {
	return s.client.SubResource("eviction").Create(s.t.Context(), pod, &policyv1.Eviction{})
}

// awaitWhole waits until all pods are Ready again and the budget's status knows.
func (s *scene) awaitWhole() {
	s.t.Helper()
	s.eventually(func() error {
		s.readGuard()
		if n := len(s.pods()); n != replicas || s.guard.Status.CurrentHealthy != replicas {
			return fmt.Errorf("%d pods are Ready, the budget knows of %d", n, s.guard.Status.CurrentHealthy)
		}
		return nil
	})
}

func (s *scene) readGuard() {
	s.t.Helper()
	s.must(s.client.Get(s.t.Context(), ctrlclient.ObjectKeyFromObject(s.guard), s.guard))
}

func (s *scene) awaitAllowed(want int32) {
	s.t.Helper()
	s.eventually(func() error {
		s.readGuard()
		if got := s.guard.Status.DisruptionsAllowed; got != want || s.guard.Status.ObservedGeneration != s.guard.Generation {
			return fmt.Errorf("the budget allows %d disruptions, want %d", got, want)
		}
		return nil
	})
}

// awaitSeen waits until the watcher has seen so many evictions and violations, and wants no more.
func (s *scene) awaitSeen(evictions, violations int) {
	s.t.Helper()
	s.eventually(func() error {
		r := s.watcher.Report()
		if r.Evictions < evictions || len(r.Violations) < violations {
			return fmt.Errorf("seen %+v, want %d evictions and %d violations", r, evictions, violations)
		}
		return nil
	})
	if r := s.watcher.Report(); r.Evictions != evictions || len(r.Violations) != violations {
		s.t.Fatalf("seen %+v, want %d evictions and %d violations", r, evictions, violations)
	}
}

func (s *scene) eventually(check func() error) {
	s.t.Helper()
	every := time.NewTicker(50 * time.Millisecond)
	defer every.Stop()
	for end := time.After(limit); ; {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-end:
			s.t.Fatalf("not within %s: %v", limit, err)
		case <-every.C:
		}
	}
}
