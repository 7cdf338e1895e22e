package replicas

import (
	"fmt"
	"math"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Rollout is a change of the target's template: while it is under way, pods of the
// old one and of the new one exist beside one another.
type Rollout struct {
	// Surge is how many pods there may be beyond the count asked for.
	Surge int32 `json:"surge,omitempty"`
	// Ended is when the rollout was complete, zero while it is under way.
	Ended time.Time `json:"ended,omitzero"`
	// Most is how many pods may have shared the load while the samples were taken.
	// An observer leaves it 0: the rules know it.
	Most int32 `json:"most,omitempty"`
}

// PastRollout is what is remembered of the last rollout, for samples reach back.
type PastRollout struct {
	// Most is the largest number of pods that it may have had.
	Most int32 `json:"most"`
	// Ended is when it was seen to be over, zero while it goes on.
	Ended time.Time `json:"ended,omitzero"`
}

// settling is for how long after its end a rollout may still show in samples.
const settling = 5 * time.Minute

// reasonRollout says that a rollout hides what the metric would ask for.
const reasonRollout = "HeldByRollout"

// watchRollout finds out whether a rollout shows in the samples, and by how many
// pods they may have been taken of.
func watchRollout(t *turn) verdict {
	past := t.state.Rollout
	if past != nil && faded(t.s.Now, past.Ended) {
		past = nil
	}
	now := t.s.Rollout
	if now != nil && faded(t.s.Now, now.Ended) {
		now = nil
	}
	if t.s.Rollout = nil; now == nil && past == nil {
		return proceed
	}
	seen := lastRollout(t.s, now, past)
	if past == nil || seen != *past {
		t.d.Observed.Rollout = &seen
	}
	// The turn has a snapshot of its own.
	t.s.Rollout = &Rollout{Most: max(seen.Most, t.s.Scale.Spec), Ended: seen.Ended}
	what := "is under way"
	if !seen.Ended.IsZero() {
		what = fmt.Sprintf("ended at %s and may show in samples until %s", clockTime(seen.Ended), clockTime(seen.Ended.Add(settling)))
	}
	t.d.Steps = append(t.d.Steps, decision.Step{Rule: t.rule, In: count(t.current), Reason: "Rollout", Message: fmt.Sprintf(
		"a rollout of %s %s: metrics per pod are judged by the count of %d that is asked for, and up to %d pods may have shared the load",
		t.s.HPA.Target.text(), what, t.s.Scale.Spec, t.s.Rollout.Most)})
	return proceed
}

// faded tells whether a rollout that ended then shows in no sample any more.
func faded(now, ended time.Time) bool {
	return !ended.IsZero() && !now.Before(ended.Add(settling))
}

// lastRollout lays what is seen over what is remembered; one of them may be nil.
func lastRollout(s *Snapshot, now *Rollout, past *PastRollout) PastRollout {
	var seen PastRollout
	if past != nil {
		seen = *past
	}
	if now != nil {
		seen.Most = max(seen.Most, toInt32(float64(s.Scale.Spec)+float64(now.Surge)))
	}
	switch {
	case now != nil && now.Ended.IsZero():
		seen.Ended = time.Time{}
	case past != nil && past.Ended.IsZero():
		seen.Ended = s.Now
	case now != nil && now.Ended.After(seen.Ended):
		seen.Ended = now.Ended
	}
	return seen
}

// steady are the pods that have served during the whole time that the samples are
// of: those whose readiness is older than the earliest of them.
type steady struct {
	// since is the start of the earliest sample.
	since           time.Time
	n               int
	usage, requests sum
}

// steadyPods sums what the steady pods use, and what they request under the key.
func steadyPods(s *Snapshot, samples Samples, key string) steady {
	var out steady
	for name, sample := range samples.Pods {
		if p, ok := s.Pods[name]; ok && serves(p) {
			if from := sample.from(s.Now); out.since.IsZero() || from.Before(out.since) {
				out.since = from
			}
		}
	}
	for name, sample := range samples.Pods {
		p, ok := s.Pods[name]
		if !ok || !serves(p) || p.ReadySince.After(out.since) {
			continue
		}
		out.n++
		out.usage.add(sample.Value)
		out.requests.add(p.Requests[key])
	}
	return out
}

func serves(p Pod) bool { return p.Phase == "" && !p.Deleting && p.Ready == "True" }

// from is the start of the time that the sample is of.
func (p PodSample) from(now time.Time) time.Time {
	if p.At.IsZero() {
		return now.Add(-p.Window)
	}
	return p.At.Add(-p.Window)
}

// share is the usage ratio if the average of the steady pods were multiplied.
type share func(of steady, factor float64) float64

// ofRequests measures against a percentage of the requests, in whole per cent as
// without a rollout.
func ofRequests(target int32) share {
	return func(of steady, factor float64) float64 {
		requested := float64(of.requests.int64())
		if requested <= 0 {
			return 1
		}
		return floor(float64(of.usage.int64())/requested*100*factor) / float64(target)
	}
}

// ofValue measures against a value per pod, in whole thousandths.
func ofValue(target int64) share {
	return func(of steady, factor float64) float64 {
		return floor(float64(of.usage.int64())/float64(of.n)*factor) / float64(target)
	}
}

// floor rounds down, and a product that just misses a whole number to that.
func floor(f float64) float64 { return math.Floor(f + 1e-9) }

// judgeRollout turns a reading into what is certain of it while a rollout changes
// the number of pods that share the load. The load is at least what the steady
// pods use in all, for they have served throughout; it is at most what they would
// use were there as many of them as there may have been pods. Both are compared
// with the count asked for: that grows only where the one, and shrinks only where
// the other is outside the tolerance.
func (r reading) judgeRollout(s *Snapshot, of steady, tol tolerance, m share) reading {
	current := s.Scale.Spec
	if ended := s.Rollout.Ended; !ended.IsZero() && !of.since.Before(ended) {
		return r // all samples are of later
	}
	if of.n == 0 {
		r.replicas, r.reason = current, reasonRollout
		r.note += "; no pod has served during the whole time that the samples are of"
		return r
	}
	wanted := float64(current)
	least := m(of, float64(of.n)/wanted)
	most := m(of, float64(max(s.Rollout.Most, current))/wanted)
	r.note += fmt.Sprintf("; by %d pods that served throughout the load is %.3g to %.3g of what %d pods are to have", of.n, least, most, current)
	switch {
	case least > 1.0+tol.up:
		r.replicas, r.reason = pods(least, int(current)), reasonAbove
	case most < 1.0-tol.down:
		r.replicas, r.reason = pods(most, int(current)), reasonBelow
	case r.reason == reasonTolerated:
		r.replicas = current
	default:
		r.replicas, r.reason = current, reasonRollout
	}
	return r
}

// rolling tells whether metrics per pod are judged by judgeRollout.
func (s *Snapshot) rolling() bool { return s.Rollout != nil && s.Scale.Spec > 0 }
