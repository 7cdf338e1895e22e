package replicas

import (
	"fmt"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// activate keeps the target at our own zero until a metric with a threshold is
// greater than it. Metrics without a threshold, and those per pod, propose as
// ever.
func activate(t *turn) verdict {
	if t.s.Policy == nil || t.current != 0 || !ownZero(t.s) {
		return proceed
	}
	for i, m := range t.s.HPA.Metrics {
		above, ok := t.s.Policy.Activation[m.Name]
		if !ok || m.Type != External && m.Type != Object || t.answers[i].failed != nil {
			continue
		}
		t.activateBy(i, above)
	}
	return proceed
}

// activateBy judges one metric by its threshold, in thousandths.
func (t *turn) activateBy(i int, above int64) {
	a := &t.answers[i]
	name, value := t.s.HPA.Metrics[i].Name, addUp(t.s.Samples[Key(i)].Values)
	step := decision.Step{Rule: t.rule, In: count(a.replicas), Out: count(a.replicas), Reason: "Activated",
		Message: fmt.Sprintf("%s: %s is greater than the activation threshold %s", name, milli(value), milli(above))}
	if value <= above {
		note := fmt.Sprintf("%s is not greater than the activation threshold %s", milli(value), milli(above))
		step.Out, step.Reason, step.Message = count(0), "BelowActivation", name+": "+note
		a.replicas = 0
		a.note += "; " + note
		t.d.Proposals[i].Replicas = 0
	}
	t.d.Steps = append(t.d.Steps, step)
}
