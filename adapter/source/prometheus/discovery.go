package prometheus

import (
	"context"
	"slices"
	"time"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"golang.org/x/sync/errgroup"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/prometheus/rules"
)

const (
	// discoverEvery is how often a server is asked what series it has.
	discoverEvery = time.Minute
	// lookback is how long ago a series may have ended and still be found.
	lookback = 10 * time.Minute
	// maxSeries is how many names of series one rule may find.
	maxSeries = 500
	// concurrent is how many questions of one poll are asked at a time.
	concurrent = 4
)

// found is what one rule found: questions, and what went wrong while finding them.
type found struct {
	questions []question
	faults    []*source.Error
}

// question is one query of one rule.
type question struct {
	rule   rule
	metric string
	kind   rules.Kind
	text   string
}

// discover asks which series a rule is about, and what objects those are about. An
// error is of the server; what is wrong with the rule is a fault of what was found.
func (q *rulesQuery) discover(ctx context.Context, at server, r rule) (found, error) {
	since := source.Now().Add(-lookback)
	names, _, _, err := at.LabelValues(ctx, "__name__", []string{r.selector.String()}, since, time.Time{}, v1.WithLimit(maxSeries+1))
	if err != nil {
		return found{}, err
	}
	var kept []string
	for _, name := range names {
		if r.Keeps(string(name)) {
			kept = append(kept, string(name))
		}
	}
	slices.Sort(kept)
	var out found
	if len(kept) > maxSeries {
		out.fault("%s: more than %d names of series are found, and the rest is left out: narrow series or filters", r.field, maxSeries)
		kept = kept[:maxSeries]
	}
	each := make([]found, len(kept))
	err = inParallel(ctx, len(kept), func(ctx context.Context, i int) error {
		var err error
		each[i], err = q.examine(ctx, at, r, kept[i])
		return err
	})
	for _, one := range each {
		out.questions = append(out.questions, one.questions...)
		out.faults = append(out.faults, one.faults...)
	}
	if len(kept) > 0 && err == nil && len(out.questions)+len(out.faults) == 0 {
		out.fault("%s: series are found, %s among them, and none makes a metric: see name and resources", r.field, kept[0])
	}
	return out, err
}

// examine makes the questions about one series' name.
func (q *rulesQuery) examine(ctx context.Context, at server, r rule, series string) (found, error) {
	var out found
	metric, ok, err := r.Metric(series)
	if err != nil {
		out.fault("%s.name: %v", r.field, err)
	}
	if err != nil || !ok {
		return out, nil
	}
	names, _, _, err := at.LabelNames(ctx, []string{r.selector.Named(series).String()}, source.Now().Add(-lookback), time.Time{})
	if err != nil {
		return out, err
	}
	labels := make([]string, len(names))
	for i, name := range names {
		labels[i] = string(name)
	}
	kinds, err := r.Kinds(labels, q.namespace, q.mapper)
	if err != nil {
		out.fault("%s.resources: series %s: %v", r.field, series, err)
	}
	for _, kind := range kinds {
		text, err := r.Query(series, kind, q.namespace)
		if err != nil {
			out.fault("%s.query: series %s: %v", r.field, series, err)
			continue
		}
		out.questions = append(out.questions, question{rule: r, metric: metric, kind: kind, text: text})
	}
	return out, nil
}

func (f *found) fault(format string, args ...any) {
	f.faults = append(f.faults, source.Errorf(reasonRule, format, args...))
}

// inParallel does n things, a few at a time, and gives the first error, after which
// what was not begun is left.
func inParallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(concurrent)
	for i := range n {
		if within.Err() != nil {
			break
		}
		group.Go(func() (err error) {
			defer source.Recovered(&err)
			return do(within, i)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}
