package controller_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
)

// broker answers for every stream, as a source would.
type broker struct {
	mu    sync.Mutex
	depth map[string]float64
	down  error
	polls int
	// passwords are those that were connected with.
	passwords []string
}

func (b *broker) set(stream string, depth float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.depth[stream] = depth
}

func (b *broker) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = err
}

func (b *broker) polled() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.polls
}

func (b *broker) Kind() string { return "broker" }

func (b *broker) Describe(s v1alpha1.Source) (string, bool) {
	if s.NATSJetStream == nil {
		return "", false
	}
	return "broker " + s.NATSJetStream.Stream, true
}

func (b *broker) Build(ctx context.Context, r source.Request) (source.Query, error) {
	q := brokerQuery{broker: b, stream: r.Source.NATSJetStream.Stream}
	if c := r.Source.NATSJetStream.Credentials; c != nil {
		password, err := r.Secrets.Key(ctx, *c.Token)
		if err != nil {
			return nil, err
		}
		q.password = string(password)
	}
	return q, nil
}

type brokerQuery struct {
	broker           *broker
	stream, password string
}

func (q brokerQuery) Kind() string    { return "broker" }
func (q brokerQuery) Key() string     { return q.stream + "/" + q.password }
func (q brokerQuery) Subject() string { return q.stream }
func (q brokerQuery) String() string  { return q.stream }
func (q brokerQuery) Close()          {}

func (q brokerQuery) Open() (source.Poller, error) {
	q.broker.mu.Lock()
	defer q.broker.mu.Unlock()
	q.broker.passwords = append(q.broker.passwords, q.password)
	return q, nil
}

func (q brokerQuery) Poll(context.Context) (query.Reading, error) {
	q.broker.mu.Lock()
	defer q.broker.mu.Unlock()
	q.broker.polls++
	if q.broker.down != nil {
		return query.Reading{}, q.broker.down
	}
	return query.Reading{At: time.Now().UTC(), Gauges: map[query.Kind]query.Gauge{query.Depth: query.NumberOf(q.broker.depth[q.stream])}}, nil
}

// eventLog keeps events as text.
type eventLog struct {
	mu   sync.Mutex
	text []string
}

func (e *eventLog) Eventf(regarding, _ runtime.Object, eventtype, reason, _, note string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	name := regarding.(client.Object).GetName()
	e.text = append(e.text, fmt.Sprintf("%s %s %s: %s", name, eventtype, reason, fmt.Sprintf(note, args...)))
}

// take gives the events since the last call.
func (e *eventLog) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	text := e.text
	e.text = nil
	return text
}

// ledgerLog records entries as JSON and decides each again.
type ledgerLog struct {
	mu        sync.Mutex
	text      strings.Builder
	forgotten int
	different []string
}

func (l *ledgerLog) Record(e loop.Entry[query.Snapshot, query.State, query.Decision]) error {
	raw, err := json.Marshal(e)
	if err != nil {
		return err
	}
	var back loop.Entry[query.Snapshot, query.State, query.Decision]
	if err := json.Unmarshal(raw, &back); err != nil {
		return err
	}
	recorded, _ := json.Marshal(back.Decision)
	again, _ := json.Marshal(query.Rules.Decide(back.Snapshot, back.Before))
	l.mu.Lock()
	defer l.mu.Unlock()
	if string(recorded) != string(again) {
		l.different = append(l.different, string(recorded)+"\n"+string(again))
	}
	l.text.Write(raw)
	return nil
}

func (l *ledgerLog) Forget(decision.Unit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forgotten++
}

func (l *ledgerLog) all() (text string, different []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String(), l.different
}
