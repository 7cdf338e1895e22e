package replicas

import (
	"math"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// checks remembers what happened, in its own way, and judges each turn by it.
type checks struct {
	seen    map[string]int
	changes []change
	// counted are the changes, and asked the recommendations, since the state was
	// last lost.
	counted []change
	asked   []behavior.Recommendation
	// failing is since when no metric gave a count, as far as the state knows.
	failing time.Time
}

// lost is told where the controller forgot everything.
func (c *checks) lost() { c.counted, c.asked, c.failing = nil, nil, time.Time{} }

func (c *checks) turn(t *testing.T, s Snapshot, state State, d Decision, o decision.Outcome) {
	t.Helper()
	for _, step := range d.Steps {
		c.seen[step.Rule+" "+step.Reason]++
	}
	lo, hi := modelBounds(s)
	mode := s.Policy.Mode
	if d.Act != (mode == "" && d.To != d.From) {
		t.Errorf("mode %q: acts %t", mode, d.Act)
	}
	if d.Act && (d.To < lo || d.To > hi) {
		t.Errorf("acts on %d, outside %d to %d", d.To, lo, hi)
	}
	if p := s.Policy.Pause; p != nil && s.Now.Before(p.Until) {
		if d.To > d.From && p.Direction != behavior.Down || d.To < d.From && p.Direction != behavior.Up {
			t.Errorf("goes from %d to %d while %s is paused", d.From, d.To, p.Direction)
		}
	}
	fellBack := c.holdMetrics(t, s, d, lo, hi)
	c.holdConditions(t, d)
	if slot := d.Observed.Recommendation; slot != nil {
		c.asked = append(c.asked, slot.Recommendation)
	}
	if o.Result == decision.Succeeded {
		ch := change{at: d.At, from: d.From, to: d.To}
		if d.From >= lo && d.From <= hi {
			c.holdPace(t, s, ch)
			if !fellBack && d.From > 0 {
				c.holdWindows(t, s, ch)
			}
		}
		if d.Cause == "" {
			t.Error("a change without a cause")
		}
		c.changes, c.counted = append(c.changes, ch), append(c.counted, ch)
	}
	if len(state.Recommendations) > 64 || len(state.Reversals) > reversalsKept || len(state.Ups)+len(state.Downs) > 64 {
		t.Errorf("the state grows: %d recommendations, %d reversals, %d and %d changes",
			len(state.Recommendations), len(state.Reversals), len(state.Ups), len(state.Downs))
	}
}

// holdMetrics holds a turn to what failing metrics allow.
func (c *checks) holdMetrics(t *testing.T, s Snapshot, d Decision, lo, hi int32) (fellBack bool) {
	t.Helper()
	if len(d.Proposals) == 0 {
		return false
	}
	failed := 0
	for i, p := range d.Proposals {
		if p.Failure != "" {
			failed++
		}
		samples := s.Samples[Key(i)]
		if missing := samples.Error != "" || s.Now.Sub(samples.At) > s.Policy.MaxSampleAge; missing != (p.Failure != "") && len(s.Pods) > 0 {
			t.Errorf("metric %d: missing is %t, and its failure %q", i, missing, p.Failure)
		}
	}
	if failed < len(d.Proposals) {
		c.failing = time.Time{}
		if failed > 0 && d.To < d.From {
			t.Errorf("goes from %d to %d although a metric failed", d.From, d.To)
		}
		return false
	}
	if c.failing.IsZero() {
		c.failing = s.Now
	}
	f := s.Policy.Fallback
	if f == nil || s.Now.Sub(c.failing) < f.After {
		if d.To != d.From {
			t.Errorf("goes from %d to %d without a metric", d.From, d.To)
		}
		return false
	}
	switch goal := min(max(f.Replicas, lo), hi); f.Policy {
	case FallbackReplicas:
		if d.To < min(d.From, goal) || d.To > max(d.From, goal) {
			t.Errorf("goes from %d to %d, the fallback is %d", d.From, d.To, goal)
		}
	case FallbackAtLeast:
		if d.To < d.From || d.To > max(d.From, goal) {
			t.Errorf("goes from %d to %d, the fallback is at least %d", d.From, d.To, goal)
		}
	case FallbackAtMost:
		if d.To > max(d.From, lo) || d.To < min(d.From, goal) {
			t.Errorf("goes from %d to %d, the fallback is at most %d", d.From, d.To, goal)
		}
	case FallbackHold:
		if d.To != d.From {
			t.Errorf("goes from %d to %d, the fallback holds", d.From, d.To)
		}
	}
	return true
}

func (c *checks) holdConditions(t *testing.T, d Decision) {
	t.Helper()
	n := 0
	for _, condition := range d.Conditions {
		if condition.Type == Policed {
			n++
			c.seen["condition "+condition.Reason]++
			if condition.Status != decision.True || condition.Message == "" {
				t.Errorf("the policy shows %+v", condition)
			}
		}
	}
	if n != 1 {
		t.Errorf("the policy is shown %d times", n)
	}
}

// holdPace holds a change to the delays and the rates.
func (c *checks) holdPace(t *testing.T, s Snapshot, ch change) {
	t.Helper()
	up := ch.to > ch.from
	wait := s.Policy.DownscaleDelay
	if up {
		wait = s.Policy.UpscaleDelay
	}
	for _, p := range c.changes {
		if wait != nil && up == (p.to > p.from) && ch.at.Before(p.at.Add(*wait)) {
			t.Errorf("goes from %d to %d at %s, after %s", ch.from, ch.to, ch.at, p.at)
		}
	}
	switch b := s.HPA.Behavior; {
	case b == nil && up && ch.to > max(2*ch.from, 4):
		t.Errorf("goes from %d to %d at once", ch.from, ch.to)
	case b != nil && ch.from > 0:
		c.holdRate(t, *b, ch)
	}
}

func (c *checks) holdRate(t *testing.T, b behavior.Behavior, ch change) {
	t.Helper()
	rules, sign := b.Down, -1.0
	if ch.to > ch.from {
		rules, sign = b.Up, 1.0
	}
	limits := make([]float64, 0, len(rules.Policies))
	for _, p := range rules.Policies {
		start := float64(ch.from)
		for _, past := range c.counted {
			if past.at.After(ch.at.Add(-time.Duration(p.PeriodSeconds) * time.Second)) {
				start -= float64(past.to - past.from)
			}
		}
		limit := start + float64(sign*float64(p.Value))
		if p.Type == behavior.Percent {
			// Whole counts, to the far side, of the product as upstream forms it.
			limit = sign * math.Ceil(float64(sign*start*(1+float64(sign*float64(p.Value)/100))))
		}
		limits = append(limits, limit)
	}
	far := slices.Max(limits)
	if (sign > 0) != (rules.Select == behavior.SelectMax) {
		far = slices.Min(limits)
	}
	if sign*(float64(ch.to)-far) > 0 {
		t.Errorf("goes from %d to %d, the rates allow %g", ch.from, ch.to, far)
	}
}

// holdWindows holds a change to what was asked for within the windows.
func (c *checks) holdWindows(t *testing.T, s Snapshot, ch change) {
	t.Helper()
	down, up := s.Config.DownscaleStabilization, time.Duration(0)
	if b := s.HPA.Behavior; b != nil {
		down, up = time.Duration(b.Down.WindowSeconds)*time.Second, time.Duration(b.Up.WindowSeconds)*time.Second
	}
	for _, r := range c.asked {
		if ch.to < ch.from && r.At.After(ch.at.Add(-down)) && r.Replicas > ch.to {
			t.Errorf("goes down to %d, and %d was asked for at %s", ch.to, r.Replicas, r.At)
		}
		if ch.to > ch.from && r.At.After(ch.at.Add(-up)) && r.Replicas < ch.to {
			t.Errorf("goes up to %d, and %d was asked for at %s", ch.to, r.Replicas, r.At)
		}
	}
}

// modelBounds works the bounds out again, in fractions.
func modelBounds(s Snapshot) (lo, hi int32) {
	lo, hi = s.HPA.Min, s.HPA.Max
	var lows, highs []int32
	for _, w := range s.Policy.Windows {
		if s.Now.Before(w.Opens) || !s.Now.Before(w.Closes) {
			continue
		}
		if w.Min != nil {
			part := big.NewRat(1, 1)
			if since := s.Now.Sub(w.Opens); since < w.RampUp {
				part = big.NewRat(int64(since), int64(w.RampUp))
			} else if left := w.Closes.Sub(s.Now); left < w.RampDown {
				part = big.NewRat(int64(left), int64(w.RampDown))
			}
			way := new(big.Rat).Mul(part, big.NewRat(int64(*w.Min-s.HPA.Min), 1))
			exact, _ := way.Add(way, big.NewRat(int64(s.HPA.Min), 1)).Float64()
			lows = append(lows, int32(math.Ceil(exact-1e-9)))
		}
		if w.Max != nil {
			highs = append(highs, *w.Max)
		}
	}
	if len(lows) > 0 {
		lo = slices.Max(lows)
	}
	if len(highs) > 0 {
		hi = slices.Min(highs)
	}
	return lo, max(lo, hi)
}
