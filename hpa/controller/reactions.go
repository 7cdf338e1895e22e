package controller

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/health"
	"github.com/quartet-autoscaling/quartet/internal/metricchanges/follow"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// reactionGap is the least time between two turns of one object that changes of
// metrics ask for. The first is at once; those that come too soon share one at the
// end of the gap.
const reactionGap = time.Second

// reactions has objects decided on as soon as an external metric of theirs
// changed. It brings turns forward and nothing else: what a turn decides by, it
// reads by itself, and no more than a sync period goes by without a turn. Its
// methods may be called on nil.
type reactions struct {
	watcher follow.Watcher
	objects *objects
	clock   clock.WithTicker
	// forgetAnswers drops what was answered about a metric before it changed.
	forgetAnswers func(namespace, metric string)

	mu       sync.Mutex
	follower *follow.Follower // nil while this replica does not lead
	// due is when an object's last turn of this kind was, or will be.
	due map[object]time.Time
	// hold is until when an object waits after a change of its count.
	hold map[object]time.Time
}

// newReactions makes the reactions; nil where they are switched off.
func newReactions(config *rest.Config, objects *objects, o *Options) (*reactions, error) {
	if !o.ReactToMetricChanges {
		return nil, nil
	}
	watcher, err := follow.NewWatcher(config)
	if err != nil {
		return nil, err
	}
	return &reactions{
		watcher: watcher, objects: objects, clock: clock.RealClock{},
		due: map[object]time.Time{}, hold: map[object]time.Time{},
	}, nil
}

// run asks for turns until the context ends.
func (r *reactions) run(ctx context.Context, enqueue func(object, time.Duration)) {
	if r == nil {
		return
	}
	follower := follow.New(follow.Config{
		Watcher: r.watcher, Clock: r.clock,
		Changed: func(namespace, metric string) { r.changed(namespace, metric, enqueue) },
		Log: func(why error) {
			if why != nil {
				telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelWarn,
					"Changes of metrics are not heard of: objects are decided on by the sync period", slog.Any("error", why))
			} else {
				telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelInfo, "Changes of metrics are followed")
			}
		},
	})
	r.set(follower)
	defer r.set(nil)
	follower.Run(ctx)
}

// told has changes of metrics told to forget, before their turns.
func (r *reactions) told(forget func(namespace, metric string)) {
	if r != nil {
		r.forgetAnswers = forget
	}
}

func (r *reactions) set(f *follow.Follower) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.follower = f
}

// changed asks for a turn of each object that names the metric.
func (r *reactions) changed(namespace, metric string, enqueue func(object, time.Duration)) {
	if r.forgetAnswers != nil {
		r.forgetAnswers(namespace, metric)
	}
	for _, key := range r.objects.naming(namespace, metric) {
		if wait, ask := r.schedule(key); ask {
			enqueue(key, wait)
		}
	}
}

// schedule gives the time to an object's next turn of this kind; false where one
// is on its way already.
func (r *reactions) schedule(key object) (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock.Now()
	last, had := r.due[key]
	if had && last.After(now) {
		return 0, false
	}
	due := now
	if had && last.Add(reactionGap).After(due) {
		due = last.Add(reactionGap)
	}
	if hold := r.hold[key]; hold.After(due) {
		due = hold
	}
	r.due[key] = due
	return due.Sub(now), true
}

// turned takes note of a turn. Without spec.behavior the limit of a step counts
// turns and not time: a count that was changed so stays for a sync period, as it
// does without reactions.
func (r *reactions) turned(key object, period time.Duration, d replicas.Decision, o decision.Outcome) {
	if r == nil {
		return
	}
	hpa := r.objects.get(key)
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.Result == decision.Succeeded && d.From != d.To && hpa != nil && hpa.Spec.Behavior == nil {
		r.hold[key] = r.clock.Now().Add(period)
	}
}

// held gives the time for which an object is to wait after a change of its count,
// whoever asks for its turn: that of the sync period may be due a moment after one
// that was brought forward.
func (r *reactions) held(key object) time.Duration {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hold[key].Sub(r.clock.Now())
}

// release has an object wait no longer: it is another one, or its spec was edited.
func (r *reactions) release(key object) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.hold, key)
}

// forget drops what is known of an object that is gone.
func (r *reactions) forget(key object) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.due, key)
	delete(r.hold, key)
}

// check is readiness' detail; that no change is heard of is no reason to be not
// ready.
func (r *reactions) check() health.Check {
	return health.Check{Name: "metric-changes", Func: func(context.Context) (string, error) {
		if r == nil {
			return "not followed: switched off", nil
		}
		r.mu.Lock()
		follower := r.follower
		r.mu.Unlock()
		if follower == nil {
			return "followed while leading", nil
		}
		hearing, why := follower.Hearing()
		switch {
		case hearing:
			return "followed", nil
		case why == nil:
			return "not followed yet: objects are decided on by the sync period", nil
		}
		return fmt.Sprintf("not followed: objects are decided on by the sync period: %v", why), nil
	}}
}
