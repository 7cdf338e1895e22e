package kafka

import (
	"cmp"
	"slices"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
)

// lagKind is the value that shows the whole lag beside a Depth that is limited to
// what the partitions allow.
const lagKind query.Kind = "Lag"

// partition is one partition as the group sees it. Offsets are numbers of
// records; end is that of the next record to come.
type partition struct {
	topic   string
	topicID [16]byte
	number  int32
	leader  int32
	start   int64
	end     int64
	// committed is the next record that the group will read, negative where it
	// committed nothing.
	committed int64
}

// position is where the group goes on from, between start and end.
//
// Where it committed nothing, or what it committed is beyond the end (the topic
// was made anew), its setting auto.offset.reset decides: latest tells. Records
// that were removed before it read them are not waiting for it any more.
func (p partition) position(latest bool) int64 {
	start := min(p.start, p.end)
	switch {
	case p.committed >= 0 && p.committed <= p.end:
		return max(p.committed, start)
	case latest:
		return p.end
	}
	return start
}

// lag is never negative.
func (p partition) lag(latest bool) int64 { return p.end - p.position(latest) }

// totals sums partitions up.
type totals struct {
	lag, parallel     int64
	arrived, consumed uint64
}

// sum adds up the lag, and the part of it that can be worked on at the same time:
// a partition is read by one worker, so it counts for no more than one worker's
// work. perWorker of 0 sets no limit.
func sum(partitions []partition, g group) totals {
	var t totals
	for _, p := range partitions {
		lag := p.lag(g.latest)
		t.lag += lag
		if g.perWorker > 0 {
			t.parallel += min(lag, g.perWorker)
		}
		t.arrived += uint64(max(0, p.end))                 //nolint:gosec // not negative
		t.consumed += uint64(max(0, p.position(g.latest))) //nolint:gosec // not negative
	}
	if g.perWorker == 0 {
		t.parallel = t.lag
	}
	return t
}

// epoch names a set of partitions: counters of two sets are not compared. A topic
// that was deleted and made anew has another identifier.
func epoch(partitions []partition) string {
	names := make([]any, 0, 3*len(partitions))
	for _, p := range partitions {
		names = append(names, p.topic, p.topicID, p.number)
	}
	return access.Digest(names...)[:16]
}

// sorted orders partitions by topic and number.
func sorted(partitions []partition) []partition {
	slices.SortFunc(partitions, func(a, b partition) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.number, b.number))
	})
	return partitions
}

// reading makes the reading of sorted partitions. Kafka does not say when it
// measured: at the earliest when the poll began. Without any partition nothing is
// known.
func reading(partitions []partition, g group, asked time.Time) query.Reading {
	at, skew := query.SampleTime(time.Time{}, asked, asked)
	r := query.Reading{At: at, Skew: skew, Gauges: map[query.Kind]query.Gauge{
		query.Depth: {Presence: query.Empty}, lagKind: {Presence: query.Empty},
	}}
	if len(partitions) == 0 {
		return r
	}
	t := sum(partitions, g)
	r.Gauges[query.Depth] = query.NumberOf(float64(t.parallel))
	r.Gauges[lagKind] = query.NumberOf(float64(t.lag))
	r.Epoch, r.Arrived, r.Drained = epoch(partitions), &t.arrived, &t.consumed
	return r
}
