package conformance

import (
	"errors"
	"fmt"
	"sync"
	"testing/synctest"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
)

// healed is which of upstream's defects its side of a comparison is spared: what
// triggers them does not reach it. Where both sides are equal then, the difference
// came of these defects and of nothing else.
type healed struct {
	// surge: the count that exists is the one asked for.
	surge bool
	// overflow: no value of a metric is near the largest there is.
	overflow bool
	// memory: an object that is made anew has no history.
	memory bool
	// conflict: a write of the status meets no newer object.
	conflict bool
}

// side is one of the two controllers with a cluster of its own.
type side struct {
	w      *world
	client *fake.Clientset
	healed healed
	// forget has the controller lose the history of the object, nil where it does
	// so itself.
	forget func()

	mu   sync.Mutex
	seen map[string]*dossier
}

// dossier is what was done about one object, and to its target, since the last look.
type dossier struct {
	count  int32
	writes []string
	// turned are the times at which something was read or told.
	turned   []time.Time
	reads    int
	events   []event
	statuses []statusWrite
	// conflicts and contended are how many more writes of the scale and of the
	// status meet a newer object.
	conflicts, contended int
	// met tells that a write of the status did.
	met bool
}

// event is one that was told of the object.
type event struct {
	kind, reason, message string
	at                    time.Time
}

// statusWrite is one write of the status; refused where it failed.
type statusWrite struct {
	at            time.Time
	before, after autoscalingv2.HorizontalPodAutoscalerStatus
	refused       bool
}

// recorder takes events as the controllers tell them, before anything joins or
// drops them.
type recorder struct {
	record.EventRecorder
	s *side
}

func (r recorder) Event(o runtime.Object, kind, reason, message string) {
	hpa, ok := o.(*autoscalingv2.HorizontalPodAutoscaler)
	if !ok {
		panic(fmt.Sprintf("an event of a %T", o))
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	to := r.s.seen[hpa.Name]
	now := time.Now()
	to.events = append(to.events, event{kind, reason, message, now})
	to.turned = append(to.turned, now)
}

func (r recorder) Eventf(o runtime.Object, kind, reason, format string, args ...any) {
	r.Event(o, kind, reason, fmt.Sprintf(format, args...))
}

var (
	hpas = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
	pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

func newSide(w *world, count int32) *side {
	s := &side{w: w, seen: map[string]*dossier{name: {count: count}, rivalName: {count: 1}}}
	//nolint:staticcheck // The newer fake keeps managed fields, which nobody reads here, and takes ten times as long.
	s.client = fake.NewSimpleClientset()
	if w.life != lifeGone {
		s.must(s.client.Tracker().Add(w.hpa.DeepCopy()))
	}
	for _, pod := range w.pods {
		s.must(s.client.Tracker().Add(pod.DeepCopy()))
	}
	s.client.PrependReactor("update", hpas.Resource, s.updateStatus)
	s.allow()
	return s
}

func (s *side) must(err error) {
	if err != nil {
		panic(err)
	}
}

// allow begins a turn: so many writes are refused from now on.
func (s *side) allow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[name].conflicts, s.seen[name].contended = s.w.scale.conflicts, s.w.status.conflicts
}

var errConflict = errors.New("the object has been modified; please apply your changes to the latest version and try again")

// updateStatus keeps the spec, as the API server does, and whole seconds.
func (s *side) updateStatus(a clienttesting.Action) (bool, runtime.Object, error) {
	update, ok := a.(clienttesting.UpdateAction)
	if !ok || a.GetSubresource() != "status" {
		return false, nil, nil
	}
	sent, ok := update.GetObject().(*autoscalingv2.HorizontalPodAutoscaler)
	if !ok {
		return true, nil, fmt.Errorf("not an HPA: %T", update.GetObject())
	}
	now := s.object(sent.Name)
	if now == nil || now.UID != sent.UID {
		return true, nil, apierrors.NewNotFound(hpas.GroupResource(), sent.Name)
	}
	kept := now.DeepCopy()
	kept.Status = inSeconds(sent.Status)
	if err := s.noteStatus(sent.Name, now.Status, kept.Status); err != nil {
		return true, nil, err
	}
	return true, kept, s.client.Tracker().Update(hpas, kept, namespace)
}

// noteStatus keeps a write, and tells why it fails.
func (s *side) noteStatus(object string, before, after autoscalingv2.HorizontalPodAutoscalerStatus) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	to := s.seen[object]
	write := statusWrite{at: time.Now(), before: before, after: after}
	var err error
	switch {
	case object != name:
	case s.w.status.err != nil:
		err = s.w.status.err
	case to.contended > 0 && (s.w.status.hopeless || !s.healed.conflict):
		to.contended, to.met = to.contended-1, true
		err = apierrors.NewConflict(hpas.GroupResource(), object, errConflict)
		if !s.w.status.hopeless {
			return err
		}
	}
	write.refused = err != nil
	to.statuses = append(to.statuses, write)
	return err
}

func inSeconds(status autoscalingv2.HorizontalPodAutoscalerStatus) autoscalingv2.HorizontalPodAutoscalerStatus {
	out := *status.DeepCopy()
	if out.LastScaleTime != nil {
		at := out.LastScaleTime.Rfc3339Copy()
		out.LastScaleTime = &at
	}
	for i := range out.Conditions {
		c := &out.Conditions[i]
		c.LastTransitionTime = c.LastTransitionTime.Rfc3339Copy()
	}
	return out
}

// object is one of the HPAs, nil where it does not exist.
func (s *side) object(name string) *autoscalingv2.HorizontalPodAutoscaler {
	o, err := s.client.Tracker().Get(hpas, namespace, name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	s.must(err)
	return o.(*autoscalingv2.HorizontalPodAutoscaler)
}

// follow brings this side's pods and scale to the world's present turn. before are
// the pods of the turn before.
func (s *side) follow(before map[string]types.UID) {
	tracker := s.client.Tracker()
	for name := range before {
		if s.w.pods[name] == nil {
			s.must(tracker.Delete(pods, namespace, name))
		}
	}
	for name, pod := range s.w.pods {
		if _, was := before[name]; was {
			s.must(tracker.Update(pods, pod.DeepCopy(), namespace))
		} else {
			s.must(tracker.Create(pods, pod.DeepCopy(), namespace))
		}
	}
	s.allow()
	if s.w.scale.manual >= 0 {
		s.mu.Lock()
		s.seen[name].count = s.w.scale.manual
		s.mu.Unlock()
	}
}

// renew gives this side's object the world's spec, or takes it away, or makes it
// anew. What is new is decided on at once, so whatever else changed has to be in
// the caches before.
func (s *side) renew() {
	tracker := s.client.Tracker()
	switch s.w.life {
	case lifeGone:
		s.must(tracker.Delete(hpas, namespace, name))
	case lifeAnew:
		if s.forget != nil && s.healed.memory {
			s.forget()
		}
		s.must(tracker.Delete(hpas, namespace, name))
		// Seen at once with what follows, it would be one turn or two by luck.
		synctest.Wait()
		s.must(tracker.Create(hpas, s.w.hpa.DeepCopy(), namespace))
	case lifeEdited:
		edited := s.w.hpa.DeepCopy()
		edited.Status = *s.object(name).Status.DeepCopy()
		s.must(tracker.Update(hpas, edited, namespace))
	}
}

// comeBack makes the object where the world has it again.
func (s *side) comeBack() {
	if s.w.life == lifeBack {
		s.must(s.client.Tracker().Create(hpas, s.w.hpa.DeepCopy(), namespace))
	}
}

// bearRival makes the other HPA where the world has it.
func (s *side) bearRival() {
	if s.object(rivalName) != nil || s.w.rival == nil {
		return
	}
	s.mu.Lock()
	s.seen[rivalName].count = 1
	s.mu.Unlock()
	s.must(s.client.Tracker().Create(hpas, s.w.rival.hpa.DeepCopy(), namespace))
}

// endRival deletes it where the world has none.
func (s *side) endRival() {
	if s.object(rivalName) != nil && s.w.rival == nil {
		s.must(s.client.Tracker().Delete(hpas, namespace, rivalName))
	}
}

func conditionOf(s *autoscalingv2.HorizontalPodAutoscalerStatus, kind autoscalingv2.HorizontalPodAutoscalerConditionType) *autoscalingv2.HorizontalPodAutoscalerCondition {
	for i := range s.Conditions {
		if s.Conditions[i].Type == kind {
			return &s.Conditions[i]
		}
	}
	return nil
}

func isFalse(c *autoscalingv2.HorizontalPodAutoscalerCondition) bool {
	return c != nil && c.Status == corev1.ConditionFalse
}

func seconds(t metav1.Time) string { return t.UTC().Format("01-02T15:04:05") }
