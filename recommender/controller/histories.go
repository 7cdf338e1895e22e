package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/recommender/checkpoint"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// histories is the loop's keeper: it writes what was learned into checkpoints, at a
// bounded rate.
type histories struct {
	checkpoints *checkpoints
	queue       *paced[owner]
	flags       estimator.Config
	timeout     time.Duration

	mu sync.Mutex
	// served are the objects that have a turn.
	served map[types.NamespacedName]served
	// last are the states of objects that are gone, until they are written.
	last map[types.NamespacedName]*farewell
}

// served is an object that has turns.
type served struct {
	unit   decision.Unit
	target string
	state  estimator.State
	// ours tells that its history is written by us, and by nobody else.
	ours bool
}

// farewell is what was known of an object when it went.
type farewell struct {
	served
	// containers are still to be written, tries those that failed.
	containers []string
	tries      int
}

type entry = loop.Entry[estimator.Snapshot, estimator.State, estimator.Decision]

// lastTries is how often the history of an object that is gone is tried to be
// written: its namespace may be gone as well.
const lastTries = 20

func newHistories(c *checkpoints, o *Options) *histories {
	h := &histories{
		checkpoints: c, flags: o.rules(), timeout: o.CheckpointsTimeout,
		served: map[types.NamespacedName]served{}, last: map[types.NamespacedName]*farewell{},
	}
	h.queue = newPaced(pacedConfig[owner]{
		write: h.write, perSecond: o.Pacing.CheckpointWrites, spread: o.Rules.CheckpointPeriod / 5, workers: o.Workers,
	})
	return h
}

// targetOf names a target in an annotation.
func targetOf(t estimator.Target) string {
	if t.Kind == "" {
		return ""
	}
	return t.APIVersion + "/" + t.Kind + "/" + t.Name
}

func keyOf(unit decision.Unit) types.NamespacedName {
	return types.NamespacedName{Namespace: unit.Namespace, Name: unit.Name}
}

// Guard holds no action up: what is learned is seen in the pods again for longer
// than a write takes.
func (*histories) Guard(context.Context, entry) error { return nil }

// Keep queues what the decision wants to be written.
func (h *histories) Keep(turn entry, after estimator.State) {
	d := turn.Decision
	key := keyOf(d.Unit)
	h.mu.Lock()
	h.served[key] = served{unit: d.Unit, target: targetOf(d.Target), state: after,
		ours: d.Status.Scope != estimator.ScopeConditions}
	h.mu.Unlock()
	for _, container := range d.Checkpoints {
		_, urgent := slices.BinarySearch(d.Urgent, container)
		h.queue.add(owner{key, container}, urgent)
	}
}

// Forget takes leave of an object: what was not written yet will be.
func (h *histories) Forget(unit decision.Unit) {
	key := keyOf(unit)
	h.mu.Lock()
	was := h.served[key]
	delete(h.served, key)
	var unwritten []string
	for container := range was.state.Learned {
		_, unsaved := slices.BinarySearch(was.state.Unsaved, container)
		if waited := h.queue.withdraw(owner{key, container}); was.ours && (unsaved || waited) {
			unwritten = append(unwritten, container)
		}
	}
	if len(unwritten) > 0 {
		h.last[key] = &farewell{served: was, containers: unwritten}
	}
	if h.last[key] == nil {
		h.checkpoints.forget(key)
	}
	h.mu.Unlock()
	for _, container := range unwritten {
		h.queue.add(owner{key, container}, true)
	}
}

// settle writes at once what is left to be written of an object that went, since
// one of its name is about to read it.
func (h *histories) settle(ctx context.Context, key types.NamespacedName) (wrote bool, err error) {
	h.mu.Lock()
	var left []string
	if f := h.last[key]; f != nil {
		left = slices.Clone(f.containers)
	}
	h.mu.Unlock()
	var errs []error
	for _, container := range left {
		h.queue.withdraw(owner{key, container})
		errs = append(errs, h.write(ctx, owner{key, container}))
	}
	return len(left) > 0, errors.Join(errs...)
}

// write writes the history of one container as it is now.
func (h *histories) write(ctx context.Context, o owner) error {
	what, gone := h.subject(o)
	state := what.state
	learned, known := state.Learned[o.container]
	// Another recommender may have come since it was queued.
	if !known || !what.ours {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	now := time.Now().UTC().Round(0)
	// Whoever else reads it has the half-lives of the flags.
	settled := estimator.Settled(state, o.container, now, h.flags.Memory.HalfLife)
	settled = estimator.InHalfLives(settled, h.flags.CPU.HalfLife, h.flags.Memory.HalfLife, now)
	status := checkpoint.Encode(settled, h.checkpoints.schemes, now)
	annotation, err := checkpoint.Attach(&status, checkpoint.History{Learned: learned, Running: estimator.Running(state, o.container)})
	if err == nil {
		err = h.checkpoints.put(ctx, o, content{status: status, history: annotation, target: what.target})
	}
	if gone {
		err = h.took(o, err)
	}
	if err != nil {
		return fmt.Errorf("write the checkpoint of %s container %s: %w", o.vpa, o.container, err)
	}
	return nil
}

// subject finds whose history is written, and whether that is gone.
func (h *histories) subject(o owner) (served, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f := h.last[o.vpa]; f != nil && slices.Contains(f.containers, o.container) {
		return f.served, true
	}
	return h.served[o.vpa], false
}

// took notes what became of the last write of an object that is gone. An error
// that goes on is dropped with what could not be written.
func (h *histories) took(o owner, err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.last[o.vpa]
	if f == nil {
		return err
	}
	if err != nil {
		if f.tries++; f.tries < lastTries {
			return err
		}
	}
	f.containers = slices.DeleteFunc(f.containers, func(container string) bool { return container == o.container })
	if len(f.containers) == 0 {
		delete(h.last, o.vpa)
		if _, back := h.served[o.vpa]; !back {
			h.checkpoints.forget(o.vpa)
		}
	}
	return nil
}
