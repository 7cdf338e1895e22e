package rabbitmq

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// goodQueue is a broker's answer, shortened.
const goodQueue = `{"name":"q","node":"rabbit@a","state":"running","messages":7,"messages_ready":4,"messages_unacknowledged":3,
"head_message_timestamp":1772366400,"reductions":31337,"message_stats":{"publish":12,"ack":5,"deliver_no_ack":0,"get_no_ack":1}}`

// answered is two minutes after the head of goodQueue.
var answered = time.Date(2026, 3, 1, 12, 2, 0, 0, time.UTC)

func ours(t *testing.T, err error) {
	t.Helper()
	var e *source.Error
	if !errors.As(err, &e) || e.Reason == "" || e.Message == "" {
		t.Fatalf("an error without reason or message: %v", err)
	}
}

// usable holds totals to what every reading has to be.
func usable(t *testing.T, queues []queueReply, sums totals) {
	t.Helper()
	for _, kind := range []query.Kind{query.Depth, query.Pending, query.AckPending} {
		g := sums.gauges()[kind]
		if want := len(queues) > 0; (g.Presence == query.Number) != want || g.Value < 0 {
			t.Fatalf("%s of %d queues is %+v", kind, len(queues), g)
		}
	}
	if g := sums.oldest; g.Presence == query.Number && g.Value < 0 {
		t.Fatalf("the oldest message is %v old", g.Value)
	}
	if (sums.arrived == nil) != (sums.drained == nil) {
		t.Fatal("one of the two counters is there")
	}
}

// FuzzQueue feeds any answer: it is refused with a reason, or it has all figures.
func FuzzQueue(f *testing.F) {
	for _, seed := range []string{
		goodQueue, `{}`, `null`, `[]`, ``, `{"name":"q"}`, `{"name":"q","state":"down"}`,
		`{"name":"q","state":"idle","messages":0,"messages_ready":0,"messages_unacknowledged":0,"message_stats":[],"head_message_timestamp":""}`,
		`{"name":"q","state":"idle","messages":18446744073709551615,"messages_ready":1,"messages_unacknowledged":0,"head_message_timestamp":-1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		q, err := parseQueue(raw, "q")
		if err != nil {
			ours(t, err)
			return
		}
		sums, err := total([]queueReply{q, q}, answered)
		if err != nil {
			ours(t, err)
			return
		}
		usable(t, []queueReply{q, q}, sums)
	})
}

// FuzzPage feeds any list.
func FuzzPage(f *testing.F) {
	for _, seed := range []string{
		`{"items":[` + goodQueue + `],"page":1,"page_count":1,"filtered_count":1}`, `{"items":[{}],"page":1,"filtered_count":1}`,
		`{"items":null,"page":1}`, `[]`, `{"items":[],"page":1,"page_count":0,"filtered_count":0}`, `{"items":[],"page":2,"filtered_count":-1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := parsePage(raw, 1)
		if err != nil {
			ours(t, err)
			return
		}
		sums, err := total(p.Items, answered)
		if err != nil {
			ours(t, err)
			return
		}
		usable(t, p.Items, sums)
	})
}

// FuzzPattern feeds any expression: what it compiles to names no more than what
// begins with its fixed part.
func FuzzPattern(f *testing.F) {
	for _, seed := range []string{"a.*", "orders-[0-9]+", "a|b", "(?i)A", "^a$", `\Qa`, "(", "a)(b"} {
		f.Add(seed, "orders-1")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		p, err := compile(text)
		if err != nil {
			ours(t, err)
			return
		}
		if p != nil && p.whole.MatchString(name) && (len(name) < len(p.prefix) || name[:len(p.prefix)] != p.prefix) {
			t.Fatalf("%q matches %q, which does not begin with %q", text, name, p.prefix)
		}
	})
}

func read(t *testing.T, raw string) queueReply {
	t.Helper()
	q, err := parseQueue([]byte(raw), "q")
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestTotals(t *testing.T) {
	const empty = `{"name":"q","node":"rabbit@a","state":"idle","messages":0,"messages_ready":0,"messages_unacknowledged":0,"head_message_timestamp":null}`
	const undated = `{"name":"q","node":"rabbit@b","state":"flow","messages":1,"messages_ready":1,"messages_unacknowledged":0,
		"head_message_timestamp":"","message_stats":{"publish":1}}`
	number := func(v uint64) *uint64 { return &v }
	for name, test := range map[string]struct {
		queues           []string
		gauges           map[query.Kind]query.Gauge
		arrived, drained *uint64
	}{
		"one queue": {[]string{goodQueue}, map[query.Kind]query.Gauge{
			query.Depth: query.NumberOf(7), query.Pending: query.NumberOf(4), query.AckPending: query.NumberOf(3), query.OldestAge: query.NumberOf(120),
		}, number(12), number(6)},
		"an empty one has no oldest, and has counted nothing": {[]string{empty}, map[query.Kind]query.Gauge{
			query.Depth: query.NumberOf(0), query.Pending: query.NumberOf(0), query.AckPending: query.NumberOf(0), query.OldestAge: {Presence: query.Empty},
		}, nil, nil},
		"an empty one beside another changes no age": {[]string{empty, goodQueue}, map[query.Kind]query.Gauge{
			query.Depth: query.NumberOf(7), query.Pending: query.NumberOf(4), query.AckPending: query.NumberOf(3), query.OldestAge: query.NumberOf(120),
		}, number(12), number(6)},
		"one without a time could be older": {[]string{goodQueue, undated}, map[query.Kind]query.Gauge{
			query.Depth: query.NumberOf(8), query.Pending: query.NumberOf(5), query.AckPending: query.NumberOf(3), query.OldestAge: {},
		}, number(13), number(6)},
	} {
		t.Run(name, func(t *testing.T) {
			queues := make([]queueReply, 0, len(test.queues))
			for _, raw := range test.queues {
				queues = append(queues, read(t, raw))
			}
			sums, err := total(queues, answered)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.gauges, sums.gauges()); diff != "" {
				t.Errorf("gauges (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]*uint64{test.arrived, test.drained}, []*uint64{sums.arrived, sums.drained}); diff != "" {
				t.Errorf("counters (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEpochs tells lives of counters apart by one changed figure each.
func TestEpochs(t *testing.T) {
	for name, test := range map[string]struct {
		next string
		same bool
	}{
		"nothing happened":  {goodQueue, true},
		"more of all":       {`{"name":"q","node":"rabbit@a","state":"running","messages":1,"messages_ready":1,"messages_unacknowledged":0,"reductions":40000,"message_stats":{"publish":13,"ack":6,"get_no_ack":1}}`, true},
		"less work":         {`{"name":"q","node":"rabbit@a","state":"running","messages":1,"messages_ready":1,"messages_unacknowledged":0,"reductions":300,"message_stats":{"publish":13,"ack":6,"get_no_ack":1}}`, false},
		"fewer came":        {`{"name":"q","node":"rabbit@a","state":"running","messages":1,"messages_ready":1,"messages_unacknowledged":0,"reductions":40000,"message_stats":{"publish":11,"ack":6,"get_no_ack":1}}`, false},
		"fewer were done":   {`{"name":"q","node":"rabbit@a","state":"running","messages":1,"messages_ready":1,"messages_unacknowledged":0,"reductions":40000,"message_stats":{"publish":13,"ack":4,"get_no_ack":1}}`, false},
		"a counter is gone": {`{"name":"q","node":"rabbit@a","state":"running","messages":1,"messages_ready":1,"messages_unacknowledged":0,"reductions":40000,"message_stats":{"publish":13}}`, false},
		"another node":      {`{"name":"q","node":"rabbit@b","state":"running","messages":1,"messages_ready":1,"messages_unacknowledged":0,"reductions":40000,"message_stats":{"publish":13,"ack":6,"get_no_ack":1}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := lives{first: answered}
			epoch := func(raw string) string {
				queues := []queueReply{read(t, raw)}
				sums, err := total(queues, answered)
				if err != nil {
					t.Fatal(err)
				}
				return l.epoch(queues, sums)
			}
			before, after := epoch(goodQueue), epoch(test.next)
			if (before == after) != test.same {
				t.Errorf("epochs %s and %s: same is %v, want %v", before, after, before == after, test.same)
			}
			if again := epoch(test.next); again != after {
				t.Error("the epoch changed again, and nothing else did")
			}
		})
	}
}
