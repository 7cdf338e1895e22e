package prometheus

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/prometheus/common/model"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// latestSecond is past any time that is in seconds.
const latestSecond = 1 << 36

// valuePoller polls one instant query.
type valuePoller struct {
	query   *promQuery
	servers *servers
	once    sync.Once
}

func (p *valuePoller) Close() { p.once.Do(p.servers.release) }

// Poll asks for the value and, at the same time of evaluation and of the same
// server, for the time of its data.
func (p *valuePoller) Poll(ctx context.Context) (query.Reading, error) {
	var reading query.Reading
	err := p.servers.ask(ctx, func(ctx context.Context, server server) error {
		var err error
		reading, err = p.read(ctx, server)
		return err
	})
	if err != nil {
		return query.Reading{}, err
	}
	return reading, nil
}

func (p *valuePoller) read(ctx context.Context, server server) (query.Reading, error) {
	sent := source.Now()
	value, err := server.instant(ctx, p.query.text, time.Time{})
	if err != nil {
		return query.Reading{}, err
	}
	received := source.Now()
	sample, err := oneSample("query", value)
	if err != nil {
		return query.Reading{}, err
	}
	// The server's time is in whole milliseconds, and may be up to one too early.
	at, skew := query.SampleTime(sample.evaluated, sent.Truncate(time.Millisecond), received)
	reading := query.Reading{At: at, Skew: skew, Gauges: map[query.Kind]query.Gauge{query.Value: sample.gauge}}
	if p.query.dataTime == "" || sample.gauge.Presence == query.Empty {
		return reading, nil
	}
	measured, err := p.dataTime(ctx, server, sample.evaluated)
	if err != nil {
		return query.Reading{}, err
	}
	// Both times are the server's, so that their distance is right whatever its clock.
	reading.At = at.Add(-sample.evaluated.Sub(measured))
	return reading, nil
}

// dataTime asks for the time of the data that the query reads, on the server's
// clock and not after evaluated.
func (p *valuePoller) dataTime(ctx context.Context, server server, evaluated time.Time) (time.Time, error) {
	field := "sampledAt"
	if !p.query.timeGiven {
		field = "the query for the time of the data"
	}
	value, err := server.instant(ctx, p.query.dataTime, evaluated)
	if err != nil {
		return time.Time{}, p.noTime(server, err)
	}
	sample, err := oneSample(field, value)
	if err != nil {
		return time.Time{}, err
	}
	if sample.gauge.Presence == query.Empty && !p.query.timeGiven {
		// Nothing was selected and there is a value: it is made of constants.
		return evaluated, nil
	}
	return timeOf(field, sample.gauge, evaluated)
}

// noTime is why the time of the data is not known. A query that its author has not
// written is not to be put right by its author.
func (p *valuePoller) noTime(server server, err error) error {
	failure := p.servers.failure(server.url, err)
	if failure.Reason == reasonRefused && !p.query.timeGiven {
		return source.Errorf(reasonNoTime, "the time of the data could not be asked for, set sampledAt: %s", failure.Message)
	}
	return failure
}

// timeOf reads a time in seconds since 1970.
func timeOf(field string, gauge query.Gauge, evaluated time.Time) (time.Time, error) {
	switch {
	case gauge.Presence != query.Number:
		return time.Time{}, source.Errorf(reasonNoTime, "%s gave no number, so that nothing is known of the age of the data", field)
	case gauge.Value < 0 || gauge.Value > latestSecond:
		return time.Time{}, source.Errorf(reasonNoTime, "%s gave %g, which is no time in seconds since 1970", field, gauge.Value)
	}
	measured := time.UnixMilli(int64(math.Round(gauge.Value * 1000))).UTC()
	switch ahead := measured.Sub(evaluated); {
	case ahead > query.AheadAllowed:
		return time.Time{}, source.Errorf(reasonNoTime, "%s gave a time that is %s in the future", field, ahead.Round(time.Second))
	case ahead > 0:
		return evaluated, nil
	}
	return measured, nil
}

// sampled is one number of a reply, or the way in which there is none.
type sampled struct {
	gauge query.Gauge
	// evaluated is the server's time of evaluation; zero where there is no sample.
	evaluated time.Time
}

// oneSample reads a reply that must hold one number. Field names what was asked.
func oneSample(field string, value model.Value) (sampled, error) {
	switch v := value.(type) {
	case *model.Scalar:
		if v != nil {
			return sampled{gauge: query.NumberOf(float64(v.Value)), evaluated: v.Timestamp.Time().UTC()}, nil
		}
	case model.Vector:
		return oneOf(field, v)
	case *model.String:
		return sampled{}, unsupported(field, "a text")
	case model.Matrix:
		return sampled{}, unsupported(field, "a range of samples")
	}
	return sampled{}, unsupported(field, "no result")
}

func oneOf(field string, v model.Vector) (sampled, error) {
	switch {
	case len(v) == 0:
		return sampled{gauge: query.Gauge{Presence: query.Empty}}, nil
	case len(v) > 1:
		return sampled{}, ambiguous(field, len(v))
	case v[0] == nil:
		return sampled{}, unsupported(field, "no result")
	case v[0].Histogram != nil:
		return sampled{}, unsupported(field, "a histogram")
	}
	return sampled{gauge: query.NumberOf(float64(v[0].Value)), evaluated: v[0].Timestamp.Time().UTC()}, nil
}
