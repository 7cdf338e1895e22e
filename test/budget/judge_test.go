package budget_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/quartet-autoscaling/quartet/test/budget"
)

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// court is a judge with a clock, a Deployment of some scale and its Ready pods web-0, web-1 and so on.
type court struct {
	*budget.Judge
	now time.Time
}

func newCourt(pods int) *court {
	c := &court{Judge: budget.NewJudge(), now: begin}
	c.scale(pods)
	c.Controller(c.now, budget.Controller{UID: "set", Parent: "deployment", Replicas: int32(pods)})
	for i := range pods {
		c.Pod(c.now, pod(i))
	}
	return c
}

func (c *court) wait(d time.Duration) { c.now = c.now.Add(d) }

func (c *court) scale(replicas int) {
	c.Controller(c.now, budget.Controller{UID: "deployment", Replicas: int32(replicas)})
}

// evict is what a watch shows of an eviction: the condition, the deletion, the end.
func (c *court) evict(i int) { c.evictPod(pod(i)) }

func (c *court) evictPod(p *corev1.Pod) {
	p = p.DeepCopy()
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI",
	})
	c.Pod(c.now, p)
	c.remove(p)
}

func (c *court) remove(p *corev1.Pod) {
	p = p.DeepCopy()
	p.DeletionTimestamp = &metav1.Time{Time: c.now}
	c.Pod(c.now, p)
	c.PodGone(c.now, p)
}

func (c *court) unready(i int) *corev1.Pod {
	p := pod(i)
	p.Status.Conditions[0].Status = corev1.ConditionFalse
	c.Pod(c.now, p)
	return p
}

func pod(i int) *corev1.Pod {
	name := fmt.Sprintf("web-%d", i)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID(name), Labels: map[string]string{"app": "web"},
			OwnerReferences: []metav1.OwnerReference{{UID: "set", Controller: ptr.To(true)}},
		},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

func guard(minAvailable, maxUnavailable string) *policyv1.PodDisruptionBudget {
	b := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "guard"},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
	}
	if minAvailable != "" {
		b.Spec.MinAvailable = ptr.To(intstr.Parse(minAvailable))
	}
	if maxUnavailable != "" {
		b.Spec.MaxUnavailable = ptr.To(intstr.Parse(maxUnavailable))
	}
	return b
}

func TestJudge(t *testing.T) {
	t.Parallel()
	broken := func(pod string, healthy, desired int) budget.Violation {
		return budget.Violation{Time: begin, Namespace: "shop", Budget: "guard", Pod: pod, Healthy: healthy, Desired: desired}
	}
	cases := map[string]struct {
		pods      int
		happens   func(*court)
		evictions int
		want      []budget.Violation
	}{
		"within minAvailable": {pods: 3, evictions: 1, happens: func(c *court) {
			c.Budget(guard("2", ""))
			c.evict(0)
		}},
		"below minAvailable": {pods: 3, evictions: 2, want: []budget.Violation{broken("web-1", 1, 2)}, happens: func(c *court) {
			c.Budget(guard("2", ""))
			c.evict(0)
			c.evict(1)
		}},
		"below maxUnavailable, of the scale and not of the pods": {pods: 3, evictions: 1, want: []budget.Violation{broken("web-1", 1, 2)}, happens: func(c *court) {
			c.Budget(guard("", "1"))
			c.remove(pod(0))
			c.evict(1)
		}},
		"percentages are rounded up: 34% of 3 may be away": {pods: 3, evictions: 2, happens: func(c *court) {
			c.Budget(guard("", "34%"))
			c.evict(0)
			c.evict(1)
		}},
		"percentages are rounded up: 34% of 3 must stay": {pods: 3, evictions: 2, want: []budget.Violation{broken("web-1", 1, 2)}, happens: func(c *court) {
			c.Budget(guard("34%", ""))
			c.evict(0)
			c.evict(1)
		}},
		"minAvailable 100%": {pods: 2, evictions: 1, want: []budget.Violation{broken("web-0", 1, 2)}, happens: func(c *court) {
			c.Budget(guard("100%", ""))
			c.evict(0)
		}},
		"a deletion is no eviction": {pods: 2, happens: func(c *court) {
			c.Budget(guard("100%", ""))
			c.remove(pod(0))
		}},
		"nor is another disruption": {pods: 2, happens: func(c *court) {
			c.Budget(guard("100%", ""))
			p := pod(0)
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
				Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByTaintManager",
			})
			c.remove(p)
		}},
		"a pod that was not healthy takes nothing": {pods: 2, evictions: 1, happens: func(c *court) {
			c.Budget(guard("2", ""))
			c.evictPod(c.unready(0))
		}},
		"one that is not Ready does not count as healthy": {pods: 3, evictions: 1, want: []budget.Violation{broken("web-0", 1, 2)}, happens: func(c *court) {
			c.Budget(guard("2", ""))
			c.unready(2)
			c.evict(0)
		}},
		"a budget of other pods": {pods: 2, evictions: 1, happens: func(c *court) {
			b := guard("100%", "")
			b.Spec.Selector.MatchLabels["app"] = "db"
			c.Budget(b)
			c.evict(0)
		}},
		"a budget of another namespace": {pods: 2, evictions: 1, happens: func(c *court) {
			b := guard("100%", "")
			b.Namespace = "elsewhere"
			c.Budget(b)
			c.evict(0)
		}},
		"an empty selector means every pod": {pods: 2, evictions: 1, want: []budget.Violation{broken("web-0", 1, 2)}, happens: func(c *court) {
			b := guard("100%", "")
			b.Spec.Selector = &metav1.LabelSelector{}
			c.Budget(b)
			c.evict(0)
		}},
		"a budget taken off and put back": {pods: 2, evictions: 2, want: []budget.Violation{broken("web-1", 0, 2)}, happens: func(c *court) {
			c.Budget(guard("100%", ""))
			c.BudgetGone(guard("", ""))
			c.evict(0)
			c.Budget(guard("100%", ""))
			c.evict(1)
		}},
		"a scale that has just grown asks for nothing yet": {pods: 3, evictions: 1, happens: func(c *court) {
			c.Budget(guard("", "1"))
			c.scale(9)
			c.evict(0)
		}},
		"a scale that grew a while ago does": {pods: 3, evictions: 1, want: []budget.Violation{broken("web-0", 2, 8)}, happens: func(c *court) {
			c.Budget(guard("", "1"))
			c.now = begin.Add(-time.Minute)
			c.scale(9)
			c.wait(time.Minute)
			c.evict(0)
		}},
		"a scale that shrank counts at once": {pods: 3, evictions: 1, happens: func(c *court) {
			c.Budget(guard("100%", ""))
			c.scale(2)
			c.evict(0)
		}},
		"pods without an owner are counted one by one": {pods: 2, evictions: 1, want: []budget.Violation{broken("web-0", 1, 2)}, happens: func(c *court) {
			c.ControllerGone("deployment")
			c.ControllerGone("set")
			c.Budget(guard("100%", ""))
			c.evict(0)
		}},
		"a pod that was leaving already": {pods: 2, happens: func(c *court) {
			c.Budget(guard("3", ""))
			p := pod(5)
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
				Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI",
			})
			c.remove(p)
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCourt(tc.pods)
			tc.happens(c)
			if got := c.Evictions(); got != tc.evictions {
				t.Errorf("%d evictions, want %d", got, tc.evictions)
			}
			if diff := cmp.Diff(tc.want, c.Violations()); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}
