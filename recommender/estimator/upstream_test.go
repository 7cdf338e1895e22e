package estimator

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/features"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/logic"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/model"
	vpautil "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/utils/vpa"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// upstream runs the upstream recommender's own code on the same cluster.
type upstream struct {
	cluster cluster
	logic   logic.PodResourceRecommender
	policy  *vpav1.PodResourcePolicy
}

// cluster is what of upstream's model the test uses.
type cluster interface {
	model.ClusterState
}

var upstreamID = model.VpaID{Namespace: "shop", VpaName: "orders"}

func newUpstream(t *testing.T, c Config, policies []Policy) *upstream {
	t.Helper()
	u := &upstream{cluster: model.NewClusterState(time.Hour), policy: &vpav1.PodResourcePolicy{}}
	if err := features.MutableFeatureGate.Set("PerVPAConfig=true"); err != nil {
		t.Fatal(err)
	}
	u.logic = logic.CreatePodResourceRecommender(logic.RecommendationConfig{
		SafetyMarginFraction: c.Margin, PodMinCPUMillicores: c.MinCPUMillicores, PodMinMemoryMb: c.MinMemoryMb,
		TargetCPUPercentile: c.CPU.Target, LowerBoundCPUPercentile: c.CPU.Lower, UpperBoundCPUPercentile: c.CPU.Upper,
		ConfidenceIntervalCPU:  c.CPU.Confidence,
		TargetMemoryPercentile: c.Memory.Target, LowerBoundMemoryPercentile: c.Memory.Lower, UpperBoundMemoryPercentile: c.Memory.Upper,
		ConfidenceIntervalMemory: c.Memory.Confidence,
	})
	for _, p := range policies {
		policy := vpav1.ContainerResourcePolicy{ContainerName: p.Container, MinAllowed: resourceList(p.Min), MaxAllowed: resourceList(p.Max)}
		if p.Off {
			off := vpav1.ContainerScalingModeOff
			policy.Mode = &off
		}
		if p.Limited {
			var names []corev1.ResourceName
			for _, name := range p.Controlled {
				names = append(names, corev1.ResourceName(name))
			}
			policy.ControlledResources = &names
		}
		if own := p.Tuning; own.set() {
			policy.OOMBumpUpRatio, policy.OOMMinBumpUp = milli(own.OOMRatio), milli(own.OOMBytes)
			if own.PeakInterval > 0 {
				policy.MemoryAggregationIntervalSeconds = pointer(int32(own.PeakInterval / time.Second))
			}
			if own.PeakIntervals > 0 {
				policy.MemoryAggregationIntervalCount = &own.PeakIntervals
			}
		}
		u.policy.ContainerPolicies = append(u.policy.ContainerPolicies, policy)
	}
	vpa := &vpav1.VerticalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders"}}
	vpa.Spec.ResourcePolicy = u.policy
	if err := u.cluster.AddOrUpdateVpa(vpa, labels.SelectorFromSet(labels.Set{"app": "orders"})); err != nil {
		t.Fatal(err)
	}
	return u
}

// learn feeds one pass: first the usage, then the kills.
func (u *upstream) learn(s Snapshot, known map[string]time.Time) {
	names := slices.Sorted(keys(s.Pods))
	for _, name := range names {
		id := model.PodID{Namespace: "shop", PodName: name}
		u.cluster.AddOrUpdatePod(id, labels.Set{"app": "orders"}, corev1.PodRunning)
		for _, c := range slices.Sorted(keys(s.Pods[name].Containers)) {
			request := model.Resources{model.ResourceMemory: model.ResourceAmount(s.Pods[name].Containers[c].Request)}
			_ = u.cluster.AddOrUpdateContainer(model.ContainerID{PodID: id, ContainerName: c}, request)
		}
	}
	for _, name := range names {
		pod := s.Pods[name]
		for _, c := range slices.Sorted(keys(pod.Containers)) {
			id := model.ContainerID{PodID: model.PodID{Namespace: "shop", PodName: name}, ContainerName: c}
			for _, r := range []model.ResourceName{model.ResourceCPU, model.ResourceMemory} {
				if usage := pod.Containers[c].Usage.Of(string(r)); usage != nil {
					// A sample that upstream refuses is one that we refuse too.
					_ = u.cluster.AddSample(&model.ContainerUsageSampleWithKey{Container: id, ContainerUsageSample: model.ContainerUsageSample{
						MeasureStart: pod.Sampled, Usage: model.ResourceAmount(*usage), Resource: r,
					}})
				}
			}
		}
	}
	for _, name := range names {
		for _, c := range slices.Sorted(keys(s.Pods[name].Containers)) {
			container := s.Pods[name].Containers[c]
			if key := name + "/" + c; container.Killed.After(known[key]) {
				known[key] = container.Killed
				id := model.ContainerID{PodID: model.PodID{Namespace: "shop", PodName: name}, ContainerName: c}
				_ = u.cluster.RecordOOM(id, container.Killed, model.ResourceAmount(container.Request))
			}
		}
	}
}

// learned is upstream's history by container.
func (u *upstream) learned() model.ContainerNameToAggregateStateMap {
	return u.cluster.VPAs()[upstreamID].AggregateStateByContainerName()
}

// recommend does what upstream's main loop does with the history.
func (u *upstream) recommend(t *testing.T, c Config, whole []string) Recommendation {
	t.Helper()
	on := model.ContainerNameToAggregateStateMap{}
	for name, state := range u.learned() {
		policy := vpautil.GetContainerResourcePolicy(name, u.policy)
		if policy != nil && policy.Mode != nil && *policy.Mode == vpav1.ContainerScalingModeOff {
			continue
		}
		state.UpdateFromPolicy(policy)
		on[name] = state
	}
	list := logic.MapToListOfRecommendedContainerResources(u.logic.GetRecommendedPodResources(on),
		logic.RecommendationFormat{RoundCPUMillicores: int(c.CPU.Round), RoundMemoryBytes: int(c.Memory.Round), HumanizeMemory: c.Humanize})
	for _, r := range list.ContainerRecommendations {
		if slices.Contains(whole, r.ContainerName) {
			wholeCores(r.Target, r.LowerBound, r.UpperBound, r.UncappedTarget)
		}
	}
	capped, err := vpautil.ApplyVPAPolicy(list, u.policy, resourceList(Amounts{CPU: &c.CPU.Max, Memory: &c.Memory.Max}))
	if err != nil {
		t.Fatal(err)
	}
	var out Recommendation
	for _, r := range capped.ContainerRecommendations {
		out = append(out, ContainerRecommendation{Container: r.ContainerName, Target: amountsOf(r.Target),
			Lower: amountsOf(r.LowerBound), Upper: amountsOf(r.UpperBound), Uncapped: amountsOf(r.UncappedTarget)})
	}
	return out
}

// wholeCores does what upstream's post-processor does. Its package needs another
// version of the Prometheus client than ours.
func wholeCores(lists ...corev1.ResourceList) {
	for _, list := range lists {
		if q, set := list[corev1.ResourceCPU]; set {
			q.RoundUp(0)
			list[corev1.ResourceCPU] = q
		}
	}
}

func resourceList(a Amounts) corev1.ResourceList {
	out := corev1.ResourceList{}
	for _, name := range resources {
		if v := a.Of(name); v != nil {
			out[corev1.ResourceName(name)] = *Quantity(name, *v)
		}
	}
	return out
}

func amountsOf(l corev1.ResourceList) Amounts {
	var out Amounts
	if q, set := l[corev1.ResourceCPU]; set {
		out.set(CPU, q.MilliValue())
	}
	if q, set := l[corev1.ResourceMemory]; set {
		out.set(Memory, q.Value())
	}
	return out
}

// TestEqualsUpstream plays random clusters to both recommenders and wants the
// same recommendations after every pass, to the last unit.
func TestEqualsUpstream(t *testing.T) {
	const scenarios = 300
	compared := 0
	for seed := range uint64(scenarios) {
		w := newWorld(seed)
		u := newUpstream(t, w.config, w.policies)
		known := map[string]time.Time{}
		var state State
		var shown Recommendation
		for range 1 + w.random.IntN(60) {
			s := w.pass()
			s.VPA.Recommended = shown
			d := Decide(s, state)
			state = Commit(state, d, decision.Outcome{Result: decision.Succeeded})
			shown = d.To
			u.learn(s, known)
			want := u.recommend(t, w.config, w.whole)
			if diff := cmp.Diff(want, d.To); diff != "" {
				t.Fatalf("seed %d at %s (-upstream +ours):\n%s", seed, s.Now, diff)
			}
			compared++
		}
	}
	if compared < 10*scenarios {
		t.Errorf("only %d recommendations were compared", compared)
	}
}

// TestRecallsAsUpstream gives the usage of the past to both recommenders.
func TestRecallsAsUpstream(t *testing.T) {
	for seed := range uint64(60) {
		w := newWorld(seed)
		u := newUpstream(t, w.config, w.policies)
		past := map[string]map[string][]Usage{}
		var last Snapshot
		for range 1 + w.random.IntN(200) {
			last = w.pass()
			for name, pod := range last.Pods {
				if past[name] == nil {
					past[name] = map[string][]Usage{}
				}
				for container, c := range pod.Containers {
					past[name][container] = append(past[name][container], Usage{At: pod.Sampled, Amounts: c.Usage})
					c.Killed = time.Time{}
					pod.Containers[container] = c
				}
			}
			u.learn(last, map[string]time.Time{})
		}
		// The last usage comes again and counts no second time.
		d := Decide(last, Recall(past, w.config.Learning(w.policies)))
		if diff := cmp.Diff(u.recommend(t, w.config, w.whole), d.To); diff != "" {
			t.Fatalf("seed %d (-upstream +ours):\n%s", seed, diff)
		}
	}
}

// TestConfidenceOfNineSamples has the number of upstream's own test.
func TestConfidenceOfNineSamples(t *testing.T) {
	var state State
	for i := range 9 {
		at := start.Add(time.Duration(2*i) * time.Minute)
		s := steady(at, Amounts{CPU: ptr(1000)})
		state = Commit(state, Decide(s, state), decision.Outcome{Result: decision.Unneeded})
	}
	if got := Confidence(state.Learned["app"], 24*time.Hour); got != 0.00625 {
		t.Errorf("9 samples in 16 minutes give a confidence of %v, want 0.00625", got)
	}
}

func keys[K comparable, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// world is a random cluster.
type world struct {
	random   *rand.Rand
	now      time.Time
	config   Config
	policies []Policy
	pods     []string
	usage    map[string]float64
	killed   map[string]time.Time
	// containers are those of every pod.
	containers []string
	// whole are those whose CPU is to be whole.
	whole []string
}

func newWorld(seed uint64) *world {
	r := rand.New(rand.NewPCG(seed, 2))
	w := &world{random: r, now: start, config: defaults(), usage: map[string]float64{}, killed: map[string]time.Time{}}
	w.containers = []string{"app", "proxy", "zoo"}[:1+r.IntN(3)]
	for i := range 1 + r.IntN(4) {
		w.pods = append(w.pods, fmt.Sprintf("orders-%d", i))
	}
	for _, c := range w.containers {
		w.usage[c+"/cpu"], w.usage[c+"/memory"] = r.ExpFloat64()*800, r.ExpFloat64()*2e9
	}
	if r.IntN(2) == 0 {
		w.config.CPU.Round, w.config.Memory.Round = 1+r.Int64N(60), 1+r.Int64N(1<<20)
		w.config.Margin, w.config.CPU.Target = r.Float64(), 0.5+0.45*r.Float64()
		w.config.CPU.Upper = 0.95
		w.config.Memory.Max = r.Int64N(4e9)
		w.config.CPU.Max = r.Int64N(3000)
	}
	for _, name := range []string{"app", "*", "proxy"} {
		if r.IntN(3) == 0 {
			w.policies = append(w.policies, w.policy(name))
		}
	}
	w.config.PerVPAConfig, w.config.WholeCPU = true, true
	w.config.Humanize = r.IntN(4) == 0
	if r.IntN(3) == 0 {
		w.whole = w.containers[:1]
	}
	return w
}

func (w *world) policy(container string) Policy {
	r := w.random
	p := Policy{Container: container, Off: r.IntN(5) == 0}
	if r.IntN(2) == 0 {
		p.Min = Amounts{CPU: ptr(r.Int64N(500)), Memory: ptr(r.Int64N(1e9))}
	}
	if r.IntN(2) == 0 {
		p.Max.CPU = ptr(r.Int64N(2000))
	}
	if r.IntN(3) == 0 {
		p.Limited, p.Controlled = true, [][]string{{CPU}, {Memory}, {CPU, Memory}, nil}[r.IntN(4)]
	}
	if r.IntN(2) == 0 {
		p.Tuning = Tuning{PeakInterval: time.Duration(10+r.IntN(3000)) * time.Minute}
	}
	if r.IntN(2) == 0 {
		p.Tuning.OOMRatio, p.Tuning.OOMBytes = pointer(float64(1000+r.IntN(3000))/1000), pointer(float64(r.Int64N(1e9)))
	}
	return p
}

func pointer[T any](v T) *T { return &v }

// milli is a quantity of thousandths, nil for what is unset.
func milli(v *float64) *resource.Quantity {
	if v == nil {
		return nil
	}
	return resource.NewMilliQuantity(int64(math.Round(*v*1000)), resource.DecimalSI)
}

// pass moves on and measures. Now and then a container is killed for memory.
func (w *world) pass() Snapshot {
	r := w.random
	w.now = w.now.Add([]time.Duration{time.Minute, time.Minute, 10 * time.Minute, 3 * time.Hour, 30 * time.Hour}[r.IntN(5)])
	s := Snapshot{Now: w.now, Mode: ModeAuto, Config: w.config, Pods: map[string]Pod{},
		VPA: VPA{Namespace: "shop", Name: "orders", UID: "u1", Policies: w.policies, WholeCPU: w.whole}}
	for _, name := range w.pods {
		pod := Pod{Sampled: w.now.Add(-time.Duration(r.IntN(30)) * time.Second), Containers: map[string]Container{}}
		for _, c := range w.containers {
			container := Container{Request: int64(w.usage[c+"/memory"])}
			cpu, memory := int64(w.usage[c+"/cpu"]*(0.5+r.Float64())), int64(w.usage[c+"/memory"]*(0.5+r.Float64()))
			container.Usage = Amounts{CPU: &cpu, Memory: &memory}
			if r.IntN(40) == 0 {
				w.killed[name+"/"+c] = w.now.Add(-time.Duration(r.IntN(60)) * time.Second)
			}
			container.Killed = w.killed[name+"/"+c]
			pod.Containers[c] = container
		}
		s.Pods[name] = pod
	}
	return s
}
