package collector

import (
	"context"
	"fmt"
	"runtime/debug"

	"k8s.io/klog/v2"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// reasonBroken is the reason of a poll in which the code that reads the source
// panicked: a fault of ours or of a client library, which an answer that nobody
// thought of brought to light. It is the one object's failure, and no other's.
const reasonBroken = "SourceBroken"

// broken turns a panic into a failure. What was panicked with is logged and not
// shown, since it might hold anything.
func broken(during string, panicked any) error {
	klog.ErrorS(nil, "Recovered from a panic while asking a source", "during", during,
		"type", fmt.Sprintf("%T", panicked), "stack", string(debug.Stack()))
	return source.Errorf(reasonBroken, "the code that reads this source failed (%T): see the log", panicked)
}

// poll asks a source, and outlives what it does. It asks in a goroutine that ends
// with the answer: clients need deep stacks, and thousands of pollers that wait for
// their next turn would each keep one.
func poll(ctx context.Context, p source.Poller) (reading query.Reading, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if panicked := recover(); panicked != nil {
				reading, err = query.Reading{}, broken("poll", panicked)
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
			err = broken("watch", panicked)
		}
	}()
	return p.Watch(ctx, changed)
}
