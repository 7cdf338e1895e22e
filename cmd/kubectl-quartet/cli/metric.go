package cli

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi/v1alpha1"
)

// metricAnswer is the last decision on the MetricSource that serves a metric.
type metricAnswer struct {
	d *v1alpha1.Decision
	sourceDetail
	// metric is the one that was asked for; empty where the whole source was.
	metric string
}

// sourceDetail is what the adapter adds to a decision.
type sourceDetail struct {
	Served query.Served `json:"served"`
}

func explainMetric(ctx context.Context, a *asker, name string) (answer, error) {
	all, err := a.decisions(ctx, metricsAdapter)
	if err != nil {
		return nil, err
	}
	var serving []*metricAnswer
	var source *metricAnswer
	var names []string
	for i := range all {
		m := &metricAnswer{d: &all[i]}
		unpack(m.d.Detail, &m.sourceDetail)
		for _, s := range m.Served.Samples {
			names = append(names, s.Metric)
			if s.Metric == name {
				serving = append(serving, &metricAnswer{d: m.d, sourceDetail: m.sourceDetail, metric: name})
			}
		}
		if m.d.Unit.Name == name && (source == nil || m.d.Unit.Namespace != "") {
			source = m
		}
	}
	switch {
	case len(serving) > 0:
		// One of the namespace goes before one of the whole cluster, and the older
		// of two, as in the adapter's own table.
		return slices.MinFunc(serving, func(x, y *metricAnswer) int {
			return cmp.Or(-strings.Compare(x.d.Unit.Namespace, y.d.Unit.Namespace), x.Served.Facts.Created.Compare(y.Served.Facts.Created), strings.Compare(x.d.Name, y.d.Name))
		}), nil
	case source != nil:
		return source, nil
	}
	return nil, a.noMetric(ctx, name, names)
}

// noMetric tells an object without a decision from a name that nothing has.
func (a *asker) noMetric(ctx context.Context, name string, others []string) error {
	if _, err := a.get(ctx, a.path(objectMetricSource, name)...); !apierrors.IsNotFound(err) {
		return fmt.Errorf("%s has not decided on %s yet: it may have just started, or run in mode Off",
			metricsAdapter.server, a.called(objectMetricSource, name))
	}
	slices.Sort(others)
	served := "none is served there"
	if others = slices.Compact(others); len(others) > 0 {
		served = "served there: " + strings.Join(others, ", ")
	}
	return fmt.Errorf("no MetricSource in namespace %s serves a metric %s or has that name\nMetrics %s", a.namespace, name, served)
}

func (m *metricAnswer) value() any { return m.d }

func (m *metricAnswer) text(now time.Time) string {
	d := m.d
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", m.headline(now), decided(d, now))
	m.facts(&b, now)
	fmt.Fprintf(&b, "\nWhy:      %s%s\nOutcome:  %s\n", d.Reason, suffix(": ", d.Message), m.outcome())
	m.samples(&b)
	steps(&b, "Steps", slices.DeleteFunc(slices.Clone(d.Steps), m.foreign))
	faults(&b, d)
	conditions(&b, d.Conditions)
	return b.String()
}

// headline is the value with its age, or why there is none.
func (m *metricAnswer) headline(now time.Time) string {
	if m.metric == "" {
		return fmt.Sprintf("%s serves %s.", m.d.Unit, count(len(m.Served.Samples), "metric"))
	}
	called := fmt.Sprintf("Metric %s of namespace %s", m.metric, m.d.Namespace)
	i := slices.IndexFunc(m.Served.Samples, func(s query.Sample) bool { return s.Metric == m.metric })
	sample := m.Served.Samples[i]
	// At the time of the decision, on the adapter's own clock.
	sample, fault := query.Serve(sample, m.Served.Facts, m.d.At.Time)
	if fault != nil {
		return fmt.Sprintf("%s is not served: %s: %s.", called, fault.Reason, fault.Message)
	}
	text := fmt.Sprintf("%s is %s, sampled %s.", called, number(sample.Value), ago(m.Served.Facts.SampledAt, now))
	if ready, ok := find(m.d.Conditions, query.ConditionReady); ok && ready.Reason == "NotServed" {
		text += " It is not served: " + ready.Message + "."
	}
	if fresh, ok := find(m.d.Conditions, query.ConditionFresh); ok && (fresh.Reason == query.ReasonHeld || fresh.Reason == query.ReasonFloored) {
		text += fmt.Sprintf(" It is %s: %s.", strings.ToLower(fresh.Reason), fresh.Message)
	}
	return text
}

// outcome says what became of the values.
func (m *metricAnswer) outcome() string {
	switch {
	case m.d.Outcome.Result == decision.Succeeded:
		return "these values are served from then on"
	case m.d.Outcome.Result == decision.Unneeded && m.d.From == m.d.To:
		return "what is served stays as it was"
	}
	return result(m.d)
}

func (m *metricAnswer) facts(b *strings.Builder, now time.Time) {
	f := m.Served.Facts
	sampled, failure := "never", "none"
	if !f.SampledAt.IsZero() {
		sampled = ago(f.SampledAt, now)
	}
	if l := f.LastFailure; l != nil {
		failure = fmt.Sprintf("%s: %s: %s", ago(l.At, now), l.Reason, l.Message)
		if f.Failing {
			failure += fmt.Sprintf("; it goes on, %d in a row", l.InRow)
		}
	}
	facts(b,
		[2]string{"Source", f.Source},
		[2]string{"Sampled", sampled},
		[2]string{"Max age", f.MaxAge.String()},
		[2]string{"Last failure", failure})
}

func (m *metricAnswer) samples(b *strings.Builder) {
	rows := make([][]string, 0, len(m.Served.Samples))
	for _, s := range m.Served.Samples {
		if m.metric != "" && s.Metric != m.metric {
			continue
		}
		s, fault := query.Serve(s, m.Served.Facts, m.d.At.Time)
		value, window, why := number(s.Value), "-", "-"
		if fault != nil {
			value, why = "-", fault.Reason+": "+fault.Message
		} else if s.WindowSeconds > 0 {
			window = (time.Duration(s.WindowSeconds) * time.Second).String()
		}
		rows = append(rows, []string{s.Metric, string(s.Kind), value, window, why})
	}
	table(b, "Values", []string{"METRIC", "SHOWS", "VALUE", "MEASURED OVER", "WHY NOT"}, rows)
}

// foreign are the steps of the source's other metrics.
func (m *metricAnswer) foreign(s decision.Step) bool {
	metric, ok := strings.CutPrefix(s.Rule, "metric/")
	return ok && m.metric != "" && metric != m.metric
}

// number is a value with at most three decimals.
func number(v float64) string {
	return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64)
}

func find(all []decision.Condition, kind string) (decision.Condition, bool) {
	i := slices.IndexFunc(all, func(c decision.Condition) bool { return c.Type == kind })
	if i < 0 {
		return decision.Condition{}, false
	}
	return all[i], true
}
