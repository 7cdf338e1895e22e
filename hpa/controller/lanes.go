package controller

import (
	"context"
	"slices"
	"strings"
	"sync"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

// writesPerSlot is how many statuses may be written for each turn that may work: a
// write waits for the API server, mostly.
const writesPerSlot = 4

// slots bound how many turns work at the same time. A turn that waits for an answer
// or a write gives its slot away meanwhile; writes bounds how many do for a status.
// Nil ones bound nothing.
type slots struct{ work, writes chan struct{} }

func newSlots(n int) *slots {
	return &slots{work: make(chan struct{}, n), writes: make(chan struct{}, writesPerSlot*n)}
}

func (s *slots) take() {
	if s != nil {
		s.work <- struct{}{}
	}
}

func (s *slots) give() {
	if s != nil {
		<-s.work
	}
}

// aside does what waits for others without the turn's slot.
func (s *slots) aside(do func() error) error {
	s.give()
	defer s.take()
	return do()
}

// write is as aside, for a status. Who waits for room among the writes keeps the
// slot, so that no more turns begin than can be written.
func (s *slots) write(do func() error) error {
	if s == nil {
		return do()
	}
	s.writes <- struct{}{}
	return s.aside(func() error {
		defer func() { <-s.writes }()
		return do()
	})
}

// await waits for all answers, or for the end of the context.
func (s *slots) await(ctx context.Context, all []pending) error {
	answered := func(p pending) bool {
		select {
		case <-p.done:
			return true
		default:
			return false
		}
	}
	waiting := slices.IndexFunc(all, func(p pending) bool { return !answered(p) })
	if waiting < 0 {
		return nil
	}
	return s.aside(func() error {
		for _, p := range all[waiting:] {
			select {
			case <-p.done:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
}

// laneTurns is how many turns of one lane may be under way, mostly waiting.
const laneTurns = 100

// lanes bound how many turns wait for the same backends. Objects that ask the same
// set of backends share a lane, so that no lane waits for what its objects do not
// ask for.
type lanes struct {
	mu sync.Mutex
	by map[string]*lane
}

// lane is one set of backends: how many turns are under way, and who waits for one
// of them to end, in order. waits tells which of line still do.
type lane struct {
	under int
	line  []object
	waits map[object]bool
}

func newLanes() *lanes { return &lanes{by: map[string]*lane{}} }

// enter tells whether a turn may begin. Otherwise the object waits until leave gives
// it.
func (l *lanes) enter(name string, key object) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.by[name]
	if ln == nil {
		ln = &lane{waits: map[object]bool{}}
		l.by[name] = ln
	}
	if ln.under < laneTurns {
		ln.under++
		delete(ln.waits, key)
		return true
	}
	if !ln.waits[key] {
		ln.waits[key] = true
		ln.line = append(ln.line, key)
	}
	return false
}

// leave ends a turn and gives the objects that waited longest, as many as there is
// room for. Not all need to enter: one may be another's by now.
func (l *lanes) leave(name string) []object {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.by[name]
	ln.under--
	var next []object
	for len(ln.line) > 0 && len(next) < laneTurns-ln.under {
		key := ln.line[0]
		ln.line = ln.line[1:]
		if ln.waits[key] {
			delete(ln.waits, key)
			next = append(next, key)
		}
	}
	if ln.under == 0 && len(ln.line) == 0 {
		delete(l.by, name)
	}
	return next
}

// laneOf names the backends that an object asks.
func laneOf(hpa *autoscalingv2.HorizontalPodAutoscaler) string {
	if hpa == nil {
		return ""
	}
	var names []string
	for i := range hpa.Spec.Metrics {
		switch m := &hpa.Spec.Metrics[i]; {
		case m.Pods != nil:
			names = append(names, apiCustom+"/"+m.Pods.Metric.Name)
		case m.Object != nil:
			names = append(names, apiCustom+"/"+m.Object.Metric.Name)
		case m.External != nil:
			names = append(names, apiExternal+"/"+m.External.Metric.Name)
		default:
			names = append(names, apiResource)
		}
	}
	switch len(names) {
	case 0:
		return apiResource
	case 1:
		return names[0]
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), "\n")
}
