package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
)

// view is all that a controller wrote and shows after a turn.
type view struct {
	count  int32
	writes []string
	// turns is how often it looked at the scale since the last view.
	turns  int
	events []event
	status autoscalingv2.HorizontalPodAutoscalerStatus
}

// look takes the view, and begins the next.
func (s *side) look() view {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := view{count: s.count, writes: s.writes, turns: s.reads, events: s.events, status: *s.object().Status.DeepCopy()}
	s.writes, s.reads, s.events = nil, 0, nil
	v.leaveOutNotices()
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

// note counts what happened in a turn: reasons of conditions, and metrics by type
// and outcome.
func (v *view) note(w *world, seen map[string]int) {
	for _, c := range v.status.Conditions {
		seen[fmt.Sprintf("%s=%s %s", c.Type, c.Status, c.Reason)]++
	}
	for i := range v.status.CurrentMetrics {
		m := &v.status.CurrentMetrics[i]
		kind := string(m.Type)
		switch {
		case m.Resource != nil && m.Resource.Current.AverageUtilization != nil,
			m.ContainerResource != nil && m.ContainerResource.Current.AverageUtilization != nil:
			kind += " utilization"
		case m.Object != nil && m.Object.Current.Value != nil, m.External != nil && m.External.Current.Value != nil:
			kind += " value"
		}
		seen[kind]++
	}
	for _, e := range v.events {
		seen["event "+e.reason]++
	}
	for _, write := range v.writes {
		seen["scale written"]++
		if strings.HasSuffix(write, "refused") {
			seen["scale write refused"]++
		}
	}
	if w.edited {
		seen["edited"]++
	}
}

// lines writes a view out, a fact in each line.
func (v *view) lines() []string {
	out := []string{fmt.Sprintf("scale: %d, looked at %d times", v.count, v.turns)}
	for _, w := range v.writes {
		out = append(out, "scale write: "+w)
	}
	for _, e := range v.events {
		out = append(out, fmt.Sprintf("event %s %s: %s", e.kind, e.reason, e.message))
	}
	s := &v.status
	out = append(out, fmt.Sprintf("currentReplicas %d, desiredReplicas %d", s.CurrentReplicas, s.DesiredReplicas))
	if s.ObservedGeneration != nil {
		out = append(out, fmt.Sprintf("observedGeneration %d", *s.ObservedGeneration))
	}
	if s.LastScaleTime != nil {
		out = append(out, "lastScaleTime "+clock(*s.LastScaleTime))
	}
	for i := range s.CurrentMetrics {
		out = append(out, "metric "+asJSON(&s.CurrentMetrics[i]))
	}
	for _, c := range s.Conditions {
		out = append(out, fmt.Sprintf("%s %s %s %s: %s", c.Type, c.Status, c.Reason, clock(c.LastTransitionTime), c.Message))
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
	fmt.Fprintf(&b, "generation %d, edited in this turn: %v, spec %s\n", w.hpa.Generation, w.edited, asJSON(w.hpa.Spec))
	fmt.Fprintf(&b, "scale: %+v\n", w.scale)
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
		fmt.Fprintf(&b, "; requests")
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
