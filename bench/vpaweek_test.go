package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/model"
	controllerfetcher "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/target/controller_fetcher"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	recommender "github.com/quartet-autoscaling/quartet/recommender/controller"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

const (
	weekPods = 100
	weekPass = time.Minute
	weekRoll = 30 * time.Second
	weekDay  = 24 * time.Hour
)

// BenchmarkWeek plays workloads of one pod each to what a recommender remembers: each
// is rolled out anew every 30 seconds, with another hash of its template, and looked
// at once a minute. It tells by how much the memory grows in a day. Ours is played
// for a week, of which the first day is left out; upstream's, which grows by the same
// with each rollout, for a part of a day.
func BenchmarkWeek(b *testing.B) {
	b.Run("ours", func(b *testing.B) {
		for range b.N {
			w := newRollouts(b)
			w.play(b, weekDay)
			before := heapMiB()
			w.play(b, 6*weekDay)
			b.ReportMetric((heapMiB()-before)/6, "MiB/day")
			runtime.KeepAlive(w)
		}
	})
	b.Run("upstream", func(b *testing.B) {
		const part = 8
		for range b.N {
			u := newUpstreamRollouts(b)
			u.play(b, weekDay/part/10)
			before := heapMiB()
			u.play(b, weekDay/part)
			b.ReportMetric((heapMiB()-before)*part, "MiB/day")
			runtime.KeepAlive(u)
		}
	})
}

// TestRolloutsLeaveNothing: after a hundred rollouts nothing is remembered of the pods
// that went.
func TestRolloutsLeaveNothing(t *testing.T) {
	w := newRollouts(t)
	w.play(t, time.Hour)
	for i := range weekPods {
		state := w.loop.State(workloadUnit(i))
		if len(state.Learned) != 1 || len(state.Windows) != 1 || state.Learned["main"].Samples != int(time.Hour/weekPass) {
			t.Fatalf("of workload %d %d containers, %d pods and %d samples are remembered", i,
				len(state.Learned), len(state.Windows), state.Learned["main"].Samples)
		}
	}
}

func heapMiB() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// rollout is how often a workload was rolled out by a time, and what its pod and the
// hash of its template are called then.
func rollout(i int, now time.Time) (pod, hash string) {
	hash = fmt.Sprintf("%010x", now.Unix()/int64(weekRoll/time.Second))
	return fmt.Sprintf("web-%03d-%s-abcde", i, hash), hash
}

func workloadUnit(i int) decision.Unit {
	return decision.Unit{Kind: estimator.Kind, Namespace: "shop", Name: fmt.Sprintf("web-%03d", i), UID: fmt.Sprint(i)}
}

// weekStart is any time.
var weekStart = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// rollouts are the workloads as our recommender's loop sees them.
type rollouts struct {
	now    time.Time
	random *rand.Rand
	config estimator.Config
	loop   *loop.Loop[estimator.Snapshot, estimator.State, estimator.Decision]
	index  map[decision.Unit]int
}

func newRollouts(t testing.TB) *rollouts {
	t.Helper()
	w := &rollouts{now: weekStart, random: rand.New(rand.NewPCG(1, 2)), config: recommender.NewOptions().Rules, index: map[decision.Unit]int{}}
	for i := range weekPods {
		w.index[workloadUnit(i)] = i
	}
	var err error
	w.loop, err = loop.New(loop.Config[estimator.Snapshot, estimator.State, estimator.Decision]{
		Rules: estimator.Rules(), Observer: w, Actuator: w, Clock: clock.RealClock{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// Observe sees the one pod that a workload has now.
func (w *rollouts) Observe(_ context.Context, unit decision.Unit, _ time.Time) (estimator.Snapshot, error) {
	cpu, memory := w.random.Int64N(500), w.random.Int64N(1<<30)
	pod, _ := rollout(w.index[unit], w.now)
	return estimator.Snapshot{
		Now: w.now, Mode: estimator.ModeAuto, Config: w.config,
		VPA: estimator.VPA{Namespace: unit.Namespace, Name: unit.Name, UID: unit.UID, Target: estimator.Target{APIVersion: "apps/v1", Kind: "Deployment", Name: unit.Name}},
		Pods: map[string]estimator.Pod{pod: {Sampled: w.now, Containers: map[string]estimator.Container{
			"main": {Usage: estimator.Amounts{CPU: &cpu, Memory: &memory}},
		}}},
	}, nil
}

// Act always succeeds.
func (w *rollouts) Act(context.Context, estimator.Decision) decision.Outcome {
	return decision.Outcome{Result: decision.Succeeded}
}

func (w *rollouts) play(t testing.TB, over time.Duration) {
	t.Helper()
	for end := w.now.Add(over); w.now.Before(end); w.now = w.now.Add(weekPass) {
		for i := range weekPods {
			if _, _, err := w.loop.Turn(t.Context(), workloadUnit(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// upstreamRollouts are the workloads as upstream's model has them.
type upstreamRollouts struct {
	now     time.Time
	random  *rand.Rand
	cluster model.ClusterState
}

func newUpstreamRollouts(t testing.TB) *upstreamRollouts {
	t.Helper()
	u := &upstreamRollouts{now: weekStart, random: rand.New(rand.NewPCG(1, 2)), cluster: model.NewClusterState(time.Hour)}
	for i := range weekPods {
		name := workloadUnit(i).Name
		vpa := &vpav1.VerticalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
		vpa.Spec.TargetRef = &autoscalingv1.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name}
		if err := u.cluster.AddOrUpdateVpa(vpa, labels.SelectorFromSet(labels.Set{"app": name})); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

// play does what the feeder does in each pass: pods that are there, their usage, pods
// that are gone, and the removal of what is too old.
func (u *upstreamRollouts) play(t testing.TB, over time.Duration) {
	t.Helper()
	for end := u.now.Add(over); u.now.Before(end); u.now = u.now.Add(weekPass) {
		live := map[model.PodID]bool{}
		for i := range weekPods {
			name, hash := rollout(i, u.now)
			pod := model.PodID{Namespace: "shop", PodName: name}
			live[pod] = true
			u.cluster.AddOrUpdatePod(pod, labels.Set{"app": workloadUnit(i).Name, "pod-template-hash": hash}, corev1.PodRunning)
			id := model.ContainerID{PodID: pod, ContainerName: "main"}
			if err := u.cluster.AddOrUpdateContainer(id, model.Resources{}); err != nil {
				t.Fatal(err)
			}
			for resource, usage := range map[model.ResourceName]int64{
				model.ResourceCPU: u.random.Int64N(500), model.ResourceMemory: u.random.Int64N(1 << 30),
			} {
				sample := model.ContainerUsageSample{MeasureStart: u.now, Usage: model.ResourceAmount(usage), Resource: resource}
				if err := u.cluster.AddSample(&model.ContainerUsageSampleWithKey{Container: id, ContainerUsageSample: sample}); err != nil {
					t.Fatal(err)
				}
			}
		}
		for pod := range u.cluster.Pods() {
			if !live[pod] {
				u.cluster.DeletePod(pod)
			}
		}
		u.cluster.RateLimitedGarbageCollectAggregateCollectionStates(t.Context(), u.now, controllerfetcher.FakeControllerFetcher{})
	}
}
