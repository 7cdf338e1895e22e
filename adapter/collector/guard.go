package collector

import (
	"context"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// poll asks a source, and outlives what it does.
func poll(ctx context.Context, p source.Poller) (reading query.Reading, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			reading, err = query.Reading{}, source.Broken("poll", panicked)
		}
	}()
	return p.Poll(ctx)
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
