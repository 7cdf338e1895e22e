package controller

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/client-go/tools/record"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// repeatAfter is when a warning that goes on is told again.
const repeatAfter = 5 * time.Minute

// publisher shows decisions. It renders and decides nothing.
type publisher struct {
	status   *statusWriter
	recorder record.EventRecorder
	store    *decisionapi.Store
	metrics  *metrics

	mu sync.Mutex
	// told holds the warnings of each object's last turn and when they were told.
	told map[decision.Unit]map[estimator.Event]time.Time
	// others are the objects that are left to another recommender.
	others map[decision.Unit]bool
}

// Publish shows one decision and what became of it.
func (p *publisher) Publish(ctx context.Context, d estimator.Decision, o decision.Outcome) {
	v := visitOf(ctx)
	p.store.Put(d.Unit, func() decisionapi.Decision { return decisionapi.Render(d.Decision, o, detail(d)) })
	p.metrics.decided(d, o)
	p.note(d)
	p.log(ctx, d, o)
	if v.vpa == nil {
		return
	}
	events := d.Events
	if o.Result == decision.Failed {
		events = append(events[:len(events):len(events)], estimator.Event{Type: estimator.Warning, Reason: "FailedUpdate", Message: o.Error})
	} else if err := p.status.write(ctx, v, d); err != nil && ctx.Err() == nil {
		// Where the action wrote the status already, this finds nothing to write.
		telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not write the status",
			slog.String("vpa", d.Unit.Namespace+"/"+d.Unit.Name), slog.Any("error", err))
		events = append(events[:len(events):len(events)], estimator.Event{Type: estimator.Warning, Reason: "FailedUpdateStatus", Message: err.Error()})
	}
	for _, e := range p.fresh(d.Unit, events, d.At) {
		p.recorder.Event(reference(d.Unit), e.Type, e.Reason, e.Message)
	}
}

// reference names the object of an event: the recorder's scheme does not know
// its kind.
func reference(unit decision.Unit) *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion: vpav1.SchemeGroupVersion.String(), Kind: unit.Kind,
		Namespace: unit.Namespace, Name: unit.Name, UID: types.UID(unit.UID),
	}
}

// fresh leaves out warnings that the last turn gave too, until they are told
// again.
func (p *publisher) fresh(unit decision.Unit, events []estimator.Event, now time.Time) []estimator.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.told[unit]
	after := map[estimator.Event]time.Time{}
	var out []estimator.Event
	for _, e := range events {
		at, known := before[e]
		if !known || now.Sub(at) >= repeatAfter {
			out, at = append(out, e), now
		}
		after[e] = at
	}
	if len(after) == 0 {
		delete(p.told, unit)
	} else {
		p.told[unit] = after
	}
	return out
}

func (p *publisher) note(d estimator.Decision) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.Reason == estimator.ReasonOtherWriter {
		p.others[d.Unit] = true
	} else {
		delete(p.others, d.Unit)
	}
}

func (p *publisher) log(ctx context.Context, d estimator.Decision, o decision.Outcome) {
	logger := telemetry.Logger(ctx)
	level, message := slog.LevelDebug, "Decided"
	switch {
	case o.Result == decision.Failed:
		level, message = slog.LevelError, "Could not write"
	case o.Result == decision.Succeeded && d.Reason == estimator.ReasonRecommended:
		level, message = slog.LevelInfo, "Recommended"
	}
	if !logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("vpa", d.Unit.Namespace+"/"+d.Unit.Name),
		slog.String("from", d.From.String()), slog.String("to", d.To.String()),
		slog.String("reason", d.Reason), slog.String("message", d.Message),
	}
	if o.Error != "" {
		attrs = append(attrs, slog.String("error", o.Error))
	}
	logger.LogAttrs(ctx, level, message, attrs...)
}

// forget drops what is kept of an object that is gone.
func (p *publisher) forget(unit decision.Unit) {
	p.store.Forget(unit)
	p.metrics.forget(unit)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.told, unit)
	delete(p.others, unit)
}

// otherWriters tells, for the readiness, what is left to other recommenders.
func (p *publisher) otherWriters(context.Context) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.others) == 0 {
		return "no other recommender seen", nil
	}
	return fmt.Sprintf("%d objects are left alone: another recommender is at work", len(p.others)), nil
}

// detail is what explain shows beside the steps.
func detail(d estimator.Decision) any {
	return struct {
		Target         estimator.Target         `json:"target"`
		Recommendation estimator.Recommendation `json:"recommendation,omitempty"`
		Checkpoints    []string                 `json:"checkpoints,omitempty"`
	}{d.Target, d.To, d.Checkpoints}
}
