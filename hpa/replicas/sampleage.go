package replicas

import (
	"fmt"
	"maps"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// judgeAges makes samples that are too old count as missing.
func judgeAges(t *turn) verdict {
	if t.s.Policy == nil || t.s.Policy.MaxSampleAge <= 0 {
		return proceed
	}
	// The snapshot's own map is not ours to change.
	judged := maps.Clone(t.s.Samples)
	for i, m := range t.s.HPA.Metrics {
		samples, ok := judged[Key(i)]
		if !ok || samples.Error != "" || samples.SelectorError != "" {
			continue
		}
		if m.Type == External || m.Type == Object {
			judged[Key(i)] = t.judgeTotal(m, samples)
		} else {
			judged[Key(i)] = t.judgePods(m, samples)
		}
	}
	t.s.Samples = judged
	return proceed
}

func (t *turn) ageStep(reason, message string) {
	t.d.Steps = append(t.d.Steps, decision.Step{Rule: t.rule, Reason: reason, Message: message})
}

// tooOld tells whether a sample of the time is past the limit.
func (t *turn) tooOld(at time.Time) bool { return t.s.Now.Sub(at) > t.s.Policy.MaxSampleAge }

// allowed names the limit. What conditions and events quote tells times and no
// ages: it must not change from turn to turn.
func (t *turn) allowed() string {
	return fmt.Sprintf("%s allows %s", t.s.Policy.Source, t.s.Policy.MaxSampleAge)
}

func (t *turn) age(at time.Time) time.Duration { return t.s.Now.Sub(at).Truncate(time.Second) }

const (
	reasonTooOld  = "SampleTooOld"
	reasonUntimed = "SampleWithoutTime"
)

// judgeTotal judges an Object or External metric by the oldest of its series.
func (t *turn) judgeTotal(m Metric, samples Samples) Samples {
	at := samples.At
	if !samples.Oldest.IsZero() && (at.IsZero() || samples.Oldest.Before(at)) {
		at = samples.Oldest
	}
	if at.IsZero() {
		if len(samples.Values) > 0 {
			t.ageStep(reasonUntimed, fmt.Sprintf("%s: a sample without a time is not judged by its age", m.Name))
		}
		return samples
	}
	if !t.tooOld(at) {
		return samples
	}
	t.ageStep(reasonTooOld, fmt.Sprintf("%s: the sample is %s old, and %s", m.Name, t.age(at), t.allowed()))
	return Samples{At: samples.At, Oldest: samples.Oldest,
		Error: fmt.Sprintf("the sample of %s is too old: %s", instant(at), t.allowed())}
}

// judgePods takes away the samples that are too old: their pods have none then.
func (t *turn) judgePods(m Metric, samples Samples) Samples {
	old, untimed := 0, 0
	var youngest time.Time
	for _, sample := range samples.Pods {
		switch {
		case sample.At.IsZero():
			untimed++
		case t.tooOld(sample.At):
			old++
			if sample.At.After(youngest) {
				youngest = sample.At
			}
		}
	}
	if untimed > 0 {
		t.ageStep(reasonUntimed, fmt.Sprintf("%s: %d of %d samples have no time and are not judged by their age",
			m.Name, untimed, len(samples.Pods)))
	}
	if old == 0 {
		return samples
	}
	if old == len(samples.Pods) {
		t.ageStep(reasonTooOld, fmt.Sprintf("%s: all samples are too old, the youngest is %s old, and %s", m.Name, t.age(youngest), t.allowed()))
		return Samples{At: samples.At,
			Error: fmt.Sprintf("all samples are too old, the youngest is of %s: %s", instant(youngest), t.allowed())}
	}
	t.ageStep(reasonTooOld, fmt.Sprintf("%s: %d of %d samples are too old and count as missing: %s", m.Name, old, len(samples.Pods), t.allowed()))
	kept := make(map[string]PodSample, len(samples.Pods)-old)
	for name, sample := range samples.Pods {
		if sample.At.IsZero() || !t.tooOld(sample.At) {
			kept[name] = sample
		}
	}
	samples.Pods = kept
	return samples
}
