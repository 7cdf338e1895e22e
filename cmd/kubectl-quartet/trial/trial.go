// Package trial evaluates a source of metrics that no cluster has: it asks the
// real system by the adapter's own client, and computes the values by the
// adapter's own rules. It serves nothing and writes nothing.
package trial

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/adapter/controller"
	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Config is one trial.
type Config struct {
	// Object is a MetricSource or a ClusterMetricSource with its defaults.
	Object client.Object
	// Builders are the kinds of sources that can be asked.
	Builders []source.Builder
	Secrets  source.Secrets
	// Polls is how often the source is asked: rates need two. Pause is between
	// them.
	Polls int
	Pause time.Duration
	Clock clock.Clock
	// Redact takes credentials out of a text.
	Redact func(string) string
}

// Result is what came of a trial.
type Result struct {
	// Object is "Kind namespace/name".
	Object string `json:"object"`
	// Source is what the object's status would call the source, and Query the
	// question that is asked of it.
	Source string `json:"source,omitempty"`
	Query  string `json:"query,omitempty"`
	// Failure says why the source could not even be asked.
	Failure *decision.Fault `json:"failure,omitempty"`
	Polls   []Poll          `json:"polls,omitempty"`
	// At is when the values were judged.
	At     time.Time `json:"at"`
	Values []Value   `json:"values,omitempty"`
	// Objects are values about Kubernetes objects, for the custom metrics API.
	Objects []ObjectValue `json:"objects,omitempty"`
}

// Poll is one question and its answer.
type Poll struct {
	At           time.Time `json:"at"`
	Milliseconds float64   `json:"milliseconds"`
	// Replies are what the system answered, as text; where it answers in none,
	// the reading that was made of it.
	Replies []Reply         `json:"replies,omitempty"`
	Failure *decision.Fault `json:"failure,omitempty"`
}

// Reply is one answer.
type Reply struct {
	From string `json:"from"`
	Text string `json:"text"`
}

// Value is one metric's value, or why there is none.
type Value struct {
	Metric string            `json:"metric"`
	Shows  string            `json:"shows"`
	Labels map[string]string `json:"labels,omitempty"`
	// Value is what an HPA would read, as a quantity.
	Value string `json:"value,omitempty"`
	// WindowSeconds is the length of time that a rate was measured over.
	WindowSeconds int64 `json:"windowSeconds,omitempty"`
	// SampledAt is when the source measured, and AgeSeconds how long ago that is.
	SampledAt  *time.Time      `json:"sampledAt,omitempty"`
	AgeSeconds float64         `json:"ageSeconds,omitempty"`
	Fault      *decision.Fault `json:"fault,omitempty"`
}

// ObjectValue is one value about one Kubernetes object.
type ObjectValue struct {
	Metric string `json:"metric"`
	// Object is "resource.group namespace/name".
	Object string            `json:"object"`
	Labels map[string]string `json:"labels,omitempty"`
	// Value is the quantity that a read would give, or why there is none: Empty,
	// NotANumber, Stale.
	Value string `json:"value"`
}

// Whole tells whether every metric has a value, and there are any.
func (r Result) Whole() bool {
	for _, v := range r.Values {
		if v.Fault != nil {
			return false
		}
	}
	return r.Failure == nil && len(r.Values)+len(r.Objects) > 0
}

// Run polls as often as is wanted and computes the values after the last poll.
func Run(ctx context.Context, cfg Config) Result {
	t := &running{cfg: cfg, recorder: &source.Recorder{}}
	t.unit()
	t.out.Object = t.snapshot.Unit.String()
	q, err := t.build(ctx)
	if err != nil {
		t.fail(err)
		return t.out
	}
	poller, err := q.Open()
	if err != nil {
		t.fail(err)
		return t.out
	}
	defer poller.Close()
	for n := range max(1, cfg.Polls) {
		if n > 0 && !t.pause(ctx) {
			break
		}
		t.poll(ctx, poller)
	}
	t.evaluate()
	return t.out
}

// running is one trial under way.
type running struct {
	cfg      Config
	recorder *source.Recorder
	timeout  time.Duration
	snapshot query.Snapshot
	state    query.State
	last     query.Decision
	out      Result
}

func (t *running) unit() {
	kind := "MetricSource"
	if _, cluster := t.cfg.Object.(*v1alpha1.ClusterMetricSource); cluster {
		kind = "ClusterMetricSource"
	}
	t.snapshot = query.Snapshot{
		Unit: decision.Unit{Kind: kind, Namespace: t.cfg.Object.GetNamespace(), Name: t.cfg.Object.GetName()},
		Mode: query.ModeAuto, Created: t.cfg.Clock.Now().UTC(), Generation: 1,
	}
}

func (t *running) fail(err error) {
	reason, message := source.ReasonOf(err)
	t.out.At = t.cfg.Clock.Now().UTC()
	t.out.Failure = &decision.Fault{Source: t.out.Object, Reason: reason, Message: t.cfg.Redact(message)}
}

// specOf gives what both kinds have.
func specOf(o client.Object) v1alpha1.MetricSourceSpec {
	switch o := o.(type) {
	case *v1alpha1.MetricSource:
		return o.Spec
	case *v1alpha1.ClusterMetricSource:
		return o.Spec.MetricSourceSpec
	}
	return v1alpha1.MetricSourceSpec{}
}

// build makes the query that the adapter would make of the object.
func (t *running) build(ctx context.Context) (source.Query, error) {
	spec := specOf(t.cfg.Object)
	t.timeout = spec.Timeout.Duration
	for _, b := range t.cfg.Builders {
		description, ok := b.Describe(spec.Source)
		if !ok {
			continue
		}
		t.out.Source = description
		var err error
		if t.snapshot.Spec, err = controller.Spec(t.cfg.Object, description); err != nil {
			return nil, err
		}
		request := source.Request{
			Namespace: t.cfg.Object.GetNamespace(), Name: t.cfg.Object.GetName(),
			Source: spec.Source, Timeout: t.timeout, Secrets: t.cfg.Secrets,
		}
		for _, m := range t.snapshot.Spec.Metrics {
			request.Kinds = append(request.Kinds, m.Kind)
		}
		q, err := b.Build(ctx, request)
		if err == nil {
			t.out.Query = t.cfg.Redact(q.String())
		}
		return q, err
	}
	return nil, source.Errorf("SourceNotServed", "kubectl-quartet asks no source of the kind that spec.source names")
}

func (t *running) pause(ctx context.Context) bool {
	select {
	case <-t.cfg.Clock.After(t.cfg.Pause):
		return true
	case <-ctx.Done():
		return false
	}
}

// poll asks once and decides on the answer, as the adapter does at each poll.
func (t *running) poll(ctx context.Context, poller source.Poller) {
	ctx, cancel := context.WithTimeout(source.WithRecorder(ctx, t.recorder), t.timeout)
	defer cancel()
	began := t.cfg.Clock.Now()
	reading, err := poller.Poll(ctx)
	took := t.cfg.Clock.Since(began)
	p := Poll{At: began.UTC(), Milliseconds: float64(took.Microseconds()) / 1000}
	for _, reply := range t.recorder.Take() {
		p.Replies = append(p.Replies, Reply{From: reply.From, Text: t.cfg.Redact(string(reply.Body))})
	}
	if err != nil {
		reason, message := source.ReasonOf(err)
		p.Failure = &decision.Fault{Source: t.out.Query, Reason: reason, Message: t.cfg.Redact(message)}
		t.failed(p)
	} else {
		if len(p.Replies) == 0 {
			p.Replies = []Reply{{From: "the reading", Text: t.cfg.Redact(readingText(reading))}}
		}
		t.snapshot.Poll.Reading, t.snapshot.Poll.Failing = &reading, false
	}
	t.out.Polls = append(t.out.Polls, p)
	t.snapshot.Now = t.cfg.Clock.Now().UTC()
	t.last = query.Rules.Decide(t.snapshot, t.state)
	t.state = query.Rules.Commit(t.state, t.last, decision.Outcome{Result: decision.Succeeded})
}

func (t *running) failed(p Poll) {
	inRow := 1
	if t.snapshot.Poll.Failing {
		inRow += t.snapshot.Poll.LastFailure.InRow
	}
	t.snapshot.Poll.Failing = true
	t.snapshot.Poll.LastFailure = &query.Failure{At: p.At, Reason: p.Failure.Reason, Message: p.Failure.Message, InRow: inRow}
}

func readingText(r query.Reading) string {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Sprintf("%+v", r)
	}
	return string(text)
}

// evaluate judges what the last decision would have served.
func (t *running) evaluate() {
	now := t.cfg.Clock.Now().UTC()
	t.out.At = now
	facts := t.last.Served.Facts
	for _, s := range t.last.Served.Samples {
		v := Value{Metric: s.Metric, Shows: string(s.Kind), Labels: s.Labels}
		if !facts.SampledAt.IsZero() {
			at := facts.SampledAt
			v.SampledAt, v.AgeSeconds = &at, now.Sub(at).Seconds()
		}
		served, fault := query.Serve(s, facts, now)
		if fault != nil {
			v.Fault = &decision.Fault{Source: fault.Source, Reason: fault.Reason, Message: t.cfg.Redact(fault.Message)}
		} else {
			quantity := query.Quantity(served.Value)
			v.Value, v.WindowSeconds = quantity.String(), served.WindowSeconds
		}
		t.out.Values = append(t.out.Values, v)
	}
	for _, o := range t.last.Served.Objects.Values {
		t.out.Objects = append(t.out.Objects, objectValue(o, facts, now))
	}
}

func objectValue(o query.ObjectValue, facts query.Facts, now time.Time) ObjectValue {
	called := o.Resource
	if o.Group != "" {
		called += "." + o.Group
	}
	called += " "
	if o.Namespace != "" {
		called += o.Namespace + "/"
	}
	value := string(o.Presence)
	if o.Presence == query.Number {
		if served, fault := query.ServeObject(o, facts, now); fault != nil {
			value = fault.Reason
		} else {
			quantity := query.Quantity(served)
			value = quantity.String()
		}
	}
	return ObjectValue{Metric: o.Metric, Object: called + o.Name, Labels: o.Labels, Value: value}
}
