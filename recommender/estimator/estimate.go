package estimator

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/recommender/histogram"
)

// The bounds widen where confidence is small: the upper one is multiplied by
// (1+1/c), the lower one by (1+0.001/c)^-2.
const (
	upperMultiplier, upperExponent = 1.0, 1.0
	lowerMultiplier, lowerExponent = 0.001, -2.0
)

// estimate makes the recommendation from the history.
func estimate(t *turn) {
	names := t.containers()
	t.kills = t.remembered()
	var to Recommendation
	for _, name := range names {
		e := estimation{t: t, container: name, learned: t.after.Learned[name], policy: t.policy(name), containers: len(names)}
		if r, any := e.recommend(); any {
			to = append(to, r)
		}
	}
	t.d.To = to
}

// containers are those that are scaled: known from history or from pods, and
// not switched off.
func (t *turn) containers() []string {
	var on []string
	for _, name := range t.known() {
		if t.policy(name).Off {
			t.rule = "policy/mode"
			t.step("Off", name+": the policy's mode is Off: no recommendation")
			continue
		}
		on = append(on, name)
	}
	return on
}

// policy is the container's own, else the one of all others, else none.
func (t *turn) policy(container string) Policy {
	var others Policy
	for _, p := range t.s.VPA.Policies {
		switch p.Container {
		case container:
			return p
		case "*":
			others = p
		}
	}
	return others
}

// estimation is one container's.
type estimation struct {
	t          *turn
	container  string
	learned    Learned
	policy     Policy
	containers int
}

// recommend estimates the resources that are controlled; false where none could
// be.
func (e *estimation) recommend() (ContainerRecommendation, bool) {
	out := ContainerRecommendation{Container: e.container}
	controlled, given := 0, 0
	for _, name := range resources {
		if e.policy.Limited && !slices.Contains(e.policy.Controlled, name) {
			continue
		}
		controlled++
		if e.resource(name, &out) {
			given++
		}
	}
	if given > 0 && e.confidence(e.t.fullAfter()) < 1 {
		e.t.young = append(e.t.young, e.container)
	}
	return out, given > 0 || controlled == 0
}

// series is what one resource is estimated from.
type series struct {
	name      string
	config    Estimates
	scheme    *histogram.Scheme
	histogram histogram.Histogram
	// unit is how many amounts one of the histogram's values is.
	unit float64
	// floor is the least amount.
	floor int64
}

func (e *estimation) series(name string) series {
	c := e.t.s.Config
	share := 1 / float64(e.containers)
	if name == CPU {
		return series{name: name, config: c.CPU, scheme: CPUScheme(c.CPU.HalfLife), histogram: e.learned.CPU,
			unit: 1000, floor: scaled(amount(c.MinCPUMillicores*0.001*1000), share)}
	}
	return series{name: name, config: c.Memory, scheme: MemoryScheme(c.Memory.HalfLife), histogram: e.learned.Memory,
		unit: 1, floor: scaled(amount(c.MinMemoryMb*1024*1024), share)}
}

// resource estimates one resource. One without any sample keeps what the status
// says: an unknown usage is no small usage.
func (e *estimation) resource(name string, out *ContainerRecommendation) bool {
	s := e.series(name)
	if s.scheme.Empty(s.histogram) {
		return e.fromFloor(s, out) || e.hold(name, out)
	}
	target := e.percentile(s, s.config.Target)
	e.step(name, target, decision.Step{Rule: "target/percentile", Reason: "Percentile",
		Message: fmt.Sprintf("the p%s of %s", percent(s.config.Target), what(name))})
	target = e.margin(s, target)
	target = e.floor(s, target)
	uncapped := e.shape(s, target)
	capped := e.capTarget(name, uncapped)
	if name == Memory {
		e.explainKills(capped)
	}
	lower := e.bound(s, bound{"bound/lower", s.config.Lower, lowerMultiplier, lowerExponent})
	upper := e.bound(s, bound{"bound/upper", s.config.Upper, upperMultiplier, upperExponent})
	held := e.againstHorizontals(name, span{capped, lower, upper})
	out.Target.set(name, held.target)
	out.Uncapped.set(name, uncapped)
	out.Lower.set(name, held.lower)
	out.Upper.set(name, held.upper)
	return true
}

func (e *estimation) hold(name string, out *ContainerRecommendation) bool {
	before, _ := e.t.s.VPA.Recommended.of(e.container)
	kept := before.Target.Of(name)
	e.t.rule = "history/none"
	if kept == nil {
		e.t.step(ReasonNoSamples, e.container+" "+name+": no sample yet, so no recommendation")
		return false
	}
	e.step(name, *kept, decision.Step{Rule: "history/none", In: amountText(name, *kept), Reason: ReasonNoSamples,
		Message: "no sample at hand, so the recommendation stays"})
	for _, a := range []struct{ from, to *Amounts }{
		{&before.Target, &out.Target}, {&before.Lower, &out.Lower}, {&before.Upper, &out.Upper}, {&before.Uncapped, &out.Uncapped},
	} {
		if v := a.from.Of(name); v != nil {
			a.to.set(name, *v)
		}
	}
	return true
}

func (e *estimation) percentile(s series, p float64) int64 {
	return amount(s.scheme.Percentile(s.histogram, p) * s.unit)
}

func (e *estimation) margin(s series, base int64) int64 {
	fraction := s.config.margin(e.t.s.Config)
	out := base + scaled(base, fraction)
	e.step(s.name, out, decision.Step{Rule: "target/margin", In: amountText(s.name, base), Reason: "Margin",
		Message: "a margin of " + percent(fraction) + "% is added"})
	return out
}

func (e *estimation) floor(s series, base int64) int64 {
	if base >= s.floor {
		return base
	}
	message := "raised to the least for a pod"
	if e.containers > 1 {
		message = fmt.Sprintf("raised to a container's share of the least for a pod, of %d containers", e.containers)
	}
	e.step(s.name, s.floor, decision.Step{Rule: "target/floor", In: amountText(s.name, base), Reason: "Floor", Message: message})
	return s.floor
}

// bound is how one of the two bounds is estimated.
type bound struct {
	rule                             string
	percentile, multiplier, exponent float64
}

func (e *estimation) bound(s series, b bound) int64 {
	base := e.percentile(s, b.percentile)
	wide := base + scaled(base, s.config.margin(e.t.s.Config))
	confidence := e.confidence(s.config.Confidence)
	factor := math.Pow(1+b.multiplier/confidence, b.exponent)
	estimated := max(scaled(wide, factor), s.floor)
	out := e.cap(s.name, e.rounded(s, estimated))
	e.step(s.name, out, decision.Step{Rule: b.rule, In: amountText(s.name, base), Reason: "Confidence",
		Message: fmt.Sprintf("the p%s with the margin, times %s for a confidence of %s", percent(b.percentile), short(factor), short(confidence))})
	return out
}

// confidence is the length of the history in intervals, or the number of samples
// at one a minute, whichever is less.
func (e *estimation) confidence(interval time.Duration) float64 {
	return Confidence(e.learned, interval)
}

// Confidence is the length of a history in intervals, or its number of samples
// at one a minute over an interval, whichever is less.
func Confidence(l Learned, interval time.Duration) float64 {
	lifespan := float64(l.Last.Sub(l.First)) / float64(interval)
	return math.Min(lifespan, float64(l.Samples)/interval.Minutes())
}

// cap holds an amount within the policy and the flags. Where these contradict
// one another the maximum wins.
func (e *estimation) cap(name string, v int64) int64 {
	if least := e.policy.Min.Of(name); least != nil && *least > 0 {
		v = max(v, *least)
	}
	if most := e.t.most(name, e.container).amount; most > 0 {
		v = min(v, most)
	}
	return v
}

// step notes what a rule did to one resource of the container.
func (e *estimation) step(name string, out int64, s decision.Step) {
	s.Out, s.Message = amountText(name, out), e.container+" "+name+": "+s.Message
	e.t.d.Steps = append(e.t.d.Steps, s)
}

func what(name string) string {
	if name == CPU {
		return "CPU usage"
	}
	return "memory peaks"
}

func amountText(name string, v int64) string { return Quantity(name, v).String() }

func percent(part float64) string { return strconv.FormatFloat(math.Round(part*1e4)/100, 'f', -1, 64) }

func short(x float64) string { return strconv.FormatFloat(x, 'g', 3, 64) }
