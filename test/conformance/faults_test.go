package conformance

import (
	"errors"
	"fmt"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// life is what becomes of the object in a turn.
type life string

const (
	lifeGoesOn life = ""
	// lifeEdited: its spec changes.
	lifeEdited life = "edited"
	// lifeGone: it is deleted, and comes back in the turn after.
	lifeGone life = "deleted"
	lifeBack life = "made anew, a turn after it was deleted"
	// lifeAnew: it is deleted and made anew at once, under the same name.
	lifeAnew life = "made anew at once"
)

// hopeless is more conflicts than anybody tries to write over.
const hopeless = 99

// statusWorld is what becomes of writes of the status in a turn.
type statusWorld struct {
	err error
	// conflicts is how many writes meet a newer object; hopeless that it is all.
	conflicts int
	hopeless  bool
}

func (w *world) stepStatus() {
	w.status = statusWorld{}
	switch {
	case w.chance(w.faults / 6):
		w.status.err = errors.New("the status cannot be written")
	case w.chance(w.conflicts / 8):
		w.status.conflicts, w.status.hopeless = hopeless, true
	case w.chance(w.conflicts):
		w.status.conflicts = 1 + w.r.IntN(3)
	}
}

func (w *world) stepScale() {
	s := scaleWorld{selector: selector, manual: -1, contender: -1, delta: w.scale.delta, gone: max(0, w.scale.gone-1)}
	if w.turn == 1 {
		s.manual = w.scale.manual
	}
	if w.chance(w.manual) {
		s.manual = pick(w.r, 0, 1, w.r.Int32N(12), w.r.Int32N(40))
	}
	if w.chance(0.5) {
		s.delta = 0
		if w.chance(w.surge) {
			s.delta = w.r.Int32N(7) - 3
		}
	}
	if w.chance(w.faults / 3) {
		s.selector = pick(w.r, "", "app in (", "!!")
	}
	if w.chance(w.faults / 3) {
		s.readErr = fmt.Errorf("the scale cannot be read: %d", w.r.IntN(2))
	}
	if s.gone == 0 && w.turn > 1 && w.chance(w.faults/4) {
		s.gone = 1 + w.r.IntN(4)
	}
	if w.chance(w.faults) {
		s.wrErr = fmt.Errorf("the scale cannot be written: %d", w.r.IntN(2))
	}
	if w.chance(w.conflicts * 2) {
		// Five tries are made.
		s.conflicts = pick(w.r, 1, 1, 2, 4, 5, 7)
		s.contender = pick(w.r, -1, w.r.Int32N(10))
		if w.chance(0.2) {
			s.againErr = errors.New("the scale cannot be read again")
		}
	}
	w.scale = s
}

// stepLife edits the object, or deletes it, or makes it anew.
func (w *world) stepLife() {
	deleted := w.life == lifeGone
	w.life, w.edit = lifeGoesOn, ""
	switch {
	case deleted:
		w.bear(lifeBack)
	case w.turn > 1 && w.chance(w.lives):
		w.life = lifeGone
	case w.turn > 1 && w.chance(w.lives):
		w.bear(lifeAnew)
	case w.chance(w.edits):
		w.editSpec()
	}
}

// bear makes the object anew: the same, or another under its name.
func (w *world) bear(how life) {
	w.births++
	w.life = how
	hpa := w.hpa.DeepCopy()
	hpa.UID = types.UID(fmt.Sprintf("u%d", w.births+1))
	hpa.Generation = 1
	hpa.CreationTimestamp = metav1.NewTime(w.now.Truncate(time.Second))
	hpa.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
	if w.chance(0.5) {
		hpa.Spec = w.newSpec()
	}
	w.hpa = hpa
}

// rivalName is the other HPA and its target.
const rivalName = "api"

// rivalWorld is another HPA, of a target of its own, whose selector may find the
// same pods.
type rivalWorld struct {
	hpa *autoscalingv2.HorizontalPodAutoscaler
	// value is that of its metric.
	value int64
}

func (w *world) stepRival() {
	switch {
	case w.rival == nil:
		// One that has just gone leaves its next turn in the queue: not another then.
		if w.turn <= w.rivalGone+1 || !w.chance(w.rivals) {
			return
		}
		w.rival, w.rivalBorn = w.newRival(), w.turn
		w.rivalSelector = w.newRivalSelector()
	case w.chance(0.08):
		w.rival, w.rivalGone = nil, w.turn
		return
	case w.chance(0.1):
		w.rivalSelector = w.newRivalSelector()
	}
	w.rival.value = w.r.Int64N(100)
}

func (w *world) newRivalSelector() string {
	return pick(w.r, selector, "app", "app in (web,api)", "tier=front", "tier=back", "app=api", "app!=web", "", "app in (")
}

func (w *world) newRival() *rivalWorld {
	least := int32(1)
	ref := autoscalingv2.CrossVersionObjectReference{APIVersion: w.kind.GroupVersion().String(), Kind: w.kind.Kind, Name: rivalName}
	return &rivalWorld{hpa: &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: rivalName, UID: types.UID(fmt.Sprintf("r%d", w.turn)), Generation: 1},
		Spec: withDefaults(autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: ref, MinReplicas: &least, MaxReplicas: 8,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
				Metric: autoscalingv2.MetricIdentifier{Name: rivalName},
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(10, resource.DecimalSI)},
			}}},
		}),
	}}
}
