package eviction_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/updater/priority"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/utils/limitrange"
	upstream "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/utils/vpa"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

func resources(r *rand.Rand, least, most int64) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(least+r.Int64N(most-least), resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity((least+r.Int64N(most-least))<<20, resource.BinarySI),
	}
}

// randomWorld draws an object with pods in a few groups.
func randomWorld(seed uint64) *world {
	r := rand.New(rand.NewPCG(seed, 1))
	w := newWorld()
	w.s.Config.Tolerance = []float64{0, 0.25, 0.5, 1}[r.IntN(4)]
	w.s.Config.MinReplicas = r.IntN(4)
	for i := range 1 + r.IntN(2) {
		w.s.VPA.Recommendations = append(w.s.VPA.Recommendations, resourcepolicy.Recommendation{
			ContainerName: fmt.Sprintf("c%d", i), LowerBound: resources(r, 1, 200), Target: resources(r, 200, 400), UpperBound: resources(r, 400, 900),
		})
	}
	for g := range 1 + r.IntN(3) {
		key := fmt.Sprintf("ReplicaSet/g%d", g)
		pods := r.IntN(6)
		w.s.Groups[key] = eviction.Group{Replicas: int32(max(0, pods+r.IntN(3)-1)), Counted: r.IntN(5) > 0}
		for p := range pods {
			pod := eviction.Pod{UID: "u", Group: key, Pending: r.IntN(6) == 0, Started: w.s.Now.Add(-time.Duration(r.IntN(24)) * time.Hour)}
			for c := range 2 {
				pod.Containers = append(pod.Containers, resourcepolicy.Container{Name: fmt.Sprintf("c%d", c), Requests: resources(r, 1, 1200)})
			}
			if r.IntN(4) == 0 {
				at := w.s.Now.Add(-time.Duration(r.IntN(1000)) * time.Second)
				pod.OOMs = map[string]eviction.OOM{"c0": {Started: at.Add(-time.Duration(r.IntN(1000)) * time.Second), Finished: at}}
			}
			w.s.Pods[fmt.Sprintf("g%d-%d", g, p)] = pod
		}
	}
	return w
}

// carryOut evicts candidates as the actuator does; refused tells who is not let go.
func carryOut(d eviction.Decision, refused func(string) bool) map[string]int {
	gone := map[string]int{}
	for _, c := range d.Candidates {
		if c.Pending || gone[c.Group] == d.Budgets[c.Group] || refused(c.Pod) {
			continue
		}
		gone[c.Group]++
	}
	return gone
}

func TestGroupsStayWhole(t *testing.T) {
	acted := 0
	for seed := range uint64(3000) {
		w := randomWorld(seed)
		d := w.turn(t)
		r := rand.New(rand.NewPCG(seed, 2))
		live, running := map[string]int{}, map[string]int{}
		for _, p := range w.s.Pods {
			live[p.Group]++
			if !p.Pending {
				running[p.Group]++
			}
		}
		for key, gone := range carryOut(d, func(string) bool { return r.IntN(3) == 0 }) {
			acted += gone
			if live[key] < w.s.Config.MinReplicas {
				t.Fatalf("seed %d: %s has %d pods, fewer than the least %d, and loses %d", seed, key, live[key], w.s.Config.MinReplicas, gone)
			}
			wanted := live[key]
			if g := w.s.Groups[key]; g.Counted {
				wanted = int(g.Replicas)
			}
			tolerated := max(1, int(float64(wanted)*w.s.Config.Tolerance))
			if left := running[key] - gone; left < wanted-tolerated {
				t.Fatalf("seed %d: %s wants %d, tolerates %d away, and is left with %d", seed, key, wanted, tolerated, left)
			}
		}
	}
	if acted == 0 {
		t.Error("no scenario evicted anything")
	}
}

func TestDecidingTwiceChangesNothing(t *testing.T) {
	for seed := range uint64(300) {
		w := randomWorld(seed)
		first := w.turn(t)
		second := w.turn(t)
		if diff := cmp.Diff(first.Candidates, second.Candidates); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
		if diff := cmp.Diff(w.state, eviction.Commit(w.state, second, decision.Outcome{Result: decision.Failed})); diff != "" {
			t.Fatalf("seed %d: state: %s", seed, diff)
		}
	}
}

// TestOrderAsUpstream compares which pods need an update, and in which order,
// with upstream's calculator. Groups are left out: every pod may go.
func TestOrderAsUpstream(t *testing.T) {
	chosen := 0
	for seed := range uint64(1500) {
		w := randomWorld(seed)
		w.s.Config.Tolerance, w.s.Config.MinReplicas = 1, 0
		w.s.Groups = map[string]eviction.Group{}
		// Upstream takes the time itself.
		shift := time.Now().UTC().Truncate(time.Second).Sub(w.s.Now)
		vpa := &vpav1.VerticalPodAutoscaler{}
		vpa.Status.Recommendation = &vpav1.RecommendedPodResources{ContainerRecommendations: w.s.VPA.Recommendations}
		calculator := priority.NewUpdatePriorityCalculator(vpa, priority.UpdateConfig{
			MinChangePriority: 0.1, PodLifetimeUpdateThreshold: 12 * time.Hour, EvictAfterOOMThreshold: 10 * time.Minute,
		}, upstream.NewCappingRecommendationProcessor(limitrange.NewNoopLimitsCalculator()), priority.NewProcessor())
		for name, p := range w.s.Pods {
			calculator.AddPod(object(name, p, shift), w.s.Now.Add(shift), nil)
		}
		var want []string
		admission := priority.NewScalingDirectionPodEvictionAdmission()
		for _, p := range calculator.GetSortedPods(admission) {
			want = append(want, p.Name)
		}
		var got []string
		for _, c := range w.turn(t).Candidates {
			got = append(got, c.Pod)
		}
		chosen += len(want)
		if !slices.Equal(want, got) {
			t.Fatalf("seed %d: order %v, upstream's %v", seed, got, want)
		}
	}
	if chosen == 0 {
		t.Error("no scenario chose a pod")
	}
}

func object(name string, p eviction.Pod, shift time.Duration) *corev1.Pod {
	o := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}}
	started := metav1.NewTime(p.Started.Add(shift))
	o.Status.StartTime = &started
	for _, c := range p.Containers {
		o.Spec.Containers = append(o.Spec.Containers, corev1.Container{
			Name: c.Name, Resources: corev1.ResourceRequirements{Requests: c.Requests, Limits: c.Limits},
		})
		if oom, killed := p.OOMs[c.Name]; killed {
			o.Status.ContainerStatuses = append(o.Status.ContainerStatuses, corev1.ContainerStatus{
				Name: c.Name, LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
					Reason:    "OOMKilled",
					StartedAt: metav1.NewTime(oom.Started.Add(shift)), FinishedAt: metav1.NewTime(oom.Finished.Add(shift)),
				}},
			})
		}
	}
	return o
}
