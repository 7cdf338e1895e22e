package replicas

import (
	"fmt"
	"time"
)

// class is how a pod counts in a per-pod metric.
type class int

const (
	// ready pods count with their sample.
	ready class = iota
	// unready pods have no say, and count as idle when scaling up.
	unready
	// missing pods have no sample: they count as busy when scaling down and as
	// idle when scaling up.
	missing
	// ignored pods are on their way out.
	ignored
)

// readiness is what the flags say of young pods.
type readiness struct {
	now            time.Time
	initialization time.Duration
	delay          time.Duration
	// judged tells that the sample follows the pod's start-up, as CPU does.
	judged bool
}

// classify puts a pod into its class.
func (r readiness) classify(p Pod, sample PodSample, sampled bool) class {
	switch {
	case p.Deleting || p.Phase == phaseFailed:
		return ignored
	case p.Phase == phasePending:
		return unready
	case !sampled:
		return missing
	case r.judged && r.warmingUp(p, sample):
		return unready
	}
	return ready
}

// warmingUp tells whether the sample of a pod is start-up rather than load.
func (r readiness) warmingUp(p Pod, sample PodSample) bool {
	if p.Ready == "" || p.Started.IsZero() {
		return true
	}
	if p.Started.Add(r.initialization).After(r.now) {
		// Young: it must be ready, and have been for a whole window of the metric.
		return p.Ready == "False" || sample.At.Before(p.ReadySince.Add(sample.Window))
	}
	// Old: not ready, and never was.
	return p.Ready == "False" && p.Started.Add(r.delay).After(p.ReadySince)
}

// tally counts the pods of one metric by class and sums what they use.
type tally struct {
	counts [4]int
	// named are the first few pods of the classes that do not count with a sample.
	named [4][]string
	// strangers are samples of pods that the selector does not know.
	strangers int
	// usage sums the samples of the ready pods, and strangersUsage the strangers'.
	usage, strangersUsage sum
	// requests sums the requests by class; missingFull is what the missing pods
	// would use at the fallback's per cent of their requests.
	requests    [4]sum
	missingFull sum
}

func (t *tally) samples() int { return t.counts[ready] + t.strangers }

// some names the first few pods of a class.
func (t *tally) some(c class) string {
	if t.counts[c] == 0 {
		return ""
	}
	return " (" + names(t.named[c], t.counts[c]) + ")"
}

func (t *tally) String() string {
	s := fmt.Sprintf("%d ready, %d unready%s, %d missing%s, %d ignored%s pods", t.counts[ready],
		t.counts[unready], t.some(unready), t.counts[missing], t.some(missing), t.counts[ignored], t.some(ignored))
	if t.strangers > 0 {
		s += fmt.Sprintf(", %d samples of other pods", t.strangers)
	}
	return s
}

// tallyPods goes through the pods once. Where key is not empty their requests
// are summed under it, and a pod without one is an error: the one with the
// first name is told.
func tallyPods(s *Snapshot, samples Samples, judged bool, key string, fallbackPercent int64) (*tally, error) {
	r := readiness{
		now:            s.Now,
		initialization: s.Config.CPUInitializationPeriod,
		delay:          s.Config.InitialReadinessDelay,
		judged:         judged,
	}
	t := &tally{}
	known := 0
	unset := ""
	for name, p := range s.Pods {
		sample, sampled := samples.Pods[name]
		if sampled {
			known++
		}
		c := r.classify(p, sample, sampled)
		t.counts[c]++
		if c == ready {
			t.usage.add(sample.Value)
		} else {
			t.named[c] = firstNames(t.named[c], name)
		}
		if key == "" {
			continue
		}
		request, set := p.Requests[key]
		if !set {
			if unset == "" || name < unset {
				unset = name
			}
			continue
		}
		t.requests[c].add(request)
		if c == missing {
			t.missingFull.add(scale(max(request, 0), fallbackPercent, 100))
		}
	}
	t.addStrangers(s.Pods, samples.Pods, known)
	switch {
	case t.samples() == 0:
		return t, errNoSamples
	case unset != "":
		return t, unsetRequest(s.Pods[unset], unset, key)
	}
	return t, nil
}

func (t *tally) addStrangers(pods map[string]Pod, samples map[string]PodSample, known int) {
	if len(samples) == known {
		return
	}
	for name, sample := range samples {
		if _, ok := pods[name]; !ok {
			t.strangers++
			t.strangersUsage.add(sample.Value)
		}
	}
}

func unsetRequest(p Pod, name, key string) error {
	if why := p.Unset[key]; why != "" {
		return fmt.Errorf("%s", why)
	}
	return fmt.Errorf("missing request for %s in Pod %s", key, name)
}
