package prometheus

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/prometheus/promql"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

const (
	// maxQuestions is how many queries one poll may ask.
	maxQuestions = 1000
	// maxObjects is how many values one poll may give.
	maxObjects = 20_000
	// maxFaults is how many faults are told one by one.
	maxFaults = 8
)

// rulesPoller polls a list of rules.
type rulesPoller struct {
	query   *rulesQuery
	servers *servers
	once    sync.Once
	// known is what each rule found when it was last asked for, at the time asked:
	// polls do not overlap.
	known []found
	asked time.Time
	// outdated says why what is known is older than it should be.
	outdated *source.Error
}

func (p *rulesPoller) Close() { p.once.Do(p.servers.release) }

// Poll asks every query of every rule once. What fails by itself is a fault of the
// reading; the poll fails where nothing could be asked at all.
func (p *rulesPoller) Poll(ctx context.Context) (query.Reading, error) {
	var reading query.Reading
	err := p.servers.ask(ctx, func(ctx context.Context, at server) error {
		var err error
		reading, err = p.read(ctx, at)
		return err
	})
	if err != nil {
		return query.Reading{}, err
	}
	return reading, nil
}

func (p *rulesPoller) read(ctx context.Context, at server) (query.Reading, error) {
	reading := query.Reading{At: source.Now()}
	if err := p.discover(ctx, at); err != nil {
		return query.Reading{}, err
	}
	faults := faults{}
	if p.outdated != nil {
		faults.add(p.outdated)
	}
	var questions []question
	for _, f := range p.known {
		questions = append(questions, f.questions...)
		for _, fault := range f.faults {
			faults.add(fault)
		}
	}
	if len(questions) == 0 && len(faults.list) == 0 {
		faults.add(source.Errorf(reasonRule, "no rule finds any series of the last %s", lookback))
	}
	if len(questions) > maxQuestions {
		faults.add(source.Errorf(reasonRule, "rules make more than %d queries, and the rest is left out: narrow them", maxQuestions))
		questions = questions[:maxQuestions]
	}
	answers := p.answers(ctx, at, questions)
	for _, a := range answers {
		faults.add(a.faults...)
		reading.Objects = append(reading.Objects, a.objects...)
	}
	if err := nothingAnswered(answers); err != nil {
		return query.Reading{}, err
	}
	slices.SortFunc(reading.Objects, query.CompareObjects)
	if len(reading.Objects) > maxObjects {
		faults.add(source.Errorf(reasonRule, "rules give more than %d values, and the rest is left out: narrow them", maxObjects))
		reading.Objects = reading.Objects[:maxObjects]
	}
	reading.Faults = faults.list
	return reading, nil
}

// discover asks anew what series there are, where that was long ago. Where the server
// does not tell, what is known stays for as long again, and that is a fault; without
// anything known it is an error.
func (p *rulesPoller) discover(ctx context.Context, at server) error {
	if p.known != nil && source.Now().Sub(p.asked) < discoverEvery {
		return nil
	}
	// The other half of the time is for the queries.
	ctx, cancel := part(ctx, 2)
	defer cancel()
	known := make([]found, len(p.query.rules))
	p.outdated = nil
	for i, r := range p.query.rules {
		var err error
		if known[i], err = p.query.discover(ctx, at, r); err == nil {
			continue
		}
		failure := p.servers.failure(at.url, err)
		switch {
		case failure.Reason == reasonRefused:
			// It is this rule's, and the others go on.
			known[i].faults = append(known[i].faults, source.Errorf(reasonRefused, "%s.series: %s", r.field, failure.Message))
		case p.known == nil:
			return failure
		default:
			p.asked = source.Now()
			p.outdated = source.Errorf(failure.Reason, "what series there are could not be asked again: %s", failure.Message)
			return nil
		}
	}
	p.known, p.asked = known, source.Now()
	return nil
}

// answer is what one question gave.
type answer struct {
	objects []query.ObjectValue
	faults  []*source.Error
	// failed is set where the question itself failed.
	failed *source.Error
}

// answers asks every question. One that fails stops no other, and one that was not
// asked in time has failed.
func (p *rulesPoller) answers(ctx context.Context, at server, questions []question) []answer {
	answers := make([]answer, len(questions))
	asked := make([]bool, len(questions))
	_ = inParallel(ctx, len(questions), func(ctx context.Context, i int) error {
		answers[i], asked[i] = p.answer(ctx, at, questions[i]), true
		return nil
	})
	for i, q := range questions {
		if !asked[i] {
			answers[i] = p.failed(at, q, context.DeadlineExceeded)
		}
	}
	return answers
}

// nothingAnswered is the first failure where there are questions and all failed.
func nothingAnswered(answers []answer) error {
	for _, a := range answers {
		if a.failed == nil {
			return nil
		}
	}
	if len(answers) == 0 {
		return nil
	}
	return answers[0].failed
}

// answer asks one question, and how old the data of its results are.
func (p *rulesPoller) answer(ctx context.Context, at server, q question) (out answer) {
	defer func() {
		if panicked := recover(); panicked != nil {
			out = p.failed(at, q, source.Broken("poll", panicked))
		}
	}()
	sent := source.Now()
	value, err := at.instant(ctx, q.text, time.Time{})
	received := source.Now()
	if err != nil {
		return p.failed(at, q, err)
	}
	results, ok := value.(model.Vector)
	if !ok || slices.Contains(results, nil) {
		return p.failed(at, q, unsupported("the query", "no vector"))
	}
	if len(results) == 0 {
		return answer{}
	}
	evaluated := results[0].Timestamp.Time().UTC()
	by := q.rule.By(q.kind)
	dataTime, reach := promql.DataTime(q.text, by)
	times, err := p.times(ctx, at, dataTime, by, evaluated)
	if err != nil {
		return p.failed(at, q, err)
	}
	base, _ := query.SampleTime(evaluated, sent.Truncate(time.Millisecond), received)
	var seen []error
	for _, r := range results {
		object, err := p.object(q, r)
		if err != nil {
			// One fault for many results: it says what can be done.
			if !slices.Contains(seen, err) {
				seen = append(seen, err)
				out.faults = append(out.faults, source.Errorf(reasonRule, "%s.query: metric %s of %s: %v", q.rule.field, q.metric, q.kind.Plural, err))
			}
			continue
		}
		if object.At = base; reach > 0 {
			object.WindowSeconds = int64(max(1, reach/time.Second))
		}
		if measured, ok := times[signature(r.Metric, by)]; ok {
			object.At = base.Add(-evaluated.Sub(measured))
		}
		out.objects = append(out.objects, object)
	}
	return out
}

// failed is the answer of a question that got none.
func (p *rulesPoller) failed(at server, q question, err error) answer {
	failure := p.servers.failure(at.url, err)
	fault := source.Errorf(failure.Reason, "%s.query: metric %s of %s: %s", q.rule.field, q.metric, q.kind.Plural, failure.Message)
	return answer{failed: fault, faults: []*source.Error{fault}}
}

// errNoNumber: a result that is a histogram.
var errNoNumber = errors.New("results are no numbers")

func (p *rulesPoller) object(q question, result *model.Sample) (query.ObjectValue, error) {
	if result.Histogram != nil {
		return query.ObjectValue{}, errNoNumber
	}
	labels := make(map[string]string, len(result.Metric))
	for name, value := range result.Metric {
		labels[string(name)] = string(value)
	}
	object, err := q.rule.Object(q.kind, labels, p.query.namespace)
	object.Metric, object.Gauge = q.metric, query.NumberOf(float64(result.Value))
	return object, err
}

// times asks for the time of the data of each result; nil where that is the time of
// the evaluation. All results of a query were evaluated at one time.
func (p *rulesPoller) times(ctx context.Context, at server, dataTime string, by []string, evaluated time.Time) (map[string]time.Time, error) {
	if dataTime == "" {
		return nil, nil
	}
	value, err := at.instant(ctx, dataTime, evaluated)
	if err != nil {
		return nil, err
	}
	results, ok := value.(model.Vector)
	if !ok {
		return nil, unsupported("the time of the data", "no vector")
	}
	times := make(map[string]time.Time, len(results))
	for _, r := range results {
		if r == nil {
			continue
		}
		measured, err := timeOf("the query for the time of the data", query.NumberOf(float64(r.Value)), evaluated)
		if err != nil {
			return nil, err
		}
		times[signature(r.Metric, by)] = measured
	}
	return times, nil
}

// signature tells results apart by the labels that they were asked to keep.
func signature(labels model.Metric, by []string) string {
	values := make([]string, len(by))
	for i, name := range by {
		values[i] = string(labels[model.LabelName(name)])
	}
	return strings.Join(values, "\x00")
}

// faults are what is told of the parts of a reading, each once and some at most.
type faults struct {
	list []decision.Fault
	more bool
}

func (f *faults) add(failures ...*source.Error) {
	for _, failure := range failures {
		fault := decision.Fault{Reason: failure.Reason, Message: failure.Message}
		switch {
		case f.more || slices.Contains(f.list, fault):
		case len(f.list) == maxFaults:
			f.more = true
			f.list = append(f.list, decision.Fault{Reason: reasonRule, Message: "there are more faults than are told"})
		default:
			f.list = append(f.list, fault)
		}
	}
}
