package queue

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// Producer publishes numbered messages at a rate that may change all the time.
type Producer struct {
	// Broker to publish to; Tally counts what it accepted.
	Broker Broker
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
	retryPause     = 10 * time.Millisecond
)

// Run publishes until the context ends. Each message is confirmed by the broker
// before it counts; a message that could not be confirmed is sent again with the
// same number, by which the tally knows it, so none counts twice.
func (p *Producer) Run(ctx context.Context) error {
	conn, err := p.Broker.Connect("producer")
	if err != nil {
		return fmt.Errorf("connect the producer: %w", err)
	}
	defer conn.Close()
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
				p.publish(ctx, conn)
			}
		}
	}
}

// Fill publishes n messages at once.
func (p *Producer) Fill(ctx context.Context, n int) error {
	conn, err := p.Broker.Connect("producer")
	if err != nil {
		return fmt.Errorf("connect the producer: %w", err)
	}
	defer conn.Close()
	for range n {
		p.publish(ctx, conn)
	}
	return ctx.Err()
}

// CurrentRate is the rate aimed at now, in whole messages per second.
func (p *Producer) CurrentRate() int { return int(p.current.Load()) }

// publish ends when the broker has confirmed the message. It outlives the
// context by at most confirmTimeout: a message that the broker may have taken
// is to count.
func (p *Producer) publish(ctx context.Context, conn Connection) {
	id := strconv.Itoa(p.Tally.Next())
	lasting := context.WithoutCancel(ctx)
	var ended time.Time
	for ended.IsZero() || time.Since(ended) < confirmTimeout {
		try, cancel := context.WithTimeout(lasting, publishTimeout)
		err := conn.Publish(try, id)
		cancel()
		if err == nil {
			p.Tally.Produce()
			return
		}
		if ctx.Err() != nil && ended.IsZero() {
			ended = time.Now()
		}
		// A broker that is away refuses at once, some ten thousand times a second.
		time.Sleep(retryPause)
	}
}
