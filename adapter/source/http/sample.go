package httpsource

import (
	"math"
	"net/http"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/httpapi"
)

// sample is what a document holds.
type sample struct {
	gauge query.Gauge
	// measured is the document's own time of the value, zero without one.
	measured time.Time
}

// extractor finds the one value in a document.
type extractor interface {
	// accept is the request's header of that name.
	accept() string
	// extract gives the value. Where names the document in errors, which are each
	// a *source.Error and repeat nothing of the document.
	extract(where string, d httpapi.Document) (sample, error)
	// String is what is looked for.
	String() string
}

// answer is a value with its time on this process's clock.
type answer struct {
	gauge query.Gauge
	at    time.Time
	skew  time.Duration
}

// place puts a sample's time on this process's clock. A document's own time may
// well be before the request, since some programs measure when they like: then it
// is that old. Where the server also tells what its clock says (the header Date),
// a clock that cannot be right is allowed for, and the distance is the skew. What
// was measured a little after the reply came is a clock's fault too. A time far in
// the future is none: a value would look fresh until then, however old it is. Without
// an own time the value was measured, at the earliest, when it was asked for.
func place(where string, s sample, d httpapi.Document) (answer, error) {
	if s.measured.IsZero() {
		return answer{gauge: s.gauge, at: d.Sent}, nil
	}
	skew := clockSkew(d)
	at := s.measured.Add(-skew)
	if ahead := at.Sub(d.Received); ahead > query.AheadAllowed {
		return answer{}, source.Errorf(source.ReasonBadReply, "the document of %s has a time that is %s in the future", where, ahead.Round(time.Second))
	}
	if at.After(d.Received) {
		skew += at.Sub(d.Received)
		at = d.Received
	}
	return answer{gauge: s.gauge, at: at, skew: skew}, nil
}

// clockSkew is how far the server's clock must at least be ahead (behind:
// negative). Its Date is of whole seconds.
func clockSkew(d httpapi.Document) time.Duration {
	date, err := http.ParseTime(d.Header.Get("Date"))
	if err != nil {
		return 0
	}
	switch end := date.Add(time.Second); {
	case date.After(d.Received):
		return date.Sub(d.Received)
	case end.Before(d.Sent):
		return end.Sub(d.Sent)
	}
	return 0
}

// latest bounds times, in seconds since 1970: a number past it is no time of day
// in seconds, and far past it none in milliseconds.
const latest = 1e11

// secondsSince1970 makes a time of a number, rounded to microseconds, which is
// what a number of this size can tell.
func secondsSince1970(seconds float64) (time.Time, bool) {
	if math.IsNaN(seconds) || seconds < 0 || seconds > latest {
		return time.Time{}, false
	}
	return time.UnixMicro(int64(math.Round(seconds * 1e6))).UTC(), true
}
