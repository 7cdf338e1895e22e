package kafka

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPosition(t *testing.T) {
	for name, test := range map[string]struct {
		p      partition
		latest bool
		want   int64
	}{
		"in between":                      {partition{start: 2, end: 9, committed: 5}, false, 5},
		"at the end":                      {partition{start: 2, end: 9, committed: 9}, false, 9},
		"nothing committed":               {partition{start: 2, end: 9, committed: -1}, false, 2},
		"nothing committed, latest":       {partition{start: 2, end: 9, committed: -1}, true, 9},
		"before the start":                {partition{start: 4, end: 9, committed: 1}, false, 4},
		"before the start, latest":        {partition{start: 4, end: 9, committed: 1}, true, 4},
		"beyond the end":                  {partition{start: 2, end: 9, committed: 12}, false, 2},
		"beyond the end, latest":          {partition{start: 2, end: 9, committed: 12}, true, 9},
		"a start that went past the end":  {partition{start: 12, end: 9, committed: 5}, false, 9},
		"an empty partition":              {partition{start: 0, end: 0, committed: -1}, false, 0},
		"all removed, committed just now": {partition{start: 9, end: 9, committed: 9}, false, 9},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.p.position(test.latest); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

// FuzzLag holds what must be true of any partitions.
func FuzzLag(f *testing.F) {
	f.Add(int64(0), int64(10), int64(5), int64(7), true, int64(100))
	f.Add(int64(3), int64(1), int64(-1), int64(0), false, int64(1))
	f.Fuzz(func(t *testing.T, start, end, committed, other int64, latest bool, perWorker int64) {
		bound := func(v int64) int64 { return max(-1, v%(1<<50)) }
		ps := []partition{
			{topic: "a", start: max(0, bound(start)), end: max(0, bound(end)), committed: bound(committed)},
			{topic: "a", number: 1, start: 0, end: max(0, bound(other)), committed: bound(start)},
		}
		g := group{latest: latest, perWorker: max(0, bound(perWorker))}
		whole, limited := sum(ps, group{latest: latest}), sum(ps, g)
		lagging := int64(0)
		for _, p := range ps {
			if lag := p.lag(latest); lag < 0 {
				t.Fatalf("a lag of %d", lag)
			} else if lag > 0 {
				lagging++
			}
		}
		switch {
		case whole.parallel != whole.lag || limited.lag != whole.lag:
			t.Fatalf("without a limit all counts: %+v, %+v", whole, limited)
		case whole.arrived-whole.consumed != uint64(whole.lag):
			t.Fatalf("what arrived and is not consumed is the lag: %+v", whole)
		case limited.parallel > limited.lag || (g.perWorker > 0 && limited.parallel > lagging*g.perWorker):
			t.Fatalf("the limit is passed: %+v of %d partitions, %d each", limited, lagging, g.perWorker)
		case limited.lag > 0 && limited.parallel == 0:
			t.Fatal("a limit hides that there is work")
		}
	})
}

func TestEpochTellsSetsOfPartitionsApart(t *testing.T) {
	base := []partition{{topic: "a"}, {topic: "a", number: 1}}
	same := []partition{{topic: "a", end: 7, leader: 2}, {topic: "a", number: 1, committed: 3}}
	if epoch(base) != epoch(same) {
		t.Error("one set of partitions has two epochs")
	}
	for name, other := range map[string][]partition{
		"one less":          base[:1],
		"another topic":     {{topic: "b"}, {topic: "b", number: 1}},
		"a topic made anew": {{topic: "a", topicID: [16]byte{1}}, {topic: "a", number: 1}},
	} {
		if epoch(base) == epoch(other) {
			t.Errorf("%s: the same epoch", name)
		}
	}
}

// batch makes the head of a batch of records, with room for a body.
func batch(base int64, last int32, flags uint16, first, latest int64, body int) []byte {
	b := make([]byte, batchHead+body)
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[batchLengthAt:], uint32(batchHead+body-batchLengthAt-4))
	b[batchFormatAt] = batchFormat
	binary.BigEndian.PutUint16(b[batchFlagsAt:], flags)
	binary.BigEndian.PutUint32(b[batchLastAt:], uint32(last))
	binary.BigEndian.PutUint64(b[batchFirstTimeAt:], uint64(first))
	binary.BigEndian.PutUint64(b[batchMaxTimeAt:], uint64(latest))
	binary.BigEndian.PutUint32(b[batchCountAt:], uint32(last)+1)
	return b
}

func TestFirstBatch(t *testing.T) {
	none := uint64(1<<64 - 1)
	compacted := batch(0, 4, 0, 1000, 2000, 8)
	binary.BigEndian.PutUint32(compacted[batchCountAt:], 0)
	old := batch(0, 4, 0, 1000, 2000, 8)
	old[batchFormatAt] = 1
	for name, test := range map[string]struct {
		raw    []byte
		offset int64
		want   got
	}{
		"the first":            {batch(0, 4, 0, 1000, 2000, 8), 0, got{found: true, answered: true, at: time.UnixMilli(1000), next: 5}},
		"within it":            {batch(0, 4, 0, 1000, 2000, 8), 3, got{found: true, answered: true, at: time.UnixMilli(1000), next: 5}},
		"the broker's time":    {batch(0, 4, appendTime, 1000, 2000, 8), 0, got{found: true, answered: true, at: time.UnixMilli(2000), next: 5}},
		"one before it":        {append(batch(0, 4, 0, 1000, 2000, 8), batch(5, 0, 0, 3000, 3000, 8)...), 5, got{found: true, answered: true, at: time.UnixMilli(3000), next: 6}},
		"a control batch":      {append(batch(0, 0, control, 1000, 1000, 8), batch(1, 0, 0, 3000, 3000, 8)...), 0, got{found: true, answered: true, at: time.UnixMilli(3000), next: 2}},
		"a control batch only": {batch(0, 0, control, 1000, 1000, 8), 0, got{answered: true, next: 1}},
		"all compacted away":   {compacted, 0, got{answered: true, next: 5}},
		"cut off":              {batch(0, 4, 0, 1000, 2000, 800)[:100], 0, got{found: true, answered: true, at: time.UnixMilli(1000), next: 5}},
		"without a time":       {batch(0, 4, 0, int64(none), 0, 8), 0, got{answered: true, next: 5}},
		"an old format":        {old, 0, got{}},
		"nothing":              {nil, 7, got{next: 7}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, firstBatch(test.raw, test.offset), cmp.AllowUnexported(got{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzFirstBatch feeds any bytes as batches.
func FuzzFirstBatch(f *testing.F) {
	f.Add(batch(0, 4, 0, 1000, 2000, 8), int64(2))
	f.Add(append(batch(0, 0, control, 1000, 1000, 8), batch(1, 0, 0, 3000, 3000, 8)...), int64(0))
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, raw []byte, offset int64) {
		answer := firstBatch(raw, offset)
		switch {
		case answer.next < offset:
			t.Fatalf("went back from %d to %d", offset, answer.next)
		case answer.answered && offset < 1<<62 && answer.next <= offset:
			t.Fatalf("answered, and goes nowhere from %d", offset)
		case answer.found && (!answer.answered || answer.at.UnixMilli() < 0):
			t.Fatalf("found %+v", answer)
		}
	})
}
