package replicas

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Vertical is a VerticalPodAutoscaler that changes requests of the target's pods.
type Vertical struct {
	Name string `json:"name"`
	// Controls are the resources that it sets, by container of the target's pods.
	Controls map[string][]string `json:"controls,omitempty"`
}

// contention is one thing that stands in the way of scaling the target.
type contention struct{ reason, message string }

// tellContention shows what else acts on the target or on what its metrics are
// percentages of, the worst first.
func tellContention(t *turn) verdict {
	all := slices.Concat(t.sharers(), t.verticals(), t.missingRequests())
	if len(all) == 0 {
		if len(t.s.Pods) > 0 {
			t.judge(Contended)
		}
		return proceed
	}
	t.judge(Contended)
	t.notice(Contended, all[0].reason, all[0].message)
	for _, c := range all[1:] {
		t.d.Steps = append(t.d.Steps, decision.Step{Rule: t.rule, Reason: c.reason, Message: c.message})
	}
	return proceed
}

func (t *turn) sharers() []contention {
	if len(t.s.Sharers) == 0 {
		return nil
	}
	return []contention{{ReasonSharedTarget, fmt.Sprintf("%s also scales %s: each undoes what the other does; put all metrics into one of them",
		names(t.s.Sharers[:min(shownRivals, len(t.s.Sharers))], len(t.s.Sharers)), t.s.HPA.Target.text())}}
}

// verticals are those that set the requests which a metric is a percentage of.
// Without the pods it is not known of which containers.
func (t *turn) verticals() []contention {
	var out []contention
	for _, v := range t.s.Verticals {
		for _, resource := range requested(t.s.HPA.Metrics, v.sets) {
			out = append(out, contention{ReasonVerticalSameMetric, fmt.Sprintf(
				"VerticalPodAutoscaler %s sets the %s requests that the %s utilization of this object is a percentage of: leave %s out of its controlledResources, or scale by another metric",
				v.Name, resource, resource, resource)})
		}
	}
	return out
}

// sets tells whether the requests that the metric looks at are its.
func (v Vertical) sets(m Metric) bool {
	if m.Type == ContainerResource {
		return slices.Contains(v.Controls[m.Container], m.Name)
	}
	for _, resources := range v.Controls {
		if slices.Contains(resources, m.Name) {
			return true
		}
	}
	return false
}

// requested are the resources, sorted, of the metrics that are percentages of a
// request and that the test holds for.
func requested(metrics []Metric, test func(Metric) bool) []string {
	var out []string
	for _, m := range metrics {
		if m.OfRequest() && test(m) {
			out = append(out, m.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// OfRequest tells whether the metric is a percentage of requests.
func (m Metric) OfRequest() bool {
	return (m.Type == Resource || m.Type == ContainerResource) && m.AverageUtilization != nil && m.AverageValue == nil
}

// missingRequests are the requests that pods lack and metrics need, without the
// names of the pods: these come and go.
func (t *turn) missingRequests() []contention {
	var out []contention
	for _, m := range t.s.HPA.Metrics {
		if !m.OfRequest() {
			continue
		}
		key := RequestKey(m.Name, m.Container)
		var lacks []string
		for _, p := range t.s.Pods {
			if why := p.Unset[key]; why != "" && !p.Deleting && p.Phase != phaseFailed {
				lacks = append(lacks, withoutPod(why))
			}
		}
		if len(lacks) == 0 {
			continue
		}
		slices.Sort(lacks)
		lacks = slices.Compact(lacks)
		out = append(out, contention{ReasonMissingRequests, fmt.Sprintf(
			"%s utilization is a percentage of what pods request, and pods of %s cannot give it: %s; set the request, or use a target of type AverageValue",
			m.Name, t.s.HPA.Target.text(), names(lacks[:min(shownRivals, len(lacks))], len(lacks)))})
	}
	return out
}

// withoutPod cuts the name of the pod off what its request lacks.
func withoutPod(why string) string {
	for _, before := range []string{" of Pod ", " in Pod "} {
		if text, _, found := strings.Cut(why, before); found {
			return text
		}
	}
	return why
}
