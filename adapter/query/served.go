package query

import (
	"maps"
	"slices"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Served is one object's part of the serving table.
type Served struct {
	Facts   Facts    `json:"facts"`
	Samples []Sample `json:"samples,omitempty"`
	// Objects is what is served by the custom metrics API.
	Objects Objects `json:"objects,omitzero"`
}

// Facts are what a read needs to judge and to explain a sample.
type Facts struct {
	// Source names the object and what it reads, for error messages.
	Source string `json:"source,omitempty"`
	// Namespaces is the selector of the namespaces served, where the object is of
	// the whole cluster; empty: all.
	Namespaces string `json:"namespaces,omitempty"`
	// Created orders rivals.
	Created Time          `json:"created,omitzero"`
	MaxAge  time.Duration `json:"maxAge,omitempty"`
	// OnStale is the policy for a reading older than MaxAge.
	OnStale OnStale `json:"onStale,omitzero"`
	// SampledAt is the time of the newest reading, zero where there is none.
	SampledAt   Time     `json:"sampledAt,omitzero"`
	LastFailure *Failure `json:"lastFailure,omitempty"`
	Failing     bool     `json:"failing,omitempty"`
	// OtherAdapter is the Service of another adapter that is asked for external
	// metrics: the samples are not to be served.
	OtherAdapter string `json:"otherAdapter,omitempty"`
	// SpecFault is set where the object as it stands cannot be polled.
	SpecFault *decision.Fault `json:"specFault,omitempty"`
}

// Sample is one metric's newest value, or the fault that stands in its place.
type Sample struct {
	Metric string            `json:"metric"`
	Kind   Kind              `json:"kind"`
	Labels map[string]string `json:"labels,omitempty"`
	// Value is meaningful without a Fault only.
	Value float64 `json:"value,omitempty"`
	// WindowSeconds is the length of time that a rate was measured over, 0 for
	// values of one moment.
	WindowSeconds int64           `json:"windowSeconds,omitempty"`
	Fault         *decision.Fault `json:"fault,omitempty"`
}

// Values are metrics' values as text, or the reason in place of one that is not
// there.
type Values map[string]string

// values shows what would be served at the time now, or at the latest the last
// sample.
func (s Served) values(now Time) Values {
	if len(s.Samples) == 0 {
		return nil
	}
	out := make(Values, len(s.Samples))
	for _, sample := range s.Samples {
		if sample.Fault != nil {
			out[sample.Metric] = sample.Fault.Reason
		} else {
			out[sample.Metric] = number(s.Facts.Raise(sample.Value, s.Facts.SampledAt, now))
		}
	}
	return out
}

// Equal tells whether two tables would serve the same.
func (s Served) Equal(o Served) bool {
	return s.Facts.equal(o.Facts) && slices.EqualFunc(s.Samples, o.Samples, Sample.equal) &&
		s.Objects.equal(o.Objects)
}

func (f Facts) equal(o Facts) bool {
	return f.Source == o.Source && f.Namespaces == o.Namespaces && f.Created.Equal(o.Created) && f.MaxAge == o.MaxAge && f.OnStale.equal(o.OnStale) &&
		f.SampledAt.Equal(o.SampledAt) && f.Failing == o.Failing && f.OtherAdapter == o.OtherAdapter &&
		equalPtr(f.SpecFault, o.SpecFault) && f.LastFailure.equal(o.LastFailure)
}

func (f *Failure) equal(o *Failure) bool {
	if f == nil || o == nil {
		return f == o
	}
	return f.At.Equal(o.At) && f.Reason == o.Reason && f.Message == o.Message && f.InRow == o.InRow
}

func (s Sample) equal(o Sample) bool {
	return s.Metric == o.Metric && s.Kind == o.Kind && maps.Equal(s.Labels, o.Labels) &&
		s.Value == o.Value && s.WindowSeconds == o.WindowSeconds && equalPtr(s.Fault, o.Fault)
}

func equalPtr[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
