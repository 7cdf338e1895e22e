package rabbitmq

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// Reasons that only this source has.
const (
	reasonNoQueue     = "QueueNotFound"
	reasonNoVHost     = "VHostNotFound"
	reasonUnavailable = "QueueUnavailable"
	reasonNotCounted  = "QueueNotCounted"
	reasonUncertain   = "QueueUncertain"
	reasonChanging    = "QueuesChanging"
)

// amqpPoller asks for one queue over a shared connection, on a channel of its own,
// so that a queue that is slow or missing is no other poller's trouble.
type amqpPoller struct {
	query   *rabbitQuery
	conn    *sharedConn
	release func()
	// asked is a question that an earlier poll gave up. The client cannot take one
	// back, so the next one waits for its answer.
	asked chan answer

	mu      sync.Mutex
	channel *amqp.Channel
	closed  bool
}

// answer is the broker's to one question.
type answer struct {
	queue amqp.Queue
	err   error
	sent  time.Time
}

func newAMQPPoller(q *rabbitQuery) *amqpPoller {
	p := &amqpPoller{query: q}
	p.conn, p.release = q.builder.conns.Acquire(q.link.key,
		func() *sharedConn { return &sharedConn{link: q.link} }, (*sharedConn).close)
	return p
}

// Close gives the channel and the connection back.
func (p *amqpPoller) Close() {
	p.mu.Lock()
	channel := p.channel
	p.channel, p.closed = nil, true
	p.mu.Unlock()
	if channel != nil {
		// A broker that does not answer must hold nobody.
		go func() { _ = channel.Close() }()
	}
	p.release()
}

// Poll asks for the messages that are ready.
func (p *amqpPoller) Poll(ctx context.Context) (query.Reading, error) {
	if p.asked != nil {
		select {
		case <-p.asked:
			p.asked = nil
		case <-ctx.Done():
			return query.Reading{}, p.timeout()
		}
	}
	conn, err := p.conn.get(ctx)
	if err != nil {
		return query.Reading{}, err
	}
	asked := make(chan answer, 1)
	go func() { asked <- p.ask(conn) }()
	select {
	case a := <-asked:
		return p.reading(a)
	case <-ctx.Done():
		p.asked = asked
		return query.Reading{}, p.timeout()
	}
}

func (p *amqpPoller) timeout() error {
	return source.Errorf(source.ReasonTimeout, "%s did not answer in time", p.query.link.server())
}

// ask declares the queue passively: the broker answers with its counts, or says
// that it is not there and closes the channel.
func (p *amqpPoller) ask(conn *liveConn) answer {
	channel, err := p.open(conn)
	if err != nil {
		return answer{err: p.classify(err, conn)}
	}
	a := answer{sent: source.Now()}
	if a.queue, err = channel.QueueDeclarePassive(p.query.queue, false, false, false, false, nil); err != nil {
		a.err = p.classify(err, conn)
	}
	return a
}

// open gives the channel, made anew where it was closed or the connection is
// another one.
func (p *amqpPoller) open(conn *liveConn) (*amqp.Channel, error) {
	p.mu.Lock()
	channel, closed := p.channel, p.closed
	p.mu.Unlock()
	if closed {
		return nil, source.Errorf(source.ReasonUnreachable, "the connection was closed")
	}
	if channel != nil && !channel.IsClosed() {
		return channel, nil
	}
	channel, err := conn.Channel()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		go func() { _ = channel.Close() }()
		return nil, source.Errorf(source.ReasonUnreachable, "the connection was closed")
	}
	p.channel = channel
	return channel, nil
}

// classify knows what a broker says about a queue.
func (p *amqpPoller) classify(err error, conn *liveConn) *source.Error {
	var protocol *amqp.Error
	if !errors.As(err, &protocol) || !protocol.Server {
		return p.query.link.classify(err, conn.socket)
	}
	switch {
	// One code means both, and only one of them says that a queue that was made is
	// out of reach.
	case protocol.Code == amqp.NotFound && strings.Contains(protocol.Reason, "inaccessible"):
		return source.Errorf(reasonUnavailable, "queue %s cannot be reached: the node that holds it is down", p.query.queue)
	case protocol.Code == amqp.NotFound:
		return source.Errorf(reasonNoQueue, "queue %s of virtual host %s does not exist", p.query.queue, p.query.link.vhost)
	case protocol.Code == amqp.ResourceLocked:
		return source.Errorf(source.ReasonUnauthorized, "queue %s is exclusive to another connection", p.query.queue)
	}
	return p.query.link.classify(err, conn.socket)
}

// reading has what is ready and nothing else: the broker does not tell over AMQP
// what is unacknowledged. It gives no time either.
//
// For a quorum queue without a leader, as each is for a while after its broker
// started, the broker answers 0 and 0, whatever is in it.
func (p *amqpPoller) reading(a answer) (query.Reading, error) {
	switch {
	case a.err != nil:
		return query.Reading{}, a.err
	case a.queue.Messages < 0:
		return query.Reading{}, source.Errorf(source.ReasonBadReply, "%s counts less than no messages", p.query.link.server())
	case a.queue.Messages == 0 && a.queue.Consumers == 0 && !p.query.classic:
		return query.Reading{}, source.Errorf(reasonUncertain, "queue %s has no messages and no consumers, or is a quorum queue without a leader, "+
			"which over AMQP answers the same: set queueType to Classic where it is, or give the management API's url", p.query.queue)
	}
	return query.Reading{
		At:     a.sent,
		Gauges: map[query.Kind]query.Gauge{query.Pending: query.NumberOf(float64(a.queue.Messages))},
	}, nil
}
