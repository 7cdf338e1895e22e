package redis

import (
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
)

// view is a stream as a group sees it at one moment.
type view struct {
	stream stream
	group  group
	// waiting is the number of entries that no consumer was handed; nil where it
	// is not known.
	waiting *uint64
}

// newView takes the number of waiting entries from the server's own lag. Entries
// that a limit of the stream's length removed still count in it, so there are
// never more than the stream holds.
func newView(s stream, g group) view {
	v := view{stream: s, group: g}
	if g.lag != nil {
		waiting := min(*g.lag, s.length)
		v.waiting = &waiting
	}
	return v
}

// count finds the number of waiting entries from the first and from the last
// entries of the stream, in rising and falling order, limit of each or all. It
// is exact where either end is near enough to the last delivered entry, and
// otherwise stays unknown.
func (v *view) count(first, last []entryID, limit int) {
	delivered := 0
	for _, id := range first {
		if !id.after(v.group.delivered) {
			delivered++
		}
	}
	if n := uint64(delivered); (delivered < len(first) || len(first) < limit) && n <= v.stream.length { //nolint:gosec // a length
		waiting := v.stream.length - n
		v.waiting = &waiting
		return
	}
	waiting := uint64(0)
	for _, id := range last {
		if !id.after(v.group.delivered) {
			v.waiting = &waiting
			return
		}
		waiting++
	}
}

// reading makes the reading of a stream.
//
// What arrived is counted by the stream. What is done with was read and is not
// pending any more. Where the group does not count what was read, all that was
// added and does not wait was.
func (v view) reading(run string, at time.Time, skew time.Duration) query.Reading {
	waiting := query.Gauge{Presence: query.Empty}
	if v.waiting != nil {
		waiting = query.NumberOf(float64(*v.waiting))
	}
	read := v.group.read
	if added := v.stream.added; read == nil && v.waiting != nil && added != nil && *added >= *v.waiting {
		n := *added - *v.waiting
		read = &n
	}
	var drained *uint64
	if read != nil && *read >= v.group.pending {
		n := *read - v.group.pending
		drained = &n
	}
	return query.Reading{
		At: at, Skew: skew, Epoch: run,
		Gauges: map[query.Kind]query.Gauge{
			query.Pending:    waiting,
			query.AckPending: query.NumberOf(float64(v.group.pending)),
		},
		Arrived: v.stream.added, Drained: drained,
	}
}
