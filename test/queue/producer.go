package queue

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Producer publishes numbered messages at a rate that may change all the time.
type Producer struct {
	// Broker to publish to; Tally counts what it accepted.
	Broker *Broker
	Tally  *Tally
	// Rate is messages per second at a time since the start.
	Rate func(since time.Duration) float64

	current atomic.Int64
}

// tick is how often the producer publishes what has become due; the timeouts
// are for one try and for the last message.
const (
	tick           = 20 * time.Millisecond
	publishTimeout = 2 * time.Second
	confirmTimeout = 10 * time.Second
)

// Run publishes until the context ends. Each message is confirmed by the broker
// before it counts; a message that could not be confirmed is sent again under
// the same identity, which the broker deduplicates, so none counts twice.
func (p *Producer) Run(ctx context.Context) error {
	js, closeConn, err := p.connect()
	if err != nil {
		return err
	}
	defer closeConn()
	start, due := time.Now(), 0.0
	last := start
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			p.current.Store(0)
			return nil
		case now := <-t.C:
			rate := p.Rate(now.Sub(start))
			p.current.Store(int64(rate))
			due += rate * now.Sub(last).Seconds()
			last = now
			for ; due >= 1 && ctx.Err() == nil; due-- {
				p.publish(ctx, js)
			}
		}
	}
}

// Fill publishes n messages at once.
func (p *Producer) Fill(ctx context.Context, n int) error {
	js, closeConn, err := p.connect()
	if err != nil {
		return err
	}
	defer closeConn()
	for range n {
		p.publish(ctx, js)
	}
	return ctx.Err()
}

func (p *Producer) connect() (jetstream.JetStream, func(), error) {
	conn, err := p.Broker.Connect("producer")
	if err != nil {
		return nil, nil, fmt.Errorf("connect the producer: %w", err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("open JetStream: %w", err)
	}
	return js, conn.Close, nil
}

// CurrentRate is the rate aimed at now, in whole messages per second.
func (p *Producer) CurrentRate() int { return int(p.current.Load()) }

// publish ends when the broker has confirmed the message. It outlives the
// context by at most confirmTimeout: a message that the broker may have taken
// is to count.
func (p *Producer) publish(ctx context.Context, js jetstream.JetStream) {
	id := strconv.Itoa(p.Tally.Next())
	lasting := context.WithoutCancel(ctx)
	var ended time.Time
	for ended.IsZero() || time.Since(ended) < confirmTimeout {
		try, cancel := context.WithTimeout(lasting, publishTimeout)
		_, err := js.Publish(try, Subject, []byte(id), jetstream.WithMsgID(id))
		cancel()
		if err == nil {
			p.Tally.Produce()
			return
		}
		if ctx.Err() != nil && ended.IsZero() {
			ended = time.Now()
		}
	}
}
