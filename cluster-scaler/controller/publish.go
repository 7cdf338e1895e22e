package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/plan"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/scaledown"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// repeatAfter is when an event that goes on is told again.
const repeatAfter = 5 * time.Minute

// publisher shows plans. It renders and decides nothing.
type publisher struct {
	pools    *poolWriter
	recorder record.EventRecorder
	store    *decisionapi.Store
	metrics  *metrics

	mu sync.Mutex
	// told is when each event was last told.
	told map[plan.Event]time.Time
	// held is what pools are not acted on, and why.
	held []string
}

// Publish shows one plan and what became of it.
func (p *publisher) Publish(ctx context.Context, d plan.Decision, o decision.Outcome) {
	p.store.Put(d.Unit, func() decisionapi.Decision { return decisionapi.Render(d.Decision, o, detail(d)) })
	p.metrics.decided(d, o)
	p.note(d)
	p.log(ctx, d, o)
	for _, name := range nodepool.Names(d.Pools) {
		r := d.Pools[name]
		err := p.pools.update(ctx, name, r.UID, func(s *v1alpha1.NodePoolStatus) { show(s, r, d.At) })
		if err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) && !errors.Is(err, errGone) {
			telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not write the status",
				slog.String("pool", name), slog.Any("error", err))
		}
	}
	for _, e := range p.fresh(d.Events, o, d.At) {
		p.recorder.Event(reference(e), e.Type, e.Reason, e.Message)
	}
}

// reference names the object of an event.
func reference(e plan.Event) *corev1.ObjectReference {
	ref := &corev1.ObjectReference{Kind: e.Kind, APIVersion: "v1", Namespace: e.Namespace, Name: e.Name, UID: types.UID(e.UID)}
	switch e.Kind {
	case "NodePool":
		ref.APIVersion = v1alpha1.GroupVersion.String()
	case "Node":
		// Where kubectl looks for the events of a node.
		ref.UID = types.UID(e.Name)
	}
	return ref
}

// fresh leaves out events whose action failed, and those that were told lately.
func (p *publisher) fresh(events []plan.Event, o decision.Outcome, now time.Time) []plan.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	for e, at := range p.told {
		if now.Sub(at) >= repeatAfter {
			delete(p.told, e)
		}
	}
	var out []plan.Event
	for _, e := range events {
		if e.OnSuccess && o.Result != decision.Succeeded {
			continue
		}
		if _, known := p.told[e]; !known {
			p.told[e] = now
			out = append(out, e)
		}
	}
	return out
}

// note keeps for the readiness what is not acted on.
func (p *publisher) note(d plan.Decision) {
	var held []string
	for _, s := range d.Steps {
		if s.Reason == "PoolHeld" {
			held = append(held, s.Message)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = held
}

// otherWriters tells, for the readiness, what is left to other scalers.
func (p *publisher) otherWriters(context.Context) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.held) == 0 {
		return "no other scaler seen", nil
	}
	if len(p.held) == 1 {
		return p.held[0], nil
	}
	return fmt.Sprintf("%s (and %d more)", p.held[0], len(p.held)-1), nil
}

func (p *publisher) log(ctx context.Context, d plan.Decision, o decision.Outcome) {
	logger := telemetry.Logger(ctx)
	level, message := slog.LevelDebug, "Planned"
	switch {
	case o.Result == decision.Failed:
		level, message = slog.LevelError, "Could not carry out all of the plan"
	case o.Result == decision.Succeeded:
		level, message = slog.LevelInfo, "Carried out a plan"
	case d.Reason == plan.ReasonFailed:
		level, message = slog.LevelError, "Could not plan"
	}
	if !logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("from", d.From.String()), slog.String("to", d.To.String()),
		slog.String("reason", d.Reason), slog.String("message", d.Message),
	}
	for _, s := range d.Steps {
		attrs = append(attrs, slog.String(s.Rule, s.Message))
	}
	if o.Error != "" {
		attrs = append(attrs, slog.String("error", o.Error))
	}
	logger.LogAttrs(ctx, level, message, attrs...)
}

// detail is what explain shows beside the steps.
func detail(d plan.Decision) any {
	return struct {
		Pools   map[string]plan.PoolReport   `json:"pools,omitempty"`
		Pods    map[string]plan.PodVerdict   `json:"pods,omitempty"`
		Nodes   map[string]scaledown.Verdict `json:"nodes,omitempty"`
		Actions plan.Actions                 `json:"actions"`
	}{d.Pools, d.Pods, d.Nodes, d.Actions}
}
