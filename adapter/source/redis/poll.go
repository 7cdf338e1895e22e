package redis

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// endsCounted is how many entries of each end of a stream are looked at where the
// server cannot tell the lag.
const endsCounted = 128

// poller reads one list or one group.
type poller struct {
	query   *redisQuery
	servers *servers
	once    sync.Once
}

// Close gives the servers back, and leaves nothing of the key with them.
func (p *poller) Close() {
	p.once.Do(func() {
		p.servers.forget(p.query.subject.key)
		p.servers.release()
	})
}

// Poll reads the server that has the key. Where that server says that the key is
// elsewhere by now, the new place is asked for, once.
func (p *poller) Poll(ctx context.Context) (query.Reading, error) {
	reading, err := p.read(ctx)
	if err != nil && isPlace(err) && p.query.link.topology != single {
		reading, err = p.read(ctx)
	}
	return reading, err
}

func (p *poller) read(ctx context.Context) (query.Reading, error) {
	address, err := p.servers.place(ctx, p.query.subject.key)
	if err != nil {
		return query.Reading{}, err
	}
	client, err := p.servers.client(address)
	if err != nil {
		return query.Reading{}, p.servers.failure(address, err)
	}
	n := node{ctx: ctx, client: client, address: address, servers: p.servers}
	var reading query.Reading
	if p.query.subject.isList() {
		reading, err = p.list(n)
	} else {
		reading, err = p.stream(n)
	}
	if err != nil {
		p.servers.forget(p.query.subject.key)
	}
	return reading, err
}

// node is one server during one poll.
type node struct {
	ctx     context.Context //nolint:containedctx // lives for one poll
	client  *goredis.Client
	address string
	servers *servers
}

// snapshot is what the server answered in one transaction.
type snapshot struct {
	server         server
	measured       time.Time
	sent, received time.Time
	replies        []any
}

// placed puts the server's time of measuring on our clock.
func (s snapshot) placed() (time.Time, time.Duration) {
	return query.SampleTime(s.measured, s.sent, s.received)
}

// transaction runs commands that belong together at one moment of the server's,
// after asking it who it is and what time it has.
func (n node) transaction(commands ...[]any) (snapshot, error) {
	all := append([][]any{{"TIME"}, {"INFO", "server"}, {"INFO", "replication"}}, commands...)
	pipe := n.client.Pipeline()
	pipe.Do(n.ctx, "MULTI")
	for _, c := range all {
		pipe.Do(n.ctx, c...)
	}
	exec := pipe.Do(n.ctx, "EXEC")
	sent := source.Now()
	// The first refusal, before EXEC's own, which only says that there was one.
	if _, err := pipe.Exec(n.ctx); err != nil {
		return snapshot{}, n.servers.failure(n.address, err)
	}
	received := source.Now()
	replies, err := exec.Slice()
	if err != nil || len(replies) != len(all) {
		return snapshot{}, n.bad()
	}
	if err := firstError(replies[:3]); err != nil {
		return snapshot{}, n.servers.failure(n.address, err)
	}
	s := snapshot{sent: sent, received: received, replies: replies[3:]}
	source.Record(n.ctx, n.address, func() []byte { return record(commands, s.replies) })
	if s.measured, err = parseTime(replies[0]); err != nil {
		return snapshot{}, n.bad()
	}
	if s.server, err = parseServer(replies[1], replies[2]); err != nil {
		return snapshot{}, n.bad()
	}
	// Before any error of the commands: those of a replica may be of no worth.
	if !s.server.master {
		return snapshot{}, source.Errorf(reasonNotMaster, "%s is a replica, whose data may be old", n.address)
	}
	if err := firstError(s.replies); err != nil {
		return snapshot{}, n.servers.failure(n.address, err)
	}
	return s, nil
}

// record writes commands and replies down for people.
func record(commands [][]any, replies []any) []byte {
	var text bytes.Buffer
	for i, command := range commands {
		// What the client reads always encodes: texts, numbers and lists of them.
		reply, _ := json.Marshal(replies[i])
		for _, word := range command {
			fmt.Fprintf(&text, "%v ", word)
		}
		fmt.Fprintf(&text, "-> %s\n", reply)
	}
	return text.Bytes()
}

func (n node) bad() error {
	return source.Errorf(source.ReasonBadReply, "%s does not answer as Redis does", n.address)
}

// list reads a list's length. A list without elements is no key at all in Redis:
// so one that is not there is one that is empty.
func (p *poller) list(n node) (query.Reading, error) {
	s, err := n.transaction([]any{"LLEN", p.query.subject.key})
	if err != nil {
		return query.Reading{}, err
	}
	length, ok := number(s.replies[0])
	if !ok {
		return query.Reading{}, n.bad()
	}
	at, skew := s.placed()
	return query.Reading{
		At: at, Skew: skew, Epoch: s.server.run,
		Gauges: map[query.Kind]query.Gauge{query.Depth: query.NumberOf(float64(length))},
	}, nil
}

// stream reads a stream as the group sees it.
func (p *poller) stream(n node) (query.Reading, error) {
	key, name := p.query.subject.key, p.query.subject.group
	commands := [][]any{{"XINFO", "STREAM", key}, {"XINFO", "GROUPS", key}}
	if p.query.oldest {
		commands = append(commands, []any{"XPENDING", key, name})
	}
	s, v, err := p.view(n, commands)
	if err == nil && v.waiting == nil {
		// Entries were deleted that the group had not read: a second look counts.
		commands = append(commands,
			[]any{"XRANGE", key, "-", "+", "COUNT", endsCounted}, []any{"XREVRANGE", key, "+", "-", "COUNT", endsCounted})
		s, v, err = p.view(n, commands)
	}
	if err != nil {
		return query.Reading{}, err
	}
	at, skew := s.placed()
	reading := v.reading(s.server.run, at, skew)
	if p.query.oldest {
		if reading.Gauges[query.OldestAge], err = p.oldestAge(n, s, v); err != nil {
			return query.Reading{}, err
		}
	}
	return reading, nil
}

// view runs the commands, the first two of which tell of stream and groups, and
// the last two of more than three of the stream's ends.
func (p *poller) view(n node, commands [][]any) (snapshot, view, error) {
	s, err := n.transaction(commands...)
	if err != nil {
		return snapshot{}, view{}, err
	}
	about, err := parseStream(s.replies[0])
	if err != nil {
		return snapshot{}, view{}, n.bad()
	}
	g, found, err := parseGroup(s.replies[1], p.query.subject.group)
	switch {
	case err != nil:
		return snapshot{}, view{}, n.bad()
	case !found:
		return snapshot{}, view{}, source.Errorf(reasonNoGroup, "stream %s has no group %s", p.query.subject.key, p.query.subject.group)
	}
	v := newView(about, g)
	if ends := len(s.replies) - 2; v.waiting == nil && ends >= 2 {
		first, err := parseIDs(s.replies[ends])
		last, bad := parseIDs(s.replies[ends+1])
		if err != nil || bad != nil {
			return snapshot{}, view{}, n.bad()
		}
		v.count(first, last, endsCounted)
	}
	return s, v, nil
}

// oldestAge is the age of the first entry that is pending or, with none, that
// waits. Both times are the server's. A group with neither has none: Empty.
func (p *poller) oldestAge(n node, s snapshot, v view) (query.Gauge, error) {
	id, found, err := parseOldestPending(s.replies[2])
	if err != nil {
		return query.Gauge{}, n.bad()
	}
	if !found && (v.waiting == nil || *v.waiting > 0) {
		id, found, err = p.firstWaiting(n, v.group.delivered)
		if err != nil {
			return query.Gauge{}, err
		}
	}
	if !found {
		return query.Gauge{Presence: query.Empty}, nil
	}
	return query.NumberOf(id.age(s.measured).Seconds()), nil
}

// firstWaiting is the first entry after the last one that was delivered; false
// where there is none.
func (p *poller) firstWaiting(n node, delivered entryID) (entryID, bool, error) {
	reply, err := n.client.Do(n.ctx, "XRANGE", p.query.subject.key, "("+delivered.String(), "+", "COUNT", 1).Result()
	if err != nil {
		return entryID{}, false, n.servers.failure(n.address, err)
	}
	ids, err := parseIDs(reply)
	if err != nil || len(ids) > 1 {
		return entryID{}, false, n.bad()
	}
	if len(ids) == 0 {
		return entryID{}, false, nil
	}
	return ids[0], true, nil
}
