package rabbitmq

import (
	"encoding/json"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// columns are the fields that are asked for.
const columns = "name,node,state,messages,messages_ready,messages_unacknowledged,reductions,head_message_timestamp," +
	"message_stats.publish,message_stats.ack,message_stats.deliver_no_ack,message_stats.get_no_ack"

// running are the states of a queue whose figures mean something. In any other the
// broker leaves the figures out, or repeats old ones.
var running = []string{"running", "idle", "flow", "syncing"}

// queueReply is the part of the management API's word on a queue that readings
// are made of. Figures are pointers, so that one that is missing is not taken for
// 0.
type queueReply struct {
	Name  string `json:"name"`
	Node  string `json:"node"`
	State string `json:"state"`

	Messages       *uint64 `json:"messages"`
	Ready          *uint64 `json:"messages_ready"`
	Unacknowledged *uint64 `json:"messages_unacknowledged"`
	// Reductions count the work of the process that is the queue, from its start.
	Reductions *uint64 `json:"reductions"`
	// Head is the time that the publisher of the oldest message wrote on it.
	Head seconds `json:"head_message_timestamp"`

	Stats messageStats `json:"message_stats"`
}

// messageStats count the messages of a queue since its broker started. The broker
// leaves out what it has not counted anything of.
type messageStats struct {
	Publish      *uint64 `json:"publish"`
	Ack          *uint64 `json:"ack"`
	DeliverNoAck *uint64 `json:"deliver_no_ack"`
	GetNoAck     *uint64 `json:"get_no_ack"`
}

// UnmarshalJSON takes the empty list for the empty object: the broker's language
// knows no difference.
func (m *messageStats) UnmarshalJSON(raw []byte) error {
	type plain messageStats
	if string(raw) == "[]" {
		return nil
	}
	return json.Unmarshal(raw, (*plain)(m))
}

// arrived is what was published to the queue.
func (m messageStats) arrived() (uint64, bool) { return sum(m.Publish) }

// drained is what was acknowledged, or handed out to workers that need not do so.
func (m messageStats) drained() (uint64, bool) { return sum(m.Ack, m.DeliverNoAck, m.GetNoAck) }

// sum adds what is there, at most the greatest number, and tells whether anything
// was.
func sum(counts ...*uint64) (total uint64, any bool) {
	for _, c := range counts {
		if c != nil {
			total, any = add(total, *c), true
		}
	}
	return total, any
}

func add(a, b uint64) uint64 {
	total, carry := bits.Add64(a, b, 0)
	if carry != 0 {
		return math.MaxUint64
	}
	return total
}

// seconds is a time in whole seconds since 1970, 0 where there is none: brokers
// say null or an empty text then.
type seconds int64

// UnmarshalJSON reads a number and takes anything else for none.
func (s *seconds) UnmarshalJSON(raw []byte) error {
	var v int64
	if json.Unmarshal(raw, &v) == nil && v > 0 {
		*s = seconds(v)
	}
	return nil
}

// page is a part of a virtual host's queues.
type page struct {
	Items    []queueReply `json:"items"`
	Page     int          `json:"page"`
	Pages    int          `json:"page_count"`
	Filtered *int         `json:"filtered_count"`
}

// parseQueue reads the word on one queue.
func parseQueue(raw []byte, name string) (queueReply, error) {
	var q queueReply
	if json.Unmarshal(raw, &q) != nil {
		return queueReply{}, source.Errorf(source.ReasonBadReply, "the broker's reply is no queue of the management API")
	}
	if q.Name != name {
		return queueReply{}, source.Errorf(source.ReasonBadReply, "the broker's reply is not about queue %s", name)
	}
	return q, nil
}

// parsePage reads one page of the list of queues.
func parsePage(raw []byte, number int) (page, error) {
	var p page
	if json.Unmarshal(raw, &p) != nil || p.Items == nil || p.Filtered == nil || *p.Filtered < 0 || p.Page != number {
		return page{}, source.Errorf(source.ReasonBadReply, "the broker's reply is no page of the management API's list of queues")
	}
	for _, q := range p.Items {
		if q.Name == "" {
			return page{}, source.Errorf(source.ReasonBadReply, "the broker's list of queues holds one without a name")
		}
	}
	return p, nil
}

// check says why a queue's figures cannot be used.
func (q queueReply) check() error {
	switch {
	case q.State != "" && !slices.Contains(running, q.State):
		return source.Errorf(reasonUnavailable, "queue %s cannot be read: its state is %s", q.Name, q.State)
	case q.Messages == nil || q.Ready == nil || q.Unacknowledged == nil || q.State == "":
		return source.Errorf(reasonNotCounted, "the broker has no figures of queue %s: it is new, its node was started a moment ago or is down, it has no leader, or statistics are switched off", q.Name)
	}
	return nil
}

// totals are the sums over queues.
type totals struct {
	messages, ready, unacknowledged uint64
	// arrived and drained are nil where no queue has counted anything.
	arrived, drained *uint64
	oldest           query.Gauge
	// shape is equal for totals whose counters can be compared: of the same queues
	// on the same nodes, with the same counters.
	shape []string
}

// total sums queues up. Answered is the time of the answer by the broker's clock.
// A queue that counts nothing adds nothing to the counters and is remembered in
// the shape: what it has counted when it comes is no growth.
func total(queues []queueReply, answered time.Time) (totals, error) {
	var t totals
	var arrived, drained uint64
	var counted bool
	head := seconds(math.MaxInt64)
	for _, q := range queues {
		if err := q.check(); err != nil {
			return totals{}, err
		}
		t.messages, t.ready = add(t.messages, *q.Messages), add(t.ready, *q.Ready)
		t.unacknowledged = add(t.unacknowledged, *q.Unacknowledged)
		in, published := q.Stats.arrived()
		out, delivered := q.Stats.drained()
		arrived, drained, counted = add(arrived, in), add(drained, out), counted || published || delivered
		t.shape = append(t.shape, q.Name, q.Node, presence(published)+presence(delivered))
		if *q.Messages > 0 {
			head = min(head, q.Head)
		}
	}
	if counted {
		t.arrived, t.drained = &arrived, &drained
	}
	switch {
	case t.messages == 0:
		t.oldest = query.Gauge{Presence: query.Empty}
	case head > 0:
		t.oldest = query.NumberOf(max(0, answered.Sub(time.Unix(int64(head), 0)).Seconds()))
	}
	return t, nil
}

func presence(counted bool) string {
	if counted {
		return "+"
	}
	return "-"
}

// gauges are the values of the sums. Of no queue at all there are none: that is
// not the same as nothing in them.
func (t totals) gauges() map[query.Kind]query.Gauge {
	if len(t.shape) == 0 {
		empty := query.Gauge{Presence: query.Empty}
		return map[query.Kind]query.Gauge{
			query.Depth: empty, query.Pending: empty, query.AckPending: empty, query.OldestAge: empty,
		}
	}
	return map[query.Kind]query.Gauge{
		query.Depth:      query.NumberOf(float64(t.messages)),
		query.Pending:    query.NumberOf(float64(t.ready)),
		query.AckPending: query.NumberOf(float64(t.unacknowledged)),
		query.OldestAge:  t.oldest,
	}
}
