package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
)

// view is all that a controller wrote and shows of one object after a turn.
type view struct {
	// there tells that the object exists.
	there  bool
	count  int32
	writes []string
	// reads is how often it looked at the scale since the last view, turned when it
	// did anything.
	reads    int
	turned   []time.Time
	events   []event
	statuses []statusWrite
	// contended tells that a write of the status met a newer object.
	contended bool
	// shown are the writes of the status, by what each changed.
	shown  []string
	status autoscalingv2.HorizontalPodAutoscalerStatus
}

// look takes the view of an object, and begins the next.
func (s *side) look(object string) (v view) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.seen[object]
	v = view{count: of.count, writes: of.writes, reads: of.reads, turned: of.turned, events: of.events, statuses: of.statuses}
	v.contended, of.met = of.met, false
	of.writes, of.reads, of.turned, of.events, of.statuses = nil, 0, nil, nil, nil
	// An object that has gone was told of before.
	defer v.leaveOutNotices()
	o := s.object(object)
	if o == nil {
		return v
	}
	v.there, v.status = true, *o.Status.DeepCopy()
	slices.SortStableFunc(v.status.Conditions, func(a, b autoscalingv2.HorizontalPodAutoscalerCondition) int {
		return strings.Compare(string(a.Type), string(b.Type))
	})
	return v
}

// leaveOutNotices takes out what ours tells of and upstream never does.
func (v *view) leaveOutNotices() {
	v.status.Conditions = slices.DeleteFunc(v.status.Conditions, func(c autoscalingv2.HorizontalPodAutoscalerCondition) bool {
		return slices.Contains(replicas.Notices(), string(c.Type))
	})
	v.events = slices.DeleteFunc(v.events, func(e event) bool { return slices.Contains(replicas.NoticeReasons(), e.reason) })
}

// clone is a view that nothing is taken out of.
func (v *view) clone() view {
	out := *v
	out.events, out.status = slices.Clone(v.events), *v.status.DeepCopy()
	return out
}

// turns are the moments at which the object was decided on.
func (v *view) turns() []time.Time {
	times := slices.Clone(v.turned)
	slices.SortFunc(times, time.Time.Compare)
	return slices.CompactFunc(times, time.Time.Equal)
}

// lines writes a view out, a fact in each line.
func (v *view) lines() []string {
	out := []string{fmt.Sprintf("scale: %d, looked at %d times", v.count, v.reads)}
	for _, w := range v.writes {
		out = append(out, "scale write: "+w)
	}
	for _, e := range v.events {
		out = append(out, fmt.Sprintf("event %s %s %s: %s", e.at.Format("15:04:05.0"), e.kind, e.reason, e.message))
	}
	for _, fields := range v.shown {
		out = append(out, "status write: "+fields)
	}
	if !v.there {
		return append(out, "no such object")
	}
	s := &v.status
	out = append(out, fmt.Sprintf("currentReplicas %d, desiredReplicas %d", s.CurrentReplicas, s.DesiredReplicas))
	if s.ObservedGeneration != nil {
		out = append(out, fmt.Sprintf("observedGeneration %d", *s.ObservedGeneration))
	}
	if s.LastScaleTime != nil {
		out = append(out, "lastScaleTime "+seconds(*s.LastScaleTime))
	}
	for i := range s.CurrentMetrics {
		out = append(out, "metric "+asJSON(&s.CurrentMetrics[i]))
	}
	for _, c := range s.Conditions {
		out = append(out, fmt.Sprintf("%s %s %s %s: %s", c.Type, c.Status, c.Reason, seconds(c.LastTransitionTime), c.Message))
	}
	return out
}

func clock(t metav1.Time) string { return t.UTC().Format("01-02T15:04:05.000") }

func asJSON(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// diff lists what is in one view only: "-" upstream's, "+" ours.
func diff(up, our *view) []string {
	a, b := up.lines(), our.lines()
	var out []string
	for _, line := range a {
		if !slices.Contains(b, line) {
			out = append(out, "- "+line)
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			out = append(out, "+ "+line)
		}
	}
	if len(out) == 0 && !slices.Equal(a, b) {
		out = append(out, "the same facts in another order")
	}
	return out
}

// describe writes the world of the present turn out.
func (w *world) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "turn %d at %s, flags %+v\n", w.turn, w.now.UTC().Format("15:04:05"), w.options.Rules)
	fmt.Fprintf(&b, "object %s, generation %d, in this turn %q, spec %s\n", w.hpa.UID, w.hpa.Generation, w.life, asJSON(w.hpa.Spec))
	fmt.Fprintf(&b, "scale of a %s: %+v\nstatus: %+v\n", w.kind.Kind, w.scale, w.status)
	if w.rival != nil {
		fmt.Fprintf(&b, "another HPA of selector %q and value %d\n", w.rivalSelector, w.rival.value)
	}
	for _, name := range w.podNames() {
		p := w.pods[name]
		started, deleting := "never", ""
		if p.Status.StartTime != nil {
			started = clock(*p.Status.StartTime)
		}
		if p.DeletionTimestamp != nil {
			deleting = " deleting"
		}
		fmt.Fprintf(&b, "pod %s %s started %s%s", name, p.Status.Phase, started, deleting)
		for _, c := range p.Status.Conditions {
			fmt.Fprintf(&b, " %s=%s since %s", c.Type, c.Status, clock(c.LastTransitionTime))
		}
		fmt.Fprintf(&b, " tier=%s; requests", p.Labels["tier"])
		for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
			fmt.Fprintf(&b, " %s=%s", c.Name, asJSON(c.Resources.Requests))
		}
		if p.Spec.Resources != nil {
			fmt.Fprintf(&b, " pod=%s", asJSON(p.Spec.Resources.Requests))
		}
		b.WriteByte('\n')
	}
	a := &w.answers
	fmt.Fprintf(&b, "resource metrics: error %v\n", a.resourcesErr)
	for i := range a.resources {
		m := &a.resources[i]
		fmt.Fprintf(&b, "  %s at %s window %s %s\n", m.Name, clock(m.Timestamp), m.Window.Duration, asJSON(m.Containers))
	}
	fmt.Fprintf(&b, "pods metrics: %s\nobject metrics: %s\nexternal metrics: %s\nerrors: %v\n",
		asJSON(a.pods), asJSON(a.object), asJSON(a.external), a.errs)
	return b.String()
}
