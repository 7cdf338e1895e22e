package replicas

import (
	"errors"
	"fmt"
	"strconv"
)

// Key is the key of a metric's samples in the snapshot: its index in
// spec.metrics.
func Key(index int) string { return strconv.Itoa(index) }

// failure is a metric that gave no count.
type failure struct {
	// reason is that of the condition and the event.
	reason string
	// brief is the event's message, full what the summary quotes.
	brief, full string
	spec        bool
}

// answer is what one metric gave: a reading and its name, or a failure.
type answer struct {
	reading
	// name is how events and conditions call the metric.
	name   string
	status MetricStatus
	failed *failure
}

// ask evaluates one metric of the spec.
func ask(s *Snapshot, index int) answer {
	m := s.HPA.Metrics[index]
	samples := s.Samples[Key(index)]
	switch m.Type {
	case Resource:
		return askResource(s, m, samples, "FailedGetResourceMetric", m.Name+" resource")
	case ContainerResource:
		return askResource(s, m, samples, "FailedGetContainerResourceMetric", m.Container+" container")
	case Pods:
		return askPods(s, m, samples)
	case Object:
		return askObject(s, m, samples)
	case External:
		return askExternal(s, m, samples)
	}
	text := fmt.Sprintf("unknown metric source type %q", m.Type)
	return answer{failed: &failure{reason: "InvalidMetricSourceType", brief: text, full: text, spec: true}}
}

// status is the metric's entry of the status, still without values.
func (m Metric) status() MetricStatus {
	return MetricStatus{Type: m.Type, Name: m.Name, Container: m.Container, Object: m.Object, Selector: m.Selector}
}

var errTarget = errors.New("invalid metric source: the target must be above zero")

// positive refuses targets that no count can be divided by. The API server lets
// none through.
func positive(target int64) error {
	if target <= 0 {
		return errTarget
	}
	return nil
}

// askResource serves Resource and ContainerResource metrics.
func askResource(s *Snapshot, m Metric, samples Samples, reason, what string) answer {
	fail := func(doing string, err error) answer {
		brief := doing + err.Error()
		full := fmt.Sprintf("failed to get %s metric value: %s", what, brief)
		return answer{failed: &failure{reason: reason, brief: brief, full: full}}
	}
	out := answer{status: m.status()}
	if m.AverageValue != nil {
		r, err := readAverage(s, m, samples, m.Name == CPU, "resource ")
		if err != nil {
			return fail(fmt.Sprintf("failed to get %s usage: ", m.Name), err)
		}
		out.reading, out.name = r, m.Name+" resource"
		out.status.AverageValue = &r.usage
		return out
	}
	if m.AverageUtilization == nil {
		return fail("", errors.New("invalid resource metric source: neither an average utilization target nor an average value (usage) target was set"))
	}
	r, err := readUtilization(s, m, samples)
	if err != nil {
		return fail(fmt.Sprintf("failed to get %s utilization: ", m.Name), err)
	}
	out.reading, out.name = r, m.Name+" resource utilization (percentage of request)"
	if m.Type == ContainerResource {
		out.name = m.Name + " container resource utilization (percentage of request)"
	}
	out.status.AverageUtilization, out.status.AverageValue = &r.percent, &r.usage
	return out
}

// readUtilization compares the usage of the pods to a percentage of what they
// request.
func readUtilization(s *Snapshot, m Metric, samples Samples) (reading, error) {
	target := *m.AverageUtilization
	if err := usable(s, m, samples, "resource "); err != nil {
		return reading{}, err
	}
	if err := positive(int64(target)); err != nil {
		return reading{}, err
	}
	fallback := max(100, int64(target))
	t, err := tallyPods(s, samples, m.Name == CPU, RequestKey(m.Name, m.Container), fallback)
	if err != nil {
		return reading{}, err
	}
	r, err := t.perPod(s.Scale.Spec, tolerances(s), t.utilization(target))
	if err != nil {
		return reading{}, err
	}
	if s.rolling() {
		r = r.judgeRollout(s, steadyPods(s, samples, RequestKey(m.Name, m.Container)), tolerances(s), ofRequests(target))
	}
	r.note = fmt.Sprintf("%d%% of the requests, target %d%%: %s; %s", r.percent, target, r.note, ago(s.Now, samples.At))
	return r, nil
}

// readAverage compares the pods' average to a value.
func readAverage(s *Snapshot, m Metric, samples Samples, judged bool, kind string) (reading, error) {
	if err := usable(s, m, samples, kind); err != nil {
		return reading{}, err
	}
	target := *m.AverageValue
	if err := positive(target); err != nil {
		return reading{}, err
	}
	t, err := tallyPods(s, samples, judged, "", 0)
	if err != nil {
		return reading{}, err
	}
	r, err := t.perPod(s.Scale.Spec, tolerances(s), t.average(target))
	if err != nil {
		return reading{}, err
	}
	if s.rolling() {
		r = r.judgeRollout(s, steadyPods(s, samples, ""), tolerances(s), ofValue(target))
	}
	r.note = fmt.Sprintf("%s per pod, target %s: %s; %s", milli(r.usage), milli(target), r.note, ago(s.Now, samples.At))
	return r, nil
}

// usable tells why per-pod samples cannot be used at all.
func usable(s *Snapshot, m Metric, samples Samples, kind string) error {
	switch {
	case samples.SelectorError != "":
		return errors.New(samples.SelectorError)
	case samples.Error != "" && kind != "":
		return fmt.Errorf("unable to get metrics for %s%s: %s", kind, m.Name, samples.Error)
	case samples.Error != "":
		return fmt.Errorf("unable to get metric %s: %s", m.Name, samples.Error)
	case len(s.Pods) == 0:
		return errNoPods
	}
	return nil
}

func askPods(s *Snapshot, m Metric, samples Samples) answer {
	fail := func(err error) answer {
		return answer{failed: &failure{
			reason: "FailedGetPodsMetric", brief: err.Error(),
			full: "failed to get pods metric value: " + err.Error(),
		}}
	}
	if m.AverageValue == nil {
		return fail(errors.New("invalid pods metric source: no average value target was set"))
	}
	r, err := readAverage(s, m, samples, false, "")
	if err != nil {
		return fail(err)
	}
	out := answer{reading: r, name: "pods metric " + m.Name, status: m.status()}
	out.status.AverageValue = &r.usage
	return out
}

// milli writes thousandths as a decimal number.
func milli(v int64) string {
	if v%1000 == 0 {
		return strconv.FormatInt(v/1000, 10)
	}
	return strconv.FormatFloat(float64(v)/1000, 'f', -1, 64)
}
