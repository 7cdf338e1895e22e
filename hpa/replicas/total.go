package replicas

import (
	"errors"
	"fmt"
	"math"
)

// askObject serves metrics of one object of the API.
func askObject(s *Snapshot, m Metric, samples Samples) answer {
	const reason = "FailedGetObjectMetric"
	fail := func(prefix string, err error) answer {
		full := "failed to get object metric value: " + prefix + err.Error()
		return answer{failed: &failure{reason: reason, brief: err.Error(), full: full}}
	}
	object := Target{}
	if m.Object != nil {
		object = *m.Object
	}
	var failed error
	switch {
	case samples.SelectorError != "":
		return fail("", errors.New(samples.SelectorError))
	case samples.Error != "":
		failed = fmt.Errorf("unable to get metric %s on %s %s/%s: %s", m.Name, object.Kind, s.HPA.Namespace, object.Name, samples.Error)
	}
	switch {
	case m.TargetType == TargetValue && m.Value != nil:
		return total(s, m, samples, totals{
			failed: failed, name: fmt.Sprintf("%s metric %s", object.Kind, m.Name),
			fail: func(err error) answer { return fail("", err) },
		})
	case m.TargetType == TargetAverageValue && m.AverageValue != nil:
		return shared(s, m, samples, totals{
			failed: failed, name: fmt.Sprintf("external metric %s(%+v)", m.Name, m.Selector),
			fail: func(err error) answer { return fail(fmt.Sprintf("failed to get %s object metric: ", m.Name), err) },
		})
	}
	return fail("", errors.New("invalid object metric source: neither a value target nor an average value target was set"))
}

// askExternal serves metrics that belong to no object.
func askExternal(s *Snapshot, m Metric, samples Samples) answer {
	fail := func(prefix string, err error) answer {
		full := fmt.Sprintf("failed to get %s external metric value: %s%s", m.Name, prefix, err.Error())
		return answer{failed: &failure{reason: "FailedGetExternalMetric", brief: err.Error(), full: full}}
	}
	var failed error
	switch {
	case samples.SelectorError != "":
		failed = errors.New(samples.SelectorError)
	case samples.Error != "":
		failed = fmt.Errorf("unable to get external metric %s/%s/%+v: %s", s.HPA.Namespace, m.Name, m.Selector, samples.Error)
	}
	name := fmt.Sprintf("external metric %s(%+v)", m.Name, m.Selector)
	switch {
	case m.AverageValue != nil:
		return shared(s, m, samples, totals{failed: failed, name: name, fail: func(err error) answer {
			return fail(fmt.Sprintf("failed to get %s external metric: ", m.Name), err)
		}})
	case m.Value != nil:
		return total(s, m, samples, totals{failed: failed, name: name, fail: func(err error) answer {
			return fail(fmt.Sprintf("failed to get external metric %s: ", m.Name), err)
		}})
	}
	return fail("", errors.New("invalid external metric source: neither a value target nor an average value target was set"))
}

// totals is what Object and External metrics word differently.
type totals struct {
	// failed is the error of the query, nil where it was answered.
	failed error
	name   string
	fail   func(error) answer
}

// total compares the whole usage to one value and keeps the ratio: the count is
// that of the ready pods times the ratio.
func total(s *Snapshot, m Metric, samples Samples, w totals) answer {
	if w.failed != nil {
		return w.fail(w.failed)
	}
	target := *m.Value
	if err := positive(target); err != nil {
		return w.fail(err)
	}
	usage := addUp(samples.Values)
	ratio := float64(usage) / float64(target)
	out := answer{name: w.name, status: m.status()}
	out.status.Value = &usage
	out.usage = usage
	tol, current := tolerances(s), s.Scale.Spec
	switch {
	case current == 0:
		// Nothing runs, so there is no count to keep a ratio to, and no tolerance.
		out.replicas, out.reason = toInt32(math.Ceil(ratio)), reasonAbove
		if ratio <= 0 {
			out.reason = reasonBelow
		}
	case tol.covers(ratio):
		out.reading = out.settle(current, current, ratio, tol)
	default:
		running, err := readyPods(s.Pods)
		if err != nil {
			return w.fail(fmt.Errorf("unable to calculate ready pods: %w", err))
		}
		counted := "ready pods"
		if s.rolling() {
			running, counted = int(current), "pods"
		}
		out.reading = out.settle(current, pods(ratio, running), ratio, tol)
		out.note = fmt.Sprintf("; %d %s", running, counted)
	}
	out.note = fmt.Sprintf("%s in all, target %s: ratio %.3g%s; %s", milli(usage), milli(target), ratio, out.note, ago(s.Now, samples.At))
	return out
}

// shared divides the whole usage by what one pod is to have. The tolerance is
// taken from the count asked for, not from the one that exists: pods that a
// rollout adds or lacks for a while change nothing.
func shared(s *Snapshot, m Metric, samples Samples, w totals) answer {
	if w.failed != nil {
		return w.fail(w.failed)
	}
	target := *m.AverageValue
	if err := positive(target); err != nil {
		return w.fail(err)
	}
	usage := addUpShared(m.Type, samples.Values)
	current := s.Scale.Spec
	wanted := toInt32(math.Ceil(float64(usage) / float64(target)))
	out := answer{name: w.name, status: m.status()}
	ratio := math.Inf(1)
	if current > 0 {
		ratio = float64(usage) / (float64(target) * float64(current))
	} else if usage <= 0 {
		ratio = 0
	}
	out.reading = out.settle(current, wanted, ratio, tolerances(s))
	average := int64(math.MaxInt64)
	if float64(usage) < math.MaxInt64 {
		average = toInt64(math.Ceil(float64(usage) / float64(max(1, s.Scale.Status))))
	}
	out.usage = average
	out.status.AverageValue = &average
	out.note = fmt.Sprintf("%s in all, target %s per pod: ratio %.3g; %s", milli(usage), milli(target), ratio, ago(s.Now, samples.At))
	return out
}

// addUp sums series. It stops at the largest value where a sum would pass it.
func addUp(values []int64) int64 {
	var usage int64
	for _, v := range values {
		if v > 0 && usage > math.MaxInt64-v {
			return math.MaxInt64
		}
		if v < 0 && usage < math.MinInt64-v {
			return math.MinInt64
		}
		usage += v
	}
	return usage
}

// addUpShared sums series for a target per pod. Upstream takes any negative sum
// of an External metric for an overflow, and so for the largest value.
func addUpShared(metricType string, values []int64) int64 {
	if metricType != External {
		return addUp(values)
	}
	var usage int64
	for _, v := range values {
		usage += v
		if usage < 0 {
			return math.MaxInt64
		}
	}
	return usage
}

// readyPods counts the pods that run and are ready.
func readyPods(all map[string]Pod) (int, error) {
	if len(all) == 0 {
		return 0, errNoPods
	}
	n := 0
	for _, p := range all {
		if p.Phase == "" && p.Ready == "True" {
			n++
		}
	}
	return n, nil
}
