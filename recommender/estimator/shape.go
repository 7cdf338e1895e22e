package estimator

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// shape brings a target into the form that is recommended, and says so.
func (e *estimation) shape(s series, target int64) int64 {
	out := e.rounded(s, target)
	if out == target {
		return out
	}
	step := decision.Step{Rule: "target/round", In: amountText(s.name, target), Reason: "Rounded",
		Message: "rounded up to a multiple of " + amountText(s.name, s.config.Round)}
	switch {
	case s.name == CPU && e.wholeCPU():
		step.Rule, step.Reason, step.Message = "target/integer", "WholeCores", "rounded up to whole cores, as the object's annotation asks"
	case s.name == Memory && e.t.s.Config.Humanize:
		step.Message = "put into two decimals of its unit"
	}
	e.step(s.name, out, step)
	return out
}

// rounded is an amount in the form that is recommended, before it is capped.
func (e *estimation) rounded(s series, v int64) int64 {
	v = round(v, s.config.Round)
	switch {
	case s.name == CPU && e.wholeCPU():
		v = round(v, 1000)
	case s.name == Memory && e.t.s.Config.Humanize:
		v = humanized(v)
	}
	return v
}

func (e *estimation) wholeCPU() bool {
	if !e.t.s.Config.WholeCPU {
		return false
	}
	_, whole := slices.BinarySearch(e.t.s.VPA.WholeCPU, e.container)
	return whole
}

func round(v, multiple int64) int64 {
	if multiple <= 1 || v == 0 {
		return v
	}
	return int64(math.Ceil(float64(v)/float64(multiple))) * multiple
}

// humanized cuts bytes to two decimals of the largest binary unit that they
// reach. A fraction of a byte that this leaves is rounded up.
func humanized(bytes int64) int64 {
	unit := int64(1)
	for unit <= bytes/1024 && unit < 1<<40 {
		unit *= 1024
	}
	if unit == 1 {
		return bytes
	}
	digits := strings.ReplaceAll(strconv.FormatFloat(float64(bytes)/float64(unit), 'f', 2, 64), ".", "")
	hundredths, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return bytes
	}
	// Whole units and hundredths apart, so that the product stays in range.
	return hundredths/100*unit + (hundredths%100*unit+99)/100
}

// maximum is the most that a container may have of a resource, 0 for no bound,
// and who says so.
type maximum struct {
	amount int64
	by     string
}

// most is the policy's maximum, or the flag's where the policy has none.
func (t *turn) most(name, container string) maximum {
	if own := t.policy(container).Max.Of(name); own != nil {
		return maximum{*own, "the policy's maxAllowed"}
	}
	if name == CPU {
		return maximum{t.s.Config.CPU.Max, "--container-recommendation-max-allowed-cpu"}
	}
	return maximum{t.s.Config.Memory.Max, "--container-recommendation-max-allowed-memory"}
}

// capTarget holds a target within the policy and the flags, and says so.
func (e *estimation) capTarget(name string, uncapped int64) int64 {
	capped := e.cap(name, uncapped)
	step := decision.Step{Rule: "target/policy", In: amountText(name, uncapped)}
	switch {
	case capped > uncapped:
		step.Reason, step.Message = "CappedToMin", "raised to the policy's minAllowed"
	case capped < uncapped:
		step.Reason, step.Message = "CappedToMax", "held at the most that is allowed, by "+e.t.most(name, e.container).by
	default:
		return capped
	}
	e.step(name, capped, step)
	return capped
}
