package collector

import (
	"context"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// poll asks a source, and outlives what it does. It asks in a goroutine that ends
// with the answer: clients need deep stacks, and thousands of pollers that wait for
// their next turn would each keep one.
func poll(ctx context.Context, p source.Poller) (reading query.Reading, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if panicked := recover(); panicked != nil {
				reading, err = query.Reading{}, source.Broken("poll", panicked)
			}
		}()
		reading, err = p.Poll(ctx)
	}()
	<-done
	return reading, err
}

// watch has a source tell of changes, and outlives what it does.
func watch(ctx context.Context, p source.Pusher, changed func()) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = source.Broken("watch", panicked)
		}
	}()
	return p.Watch(ctx, changed)
}
