package formula

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// poller computes one formula. It is a source.Pusher.
type poller struct {
	query *formulaQuery

	mu sync.Mutex
	// seen are the inputs as the newest poll read them.
	seen []input
}

// input is what tells two readings of an input apart.
type input struct {
	at     time.Time
	reason string
}

// Close frees nothing.
func (p *poller) Close() {}

// Poll reads the inputs and computes the formula. Its time is that of the oldest
// input, so that a formula is never fresher than what it is made of; one that
// reads itself, directly or by others, has a time that does not move, and becomes
// stale.
func (p *poller) Poll(ctx context.Context) (query.Reading, error) {
	values := make(map[string]any, len(p.query.inputs))
	var oldest time.Time
	var missing error
	for i, in := range p.query.inputs {
		value, at, fault := p.query.values.Value(p.query.namespace, in.Metric)
		now := input{at: at}
		if fault != nil {
			now.reason = fault.Reason
		}
		p.see(i, now)
		switch {
		case fault == nil:
		case missing == nil && fault.Source == "":
			missing = source.Errorf(ReasonInput, "input %s: metric %s is not served: %s", in.Name, in.Metric, fault.Reason)
		case missing == nil:
			missing = source.Errorf(ReasonInput, "input %s: metric %s of %s is not served: %s", in.Name, in.Metric, fault.Source, fault.Reason)
		}
		if oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
		values[in.Name] = value
	}
	if missing != nil {
		return query.Reading{}, missing
	}
	source.Record(ctx, "the inputs", func() []byte { return p.query.text(values) })
	gauge, err := p.query.program.run(ctx, values)
	if err != nil {
		return query.Reading{}, err
	}
	return query.Reading{At: oldest, Gauges: map[query.Kind]query.Gauge{query.Value: gauge}}, nil
}

// text is the inputs' values for people, a line for each.
func (q *formulaQuery) text(values map[string]any) []byte {
	var text []byte
	for _, in := range q.inputs {
		text = fmt.Appendf(text, "%s = %v (%s)\n", in.Name, values[in.Name], in.Metric)
	}
	return text
}

func (p *poller) see(i int, now input) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[i] = now
}

// Watch tells of inputs that were measured anew, or came to be served or not,
// since the newest poll. Of a change that leaves the time of measuring as it was
// it does not tell: so formulas that read one another in a circle do not drive
// one another for ever.
func (p *poller) Watch(ctx context.Context, changed func()) error {
	for i, in := range p.query.inputs {
		look := func() {
			if p.moved(i, in.Metric) {
				changed()
			}
		}
		defer p.query.values.Watch(p.query.namespace, in.Metric, look)()
		look() // at what changed before it was watched
	}
	<-ctx.Done()
	return nil
}

func (p *poller) moved(i int, metric string) bool {
	_, at, fault := p.query.values.Value(p.query.namespace, metric)
	p.mu.Lock()
	defer p.mu.Unlock()
	if fault != nil {
		return p.seen[i].reason != fault.Reason
	}
	return p.seen[i].reason != "" || !p.seen[i].at.Equal(at)
}
