package httpsource

import (
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// sum is the aggregate by default.
const sum = "Sum"

// aggregates make one number of at least one.
var aggregates = map[string]func([]float64) float64{
	sum: total,
	"Average": func(values []float64) float64 {
		return total(values) / float64(len(values))
	},
	"Max": func(values []float64) float64 {
		most := values[0]
		for _, v := range values {
			most = max(most, v)
		}
		return most
	},
	"Min": func(values []float64) float64 {
		least := values[0]
		for _, v := range values {
			least = min(least, v)
		}
		return least
	},
}

func total(values []float64) float64 {
	var all float64
	for _, v := range values {
		all += v
	}
	return all
}

// count is what came of asking all pods.
type count struct {
	numbers                    []float64
	failed, empty, notANumbers int
	// firstName and firstFailure are of the first pod that failed.
	firstName    string
	firstFailure *source.Error
	// firstEmpty is the first pod without a value.
	firstEmpty string
	// oneReason is that of all failures, empty where they differ.
	oneReason string
}

// reading makes one reading of the pods' values. An aggregate over fewer pods than
// are Ready is another number than the one that was asked for: it is refused,
// unless the object says otherwise. No pod at all is no value, and not 0. The
// reading is as old as the oldest value in it.
func (g *group) reading(asked time.Time, pods []Pod, results []result) (query.Reading, error) {
	reading := query.Reading{At: asked, Gauges: map[query.Kind]query.Gauge{}}
	c := counted(pods, results)
	if err := g.complete(c, len(pods)); err != nil {
		return query.Reading{}, err
	}
	first := true
	for i, pod := range pods {
		r := results[i]
		if r.err != nil {
			continue
		}
		if first || r.at.Before(reading.At) {
			reading.At, first = r.at, false
		}
		if r.skew.Abs() > reading.Skew.Abs() {
			reading.Skew = r.skew
		}
		reading.Objects = append(reading.Objects, query.ObjectValue{
			Resource: "pods", Namespace: g.namespace, Name: pod.Name, Gauge: r.gauge, At: r.at,
		})
	}
	switch {
	case c.notANumbers > 0:
		reading.Gauges[query.Value] = query.Gauge{Presence: query.NotANumber}
	case len(c.numbers) == 0:
		reading.Gauges[query.Value] = query.Gauge{Presence: query.Empty}
	default:
		reading.Gauges[query.Value] = query.NumberOf(aggregates[g.aggregate](c.numbers))
	}
	return reading, nil
}

func counted(pods []Pod, results []result) count {
	var c count
	for i, r := range results {
		switch {
		case r.err != nil:
			reason, message := source.ReasonOf(r.err)
			if c.failed++; c.failed == 1 {
				c.firstName, c.firstFailure, c.oneReason = pods[i].Name, source.Errorf(reason, "%s", message), reason
			}
			if reason != c.oneReason {
				c.oneReason = ""
			}
		case r.gauge.Presence == query.Number:
			c.numbers = append(c.numbers, r.gauge.Value)
		case r.gauge.Presence == query.NotANumber:
			c.notANumbers++
		default:
			if c.empty++; c.empty == 1 {
				c.firstEmpty = pods[i].Name
			}
		}
	}
	return c
}

// complete says why the values of the pods are no whole, or nil.
func (g *group) complete(c count, all int) error {
	some := len(c.numbers)+c.notANumbers > 0
	switch {
	case c.failed > 0 && (!g.ignore || c.failed == all):
		reason := reasonNotReached
		if c.failed == all && (c.oneReason == source.ReasonUnauthorized || c.oneReason == source.ReasonTLS) {
			// A fault of the credentials, which are then read again soon.
			reason = c.oneReason
		}
		return source.Errorf(reason, "%d of %d Ready pods did not answer as they should: %s: %s", c.failed, all, c.firstName, c.firstFailure.Message)
	case c.empty > 0 && some && !g.ignore:
		return source.Errorf(reasonWithoutValue, "%d of %d Ready pods answered without a value, such as %s", c.empty, all, c.firstEmpty)
	}
	return nil
}
