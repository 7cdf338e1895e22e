package budget

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// settle is for how long a greater scale does not count yet: the eviction API decides by what the disruption
// controller saw a moment ago, and a scale that has just grown asks for pods that nobody could have missed.
const settle = 2 * time.Second

// evictedByAPI is the reason that the eviction API gives on a pod that it deletes.
const evictedByAPI = "EvictionByEvictionAPI"

// Violation is an eviction of a healthy pod that left fewer healthy ones than its budget wants.
type Violation struct {
	Time      time.Time `json:"time"`
	Namespace string    `json:"namespace"`
	Budget    string    `json:"budget"`
	Pod       string    `json:"pod"`
	Healthy   int       `json:"healthy"` // pods, after the eviction
	Desired   int       `json:"desired"` // pods
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: the eviction of pod %s/%s left %d healthy, budget %s wants %d",
		v.Time.UTC().Format(time.RFC3339Nano), v.Namespace, v.Pod, v.Healthy, v.Budget, v.Desired)
}

// Controller owns pods, or other controllers that do: a Deployment, a ReplicaSet, a StatefulSet.
type Controller struct {
	UID      types.UID
	Parent   types.UID // the controller that owns this one; empty: none
	Replicas int32     // as its spec asks for
}

// Judge keeps the state of pods, budgets and controllers, fed event by event in the order in which they happened to
// the pods, and judges each eviction on it. Not for several goroutines.
type Judge struct {
	pods        map[types.UID]*corev1.Pod // those not deleted
	leaving     map[types.UID]bool        // those whose deletion began
	budgets     map[types.NamespacedName]*policyv1.PodDisruptionBudget
	controllers map[types.UID]*scale

	evictions  int
	violations []Violation
}

// scale is a controller with the scales that it had a moment ago.
type scale struct {
	Controller
	before []formerScale
}

type formerScale struct {
	replicas int32
	until    time.Time
}

// NewJudge returns a judge who has seen nothing.
func NewJudge() *Judge {
	return &Judge{
		pods: map[types.UID]*corev1.Pod{}, leaving: map[types.UID]bool{},
		budgets: map[types.NamespacedName]*policyv1.PodDisruptionBudget{}, controllers: map[types.UID]*scale{},
	}
}

// Evictions returns how many pods left by the eviction API.
func (j *Judge) Evictions() int { return j.evictions }

// Violations returns the broken budgets, in the order in which they broke.
func (j *Judge) Violations() []Violation { return slices.Clone(j.violations) }

// Budget notes a budget as it is from now on.
func (j *Judge) Budget(b *policyv1.PodDisruptionBudget) { j.budgets[nameOf(b)] = b }

// BudgetGone notes the end of a budget.
func (j *Judge) BudgetGone(b *policyv1.PodDisruptionBudget) { delete(j.budgets, nameOf(b)) }

func nameOf(b *policyv1.PodDisruptionBudget) types.NamespacedName {
	return types.NamespacedName{Namespace: b.Namespace, Name: b.Name}
}

// Controller notes a controller as it is from now on.
func (j *Judge) Controller(now time.Time, c Controller) {
	s := j.controllers[c.UID]
	if s == nil {
		j.controllers[c.UID] = &scale{Controller: c}
		return
	}
	s.before = slices.DeleteFunc(s.before, func(f formerScale) bool { return now.Sub(f.until) > settle })
	if s.Replicas != c.Replicas {
		s.before = append(s.before, formerScale{s.Replicas, now})
	}
	s.Controller = c
}

// ControllerGone notes the end of a controller.
func (j *Judge) ControllerGone(uid types.UID) { delete(j.controllers, uid) }

// Pod notes a pod as it is from now on, and judges where its deletion began.
func (j *Judge) Pod(now time.Time, pod *corev1.Pod) {
	if pod.DeletionTimestamp != nil {
		j.leave(now, pod)
	}
	j.pods[pod.UID] = pod
}

// PodGone notes the end of a pod, in its last state, and judges where its deletion was not seen to begin.
func (j *Judge) PodGone(now time.Time, pod *corev1.Pod) {
	j.leave(now, pod)
	delete(j.pods, pod.UID)
	delete(j.leaving, pod.UID)
}

// leave judges a pod's deletion, once. What it was before counts: a pod first seen when it was already leaving left
// before the judge came.
func (j *Judge) leave(now time.Time, pod *corev1.Pod) {
	before, known := j.pods[pod.UID]
	if j.leaving[pod.UID] {
		return
	}
	j.leaving[pod.UID] = true
	if !known || !evicted(pod) {
		return
	}
	j.evictions++
	if !ready(before) {
		return // It took nothing from the healthy.
	}
	for _, b := range j.sortedBudgets() {
		if !matches(b, before) {
			continue
		}
		healthy, desired := j.healthy(b), j.desired(now, b)
		if healthy < desired {
			j.violations = append(j.violations, Violation{
				Time: now, Namespace: pod.Namespace, Budget: b.Name, Pod: pod.Name, Healthy: healthy, Desired: desired,
			})
		}
	}
}

func (j *Judge) sortedBudgets() []*policyv1.PodDisruptionBudget {
	var all []*policyv1.PodDisruptionBudget
	for _, b := range j.budgets {
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b *policyv1.PodDisruptionBudget) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// healthy counts the budget's pods that are Ready and stay.
func (j *Judge) healthy(b *policyv1.PodDisruptionBudget) int {
	healthy := 0
	for _, pod := range j.pods {
		if matches(b, pod) && ready(pod) && !j.leaving[pod.UID] {
			healthy++
		}
	}
	return healthy
}

// desired is how many pods the budget wants healthy.
func (j *Judge) desired(now time.Time, b *policyv1.PodDisruptionBudget) int {
	switch {
	case b.Spec.MaxUnavailable != nil:
		all := j.expected(now, b)
		return max(0, all-portion(*b.Spec.MaxUnavailable, all))
	case b.Spec.MinAvailable != nil:
		return portion(*b.Spec.MinAvailable, j.expected(now, b))
	}
	return 0
}

// portion is a number, or a percentage of all, rounded up.
func portion(v intstr.IntOrString, all int) int {
	n, err := intstr.GetScaledValueFromIntOrPercent(&v, all, true)
	if err != nil {
		return 0 // The API admits no such value.
	}
	return n
}

// expected is how many pods there should be: the scales of all that own the budget's pods, and each pod that nobody
// known owns.
func (j *Judge) expected(now time.Time, b *policyv1.PodDisruptionBudget) int {
	owners, expected := map[types.UID]bool{}, 0
	for _, pod := range j.pods {
		if !matches(b, pod) {
			continue
		}
		owner := j.owner(pod)
		if owner == nil {
			expected++
			continue
		}
		if !owners[owner.UID] {
			owners[owner.UID] = true
			expected += int(owner.least(now))
		}
	}
	return expected
}

// owner returns the topmost known controller of a pod, or nil.
func (j *Judge) owner(pod *corev1.Pod) *scale {
	ref := metav1.GetControllerOf(pod)
	if ref == nil {
		return nil
	}
	owner := j.controllers[ref.UID]
	for owner != nil && j.controllers[owner.Parent] != nil {
		owner = j.controllers[owner.Parent]
	}
	return owner
}

// least is the smallest scale of the last moments.
func (s *scale) least(now time.Time) int32 {
	least := s.Replicas
	for _, f := range s.before {
		if now.Sub(f.until) <= settle {
			least = min(least, f.replicas)
		}
	}
	return least
}

func matches(b *policyv1.PodDisruptionBudget, pod *corev1.Pod) bool {
	if b.Namespace != pod.Namespace {
		return false
	}
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	return err == nil && selector.Matches(labels.Set(pod.Labels))
}

func ready(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func evicted(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue && c.Reason == evictedByAPI
	})
}
