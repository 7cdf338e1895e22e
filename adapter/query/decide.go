package query

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Rules' names, in the order in which they run. They are part of the API.
const (
	ruleSpec      = "source/spec"
	ruleOther     = "serving/other-adapter"
	ruleRivals    = "source/rivals"
	rulePoll      = "poll/outcome"
	ruleWindow    = "rate/window"
	ruleMetric    = "metric/" // followed by the metric's name
	ruleObjects   = "objects/values"
	ruleFreshness = "freshness/max-age"
)

// Decide computes every metric of one object and the conditions it is to show.
func Decide(snapshot Snapshot, state State) Decision {
	d := &deciding{in: snapshot, state: state}
	d.spec()
	d.other()
	d.rivals()
	d.poll()
	d.advanceWindow()
	d.objects()
	d.metrics()
	d.freshness()
	return d.decision()
}

// deciding is one decision in the making.
type deciding struct {
	in    Snapshot
	state State

	steps  []decision.Step
	faults []decision.Fault
	// taken maps metric names that an older rival serves to that rival.
	taken map[string]string
	// shared says of names that an older rival serves in some of the namespaces.
	shared []string
	// window is the state's, moved by delta.
	window Window
	delta  *WindowDelta
	served Served
	stale  *decision.Fault
	// about are the values about objects, withheld those of metrics that are of
	// objects only and not served beside another adapter.
	about    []ObjectValue
	withheld []string
	// standing: a policy stands in for a fresh sample.
	standing bool
	// missing counts the metrics without a value, measuring those of them that
	// only wait for a second reading.
	missing, measuring int
}

func (d *deciding) step(rule, reason, format string, args ...any) {
	message := format
	if len(args) > 0 {
		message = fmt.Sprintf(format, args...)
	}
	d.steps = append(d.steps, decision.Step{Rule: rule, Reason: reason, Message: message})
}

// spec begins the served table from the spec in force.
func (d *deciding) spec() {
	d.served.Facts = Facts{
		Source:       d.name(),
		Namespaces:   d.in.Spec.Namespaces,
		Created:      d.in.Created,
		MaxAge:       d.in.Spec.MaxAge,
		OnStale:      d.in.Spec.OnStale,
		LastFailure:  d.in.Poll.LastFailure,
		Failing:      d.in.Poll.Failing,
		SpecFault:    d.in.SpecFault,
		OtherAdapter: d.in.OtherAdapter,
	}
	fault := d.in.SpecFault
	switch {
	case fault == nil:
		d.step(ruleSpec, "Valid", "generation %d is in force", d.in.Spec.Generation)
	case d.lastGood():
		d.faults = append(d.faults, *fault)
		d.step(ruleSpec, fault.Reason, "%s; generation %d stays in force", fault.Message, d.in.Spec.Generation)
	default:
		d.faults = append(d.faults, *fault)
		d.step(ruleSpec, fault.Reason, "%s", fault.Message)
	}
}

// name is what errors call the source.
func (d *deciding) name() string {
	return fmt.Sprintf("%s (%s)", d.in.Unit, d.in.Spec.Source)
}

// lastGood tells whether an older state of the object is in force because the
// newest cannot be used.
func (d *deciding) lastGood() bool {
	return d.in.SpecFault != nil && d.in.Poll.Reading != nil
}

// rivals finds the metric names that an older object of the namespace, or of the
// whole cluster, serves.
func (d *deciding) rivals() {
	d.taken = map[string]string{}
	for _, rival := range d.in.Rivals {
		if !rival.older(d.in) {
			continue
		}
		for _, metric := range d.in.Spec.Metrics {
			_, already := d.taken[metric.Name]
			switch {
			case already || !slices.Contains(rival.Metrics, metric.Name):
			case rival.Namespaces == "" || rival.Namespaces == d.in.Spec.Namespaces:
				d.taken[metric.Name] = rival.Name
			default:
				d.shared = append(d.shared, fmt.Sprintf("metric %s is served by the older %s %s in the namespaces that both choose",
					metric.Name, d.in.Unit.Kind, rival.Name))
			}
		}
	}
	for _, metric := range d.in.Spec.Metrics {
		if holder, ok := d.taken[metric.Name]; ok {
			d.step(ruleRivals, "NameTaken", "metric %s is served by the older %s %s", metric.Name, d.in.Unit.Kind, holder)
		}
	}
	for _, text := range d.shared {
		d.step(ruleRivals, "NameShared", "%s", text)
	}
}

func (r Rival) older(in Snapshot) bool {
	if !r.Created.Equal(in.Created) {
		return r.Created.Before(in.Created)
	}
	return r.Name < in.Unit.Name
}

// poll tells how the newest poll went.
func (d *deciding) poll() {
	poll := d.in.Poll
	switch {
	case poll.Failing && poll.LastFailure != nil:
		f := poll.LastFailure
		d.faults = append(d.faults, decision.Fault{Source: d.name(), Reason: f.Reason, Message: f.Message})
		d.step(rulePoll, f.Reason, "%s (failures in a row: %d)", f.Message, f.InRow)
	case poll.Reading == nil:
		d.step(rulePoll, "NotPolledYet", "the source has not been polled yet")
	default:
		d.served.Facts.SampledAt = poll.Reading.At
		d.step(rulePoll, "Read", "the source was read%s", skewText(*poll.Reading))
		d.parts(poll.Reading.Faults)
	}
	if poll.Reading != nil {
		d.served.Facts.SampledAt = poll.Reading.At
	}
}

// parts tells which parts of the newest reading are missing.
func (d *deciding) parts(faults []decision.Fault) {
	for _, f := range faults {
		f.Source = d.name()
		d.faults = append(d.faults, f)
		d.step(rulePoll, f.Reason, "%s", f.Message)
	}
	d.missing += len(faults)
}

func skewText(r Reading) string {
	switch {
	case r.Skew > 0:
		return fmt.Sprintf("; its clock is %s ahead", round(r.Skew))
	case r.Skew < 0:
		return fmt.Sprintf("; its clock is %s behind", round(-r.Skew))
	}
	return ""
}

// advanceWindow adds the newest reading's counters to the rate window.
func (d *deciding) advanceWindow() {
	d.window = d.state.Window
	if d.in.Poll.Reading == nil {
		return
	}
	result := advance(d.state.Window, d.in.Poll.Reading, windowSpan(d.in.Spec.PollInterval))
	if d.delta = result.delta; d.delta != nil {
		d.window = d.window.apply(*d.delta)
	}
	d.step(ruleWindow, result.reason, "%s", result.note)
}

// metrics computes each metric that is not taken.
func (d *deciding) metrics() {
	in := inputs{source: d.served.Facts.Source, reading: d.in.Poll.Reading, window: d.window}
	for _, metric := range d.in.Spec.Metrics {
		if _, taken := d.taken[metric.Name]; taken {
			continue
		}
		if d.perObject(metric) {
			d.step(ruleMetric+metric.Name, "PerObject", "the source gives it of objects only")
			continue
		}
		sample := Sample{Metric: metric.Name, Kind: metric.Kind, Labels: metric.Labels}
		if in.reading == nil {
			// Judge says more; this keeps a value that is not there from reading as 0.
			sample.Fault = in.fault(ReasonNoSample, "there is no sample")
		} else {
			sample = d.compute(in, sample)
		}
		d.served.Samples = append(d.served.Samples, sample)
	}
}

func (d *deciding) compute(in inputs, sample Sample) Sample {
	step := decision.Step{Rule: ruleMetric + sample.Metric, In: d.before(sample.Metric)}
	got, fault := in.value(sample.Kind)
	if fault != nil {
		sample.Fault = fault
		d.faults = append(d.faults, *fault)
		d.missing++
		if fault.Reason == ReasonRateUnknown {
			d.measuring++
		}
		step.Reason, step.Message = fault.Reason, fault.Message
	} else {
		sample.Value, sample.WindowSeconds = got.value, got.windowSeconds
		step.Out = number(got.value)
		step.Reason = "Measured"
		step.Message = fmt.Sprintf("%s is %s", sample.Kind, step.Out)
		if got.windowSeconds > 0 {
			step.Message += fmt.Sprintf(", measured over %d s", got.windowSeconds)
		}
	}
	d.steps = append(d.steps, step)
	return sample
}

// before is the value that was served until now, empty where there was none.
func (d *deciding) before(metric string) string {
	for _, s := range d.state.Served.Samples {
		if s.Metric == metric && s.Fault == nil && !d.state.Served.Facts.SampledAt.IsZero() {
			return number(s.Value)
		}
	}
	return ""
}

// freshness judges the reading's age as every read will do again.
func (d *deciding) freshness() {
	d.stale = d.served.Facts.judgeAge(d.in.Now)
	d.standing = d.stale == nil && d.served.Facts.StandsIn(d.served.Facts.SampledAt, d.in.Now)
	switch {
	case d.standing:
		d.standIn()
	case d.stale != nil:
		d.step(ruleFreshness, d.stale.Reason, "%s", d.stale.Message)
	default:
		d.step(ruleFreshness, "Fresh", "the sample is not older than maxAge %s", d.in.Spec.MaxAge)
	}
}

func (d *deciding) decision() Decision {
	conditions := d.conditions()
	ready := conditions[0]
	out := Decision{
		Decision: decision.Decision[Values, Delta]{
			Component:  Component,
			Unit:       d.in.Unit,
			At:         d.in.Now,
			From:       d.state.Served.values(d.in.Now),
			To:         d.served.values(d.in.Now),
			Act:        d.acts(),
			Reason:     ready.Reason,
			Message:    ready.Message,
			Steps:      d.steps,
			Faults:     d.faults,
			Conditions: conditions,
			Observed:   Delta{Window: d.delta},
			OnSuccess:  Delta{Publish: true},
		},
		Served:     d.served,
		Generation: d.in.Generation,
		SourceText: d.in.Spec.Source,
		RecheckAt:  d.served.Facts.staleAt(d.in.Now),
	}
	return out
}

func list(names []string) string { return strings.Join(names, ", ") }
