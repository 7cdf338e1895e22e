package query

import (
	"math"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Time is a time in UTC without a monotonic reading.
type Time = time.Time

// Kind is what a metric shows of its source. It has the values of
// spec.metrics[].value of a MetricSource.
type Kind string

// The kinds this package computes. A source's gauges may bear any of them, or
// one that the source adds; the rates and SecondsToDrain are always derived.
const (
	Depth          Kind = "Depth"
	Pending        Kind = "Pending"
	AckPending     Kind = "AckPending"
	Redelivered    Kind = "Redelivered"
	OldestAge      Kind = "OldestAge"
	ArrivalRate    Kind = "ArrivalRate"
	DrainRate      Kind = "DrainRate"
	SecondsToDrain Kind = "SecondsToDrain"
	// Value is the result of a source's own query or formula.
	Value Kind = "Value"
)

// Presence tells a number from the ways in which there can be none.
type Presence string

// The presences of a gauge. The zero value is Absent, so that a gauge that
// nobody set is never a number.
const (
	// Absent: the source does not give this value.
	Absent Presence = ""
	// Empty: the source answered, and the answer holds no value.
	Empty Presence = "Empty"
	// NotANumber: the source answered with NaN or an infinity.
	NotANumber Presence = "NotANumber"
	// Number: Value is what was measured, 0 included.
	Number Presence = "Number"
)

// Gauge is one value of a reading, or the way in which it is missing.
type Gauge struct {
	Presence Presence `json:"presence,omitempty"`
	// Value is meaningful with presence Number only.
	Value float64 `json:"value,omitempty"`
}

// NumberOf makes the gauge of v; NaN and infinities become NotANumber.
func NumberOf(v float64) Gauge {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return Gauge{Presence: NotANumber}
	}
	return Gauge{Presence: Number, Value: v}
}

// Reading is one successful poll of a source.
type Reading struct {
	// At is when the source measured, on this process's clock; see SampleTime.
	At Time `json:"at"`
	// Skew is how far the source's clock was ahead of the interval in which it
	// must have measured; negative when behind, 0 when within.
	Skew time.Duration `json:"skew,omitempty"`
	// Gauges are the values that the source gave, by kind.
	Gauges map[Kind]Gauge `json:"gauges,omitempty"`
	// Epoch names the life of the counters: counters of different epochs are not
	// compared.
	Epoch string `json:"epoch,omitempty"`
	// Delivered are counters of which each grows by one or more for every message
	// handed to a worker for the first time: each is an upper bound, and the
	// smallest growth is the best of them. Empty where the source counts nothing.
	Delivered []uint64 `json:"delivered,omitempty"`
	// Arrived and Drained count the messages that ever came and that were ever
	// done with, in this epoch; nil where the source does not count them. With one
	// of them and a depth the other is a matter of balance.
	Arrived *uint64 `json:"arrived,omitempty"`
	Drained *uint64 `json:"drained,omitempty"`
	// Objects are values about Kubernetes objects, sorted by metric, resource,
	// namespace, name and labels, for the custom metrics API.
	Objects ObjectValues `json:"objects,omitempty"`
	// Faults say which parts of the answer are missing, where a source of several
	// parts gave the others. Their messages hold nothing that changes at each poll.
	Faults []decision.Fault `json:"faults,omitempty"`
}

// ObjectValue is one value about one Kubernetes object.
type ObjectValue struct {
	// Metric is the metric's name; empty: every metric of kind Value that the
	// MetricSource declares.
	Metric string `json:"metric,omitempty"`
	// Group and Resource (plural, lower case) say what the object is.
	Group    string `json:"group,omitempty"`
	Resource string `json:"resource"`
	// Namespace is empty for objects that have none.
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Labels tell the values of one metric and object apart.
	Labels map[string]string `json:"labels,omitempty"`
	Gauge
	// At is when the source measured this value, where that is not the time of
	// the whole reading.
	At Time `json:"at,omitzero"`
	// WindowSeconds is the length of time that a rate was measured over.
	WindowSeconds int64 `json:"windowSeconds,omitempty"`
}

// AheadAllowed is how far in the future the time of a value may be by its source's
// own clock: further is no time of measuring.
const AheadAllowed = time.Minute

// SampleTime places the source's own time of measuring on this process's clock.
// A reply to a request was measured after the request was sent and before the
// reply was received, whatever the source's clock says: so a time outside is a
// clock's fault, is moved to the nearer end, and the distance is the skew. A
// source that gives no time (zero) measured at the earliest when asked.
func SampleTime(measured, sent, received Time) (at Time, skew time.Duration) {
	switch {
	case measured.IsZero():
		return sent, 0
	case measured.Before(sent):
		return sent, measured.Sub(sent)
	case measured.After(received):
		return received, measured.Sub(received)
	}
	return measured, 0
}

// Failure is a poll that gave no reading.
type Failure struct {
	At Time `json:"at"`
	// Reason is one CamelCase word, for machines: Unreachable, Timeout,
	// Unauthorized, ConsumerNotFound and so on.
	Reason string `json:"reason"`
	// Message is one sentence without credentials.
	Message string `json:"message"`
	// InRow counts the failures since the last reading, this one included.
	InRow int `json:"inRow"`
}

// Poll is what the collector knows of a query when it is asked.
type Poll struct {
	// Reading is the newest good one, nil before the first.
	Reading *Reading `json:"reading,omitempty"`
	// LastFailure is the newest failure, kept after the source recovered.
	LastFailure *Failure `json:"lastFailure,omitempty"`
	// Failing tells whether the newest poll failed.
	Failing bool `json:"failing,omitempty"`
}
