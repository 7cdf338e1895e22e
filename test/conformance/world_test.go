package conformance

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/quartet-autoscaling/quartet/hpa/controller"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
)

const (
	namespace = "shop"
	name      = "web"
	selector  = "app=web"
	period    = 15 * time.Second
)

// world is what both controllers look at, besides what each of them writes. A
// seed gives the same world always, turn by turn, as long as the counts written
// are the same.
type world struct {
	r    *rand.Rand
	now  time.Time
	turn int

	temper
	// script says what happens in each turn in place of the seed, nil for nothing.
	script  func(*world)
	options controller.Options
	// hpa has the spec and the generation; its status is how it begins.
	hpa  *autoscalingv2.HorizontalPodAutoscaler
	pods map[string]*corev1.Pod
	born int
	// template is what new pods are made from.
	template podTemplate
	// load is the work that there is to do, in pods that are just busy enough.
	load float64

	scale   scaleWorld
	status  statusWorld
	answers answers
	// kind is the target's.
	kind kind
	// life is what becomes of the object in this turn, births how often it began
	// before, and edit what an edit changed.
	life   life
	births int
	edit   string
	// rival is another HPA with a target of its own, nil for none. Its scale's
	// selector stays when it goes.
	rival         *rivalWorld
	rivalSelector string
	// rivalBorn and rivalGone are the last turns in which it came and went.
	rivalBorn, rivalGone int
	// wasGone tells that the target was not there in the turn before.
	wasGone bool
	// overflows tells that some value so far was near the largest there is.
	overflows bool
}

// scaleWorld is what the scale subresource answers besides the count.
type scaleWorld struct {
	selector string
	// delta is by how much the count that exists differs from the one asked for.
	delta int32
	// manual is the count that somebody else sets in this turn, -1 for none.
	manual int32
	// gone is for how many turns more there is no target.
	gone           int
	readErr, wrErr error
	// conflicts is how many writes in this turn meet a newer object, which has the
	// contender's count, or the same where that is -1. againErr is what reading it
	// gives then.
	conflicts int
	contender int32
	againErr  error
}

// temper is how often things happen in a scenario: chances per turn.
type temper struct {
	edits, faults, manual, oddPods, missing, surge float64
	conflicts, lives, rivals                       float64
	// extreme allows values near the largest there is.
	extreme bool
}

func (w *world) chance(p float64) bool { return w.r.Float64() < p }

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// newWorld makes the world of a seed before its first turn.
func newWorld(seed uint64, now time.Time) *world {
	r := rand.New(rand.NewPCG(seed, math.MaxUint64))
	w := &world{r: r, now: now, pods: map[string]*corev1.Pod{}, options: *controller.NewOptions()}
	often := func() float64 { return pick(r, 0, 0, 0.03, 0.15) }
	w.temper = temper{
		edits: often(), faults: often(), manual: pick(r, 0, 0, 0.02, 0.1), oddPods: often(),
		missing: often(), surge: pick(r, 0, 0, 0, 0.3), extreme: r.IntN(50) == 0,
		conflicts: pick(r, 0, 0, 0.1), lives: pick(r, 0, 0, 0, 0.05), rivals: pick(r, 0, 0, 0, 0.1),
	}
	w.kind = pick(r, kinds...)
	w.options.Rules = replicas.Config{
		SyncPeriod: period, Tolerance: pick(r, 0.1, 0.1, 0, 0.25, 0.05),
		DownscaleStabilization:  pick(r, 5*time.Minute, time.Minute, 45*time.Second, 0),
		CPUInitializationPeriod: pick(r, 5*time.Minute, 2*time.Minute, 0),
		InitialReadinessDelay:   pick(r, 30*time.Second, 10*time.Second, 0),
	}
	w.options.ConcurrentSyncs = 1
	w.load = r.Float64() * 12
	w.template = w.newTemplate()
	w.scale = scaleWorld{selector: selector, contender: -1, manual: pick[int32](r, 0, 1, 2, 3, 5, 8, 20)}
	w.hpa = &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, UID: types.UID("u1"), Generation: 1,
			CreationTimestamp: metav1.NewTime(now.Add(-time.Hour)),
		},
		Spec: w.newSpec(),
	}
	w.hpa.Status = w.firstStatus()
	for range w.scale.manual {
		w.addPod(true)
	}
	return w
}

// firstStatus is what an earlier controller may have left.
func (w *world) firstStatus() autoscalingv2.HorizontalPodAutoscalerStatus {
	status := autoscalingv2.HorizontalPodAutoscalerStatus{}
	if w.chance(0.5) {
		return status
	}
	at := metav1.NewTime(w.now.Add(-time.Duration(w.r.IntN(600)) * time.Second))
	status.CurrentReplicas, status.DesiredReplicas = w.scale.manual, w.scale.manual
	if w.chance(0.5) {
		status.LastScaleTime = &at
	}
	if w.chance(0.5) {
		c := autoscalingv2.HorizontalPodAutoscalerCondition{
			Type: autoscalingv2.ScaledToZero, Status: corev1.ConditionFalse, Reason: "NotScaledToZero",
			LastTransitionTime: at, Message: "the HPA controller did not scale the workload to zero",
		}
		if w.scale.manual == 0 {
			c.Status, c.Reason, c.Message = corev1.ConditionTrue, "ScaledToZero", "the HPA controller scaled the workload to zero"
		}
		status.Conditions = append(status.Conditions, c)
	}
	return status
}

// step moves the world on by a turn. count is what is asked for at present.
func (w *world) step(seed uint64, count int32, now time.Time) {
	w.turn++
	w.r = rand.New(rand.NewPCG(seed, uint64(w.turn)))
	w.now, w.wasGone = now, w.scale.gone > 0
	if w.script != nil {
		w.life, w.status = lifeGoesOn, statusWorld{}
		first := w.scale.manual
		if w.scale = (scaleWorld{selector: selector, manual: -1, contender: -1}); w.turn == 1 {
			w.scale.manual = first
		}
		w.script(w)
		return
	}
	w.stepScale()
	w.stepStatus()
	if w.scale.manual >= 0 {
		count = w.scale.manual
	}
	w.stepLife()
	w.stepRival()
	w.stepLoad(count)
	w.stepPods(count)
	w.measure(count)
}

// stepLoad lets the load drift, jump, vanish, and stand where the tolerance ends.
func (w *world) stepLoad(count int32) {
	switch x := w.r.Float64(); {
	case x < 0.3:
	case x < 0.7:
		w.load *= math.Exp(w.r.NormFloat64() * 0.3)
	case x < 0.85:
		edge := w.options.Rules.Tolerance
		w.load = float64(count) * pick(w.r, 1, 1+edge, 1-edge, 1+edge+0.01, 1-edge-0.01, 1.5, 0.5)
	case x < 0.95:
		w.load = w.r.Float64() * pick(w.r, 3.0, 12, 40)
	default:
		w.load = 0
	}
	w.load = min(w.load, 200)
	if w.load < 0.01 && w.chance(0.5) {
		w.load = w.r.Float64() * 5
	}
}

// podNames are the pods' names in order.
func (w *world) podNames() []string { return slices.Sorted(maps.Keys(w.pods)) }

// controllerOptions are the defaults, with another window where it is not 0.
func controllerOptions(window time.Duration) *controller.Options {
	options := controller.NewOptions()
	options.ConcurrentSyncs = 1
	if window > 0 {
		options.Rules.DownscaleStabilization = window
	}
	return options
}
