package query

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Reasons why a sample is not served.
const (
	ReasonStale       = "Stale"
	ReasonNoSample    = "NoSampleYet"
	ReasonInvalidSpec = "InvalidSpec"
	ReasonClock       = "ClockSkew"
	ReasonRateUnknown = "RateUnknown"
	// ReasonOtherWriter: another adapter is asked in our place.
	ReasonOtherWriter = "OtherAdapterServes"
)

// Judge tells why a sample must not be served at the time now, or gives nil
// where Serve has a value for it: its own, or what a declared policy makes of it.
// Every fault names the source; one about age names the
// age and the last failure too.
func Judge(s Sample, f Facts, now Time) *decision.Fault {
	if f.OtherAdapter != "" {
		return &decision.Fault{Source: f.Source, Reason: ReasonOtherWriter, Message: otherText("external", f.OtherAdapter)}
	}
	if fault := f.judgeAge(now); fault != nil {
		return fault
	}
	return s.Fault
}

// judgeAge asks about the reading that all samples of an object share.
func (f Facts) judgeAge(now Time) *decision.Fault {
	if f.SampledAt.IsZero() {
		return f.noSample()
	}
	age := now.Sub(f.SampledAt)
	switch {
	case age > f.MaxAge && !f.StandsIn(f.SampledAt, now):
		return &decision.Fault{Source: f.Source, Reason: ReasonStale, Message: f.staleText(age) + "; " + f.failureText()}
	case age < -f.MaxAge:
		return &decision.Fault{Source: f.Source, Reason: ReasonClock, Message: fmt.Sprintf(
			"the last sample is %s ahead of the clock, more than maxAge %s; %s", round(-age), f.MaxAge, f.failureText())}
	}
	return nil
}

func (f Facts) noSample() *decision.Fault {
	switch {
	case f.SpecFault != nil:
		return &decision.Fault{Source: f.Source, Reason: ReasonInvalidSpec,
			Message: "there is no sample: " + f.SpecFault.Message}
	case f.LastFailure != nil:
		return &decision.Fault{Source: f.Source, Reason: f.LastFailure.Reason,
			Message: "there is no sample yet; " + f.failureText()}
	}
	return &decision.Fault{Source: f.Source, Reason: ReasonNoSample, Message: "the source has not been polled yet"}
}

// failureText names the last failure, and says so where there was none.
func (f Facts) failureText() string {
	if f.LastFailure == nil {
		return "no poll has failed"
	}
	return fmt.Sprintf("last failure at %s: %s (%s)",
		f.LastFailure.At.Format(time.RFC3339), f.LastFailure.Message, f.LastFailure.Reason)
}

// staleAt is when the newest reading becomes stale, or where a policy stands in
// for it, when that ends; zero where it has no end, or there is no reading.
func (f Facts) staleAt(now Time) Time {
	if f.SampledAt.IsZero() || f.judgeAge(now) != nil {
		return Time{}
	}
	// One nanosecond past the end, since a sample of exactly that age is served.
	end := f.SampledAt.Add(f.MaxAge + time.Nanosecond)
	switch {
	case !f.StandsIn(f.SampledAt, now):
		return end
	case f.OnStale.AtMost == nil:
		return Time{}
	}
	return end.Add(*f.OnStale.AtMost)
}

func round(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(time.Second)
}

// number prints a value for people: at most three decimals and no exponent.
func number(v float64) string {
	if rounded := math.Round(v*1000) / 1000; !math.IsInf(rounded, 0) {
		v = rounded
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}
