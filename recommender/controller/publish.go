package controller

import (
	"context"
	"fmt"
	"log/slog"

	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/client-go/tools/record"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/publishing"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// publisher shows decisions. It renders and decides nothing.
type publisher struct {
	status   *statusWriter
	recorder record.EventRecorder
	store    *decisionapi.Store
	metrics  *metrics
	// bounds is nil where each change of bounds is written at once.
	bounds *boundsWriter

	// told are the warnings of each object's last turn.
	told publishing.Warnings[estimator.Event]
	// others are the objects that are left to another recommender.
	others publishing.LeftAlone
}

// Publish shows one decision and what became of it.
func (p *publisher) Publish(ctx context.Context, d estimator.Decision, o decision.Outcome) {
	v := visitOf(ctx)
	shown := d
	// What was learned is not shown, and is most of a decision.
	shown.Observed, shown.OnSuccess = estimator.Delta{}, estimator.Delta{}
	p.store.Put(d.Unit, func() decisionapi.Decision { return decisionapi.Render(shown.Decision, o, detail(shown)) })
	p.metrics.decided(d, o)
	p.others.Note(d.Unit, d.Reason == estimator.ReasonOtherWriter)
	p.log(ctx, d, o)
	if v.vpa == nil {
		return
	}
	p.metrics.upstream.observe(v.vpa, d, o)
	if p.bounds != nil && !v.later {
		p.bounds.done(d.Unit)
	}
	events := d.Events
	if o.Result == decision.Failed {
		events = append(events[:len(events):len(events)], estimator.Event{Type: estimator.Warning, Reason: "FailedUpdate", Message: o.Error})
	} else if err := p.writeStatus(ctx, v, d); err != nil && ctx.Err() == nil {
		telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not write the status",
			slog.String("vpa", d.Unit.Namespace+"/"+d.Unit.Name), slog.Any("error", err))
		events = append(events[:len(events):len(events)], estimator.Event{Type: estimator.Warning, Reason: "FailedUpdateStatus", Message: err.Error()})
	}
	for _, e := range p.told.Fresh(d.Unit, events, d.At, warns) {
		p.recorder.Event(kube.Reference(vpav1.SchemeGroupVersion.String(), d.Unit), e.Type, e.Reason, e.Message)
	}
}

// writeStatus shows the conditions, and what else a turn without an action changes.
func (p *publisher) writeStatus(ctx context.Context, v *visit, d estimator.Decision) error {
	if v.later || v.written {
		return nil
	}
	return p.status.write(ctx, v, d)
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

// warns holds for every event of a recommender: also what is no warning goes on
// from turn to turn.
func warns(estimator.Event) bool { return true }

// forget drops what is kept of an object that is gone.
func (p *publisher) forget(unit decision.Unit) {
	p.store.Forget(unit)
	p.metrics.forget(unit)
	p.told.Forget(unit)
	p.others.Forget(unit)
	if p.bounds != nil {
		p.bounds.done(unit)
	}
}

// otherWriters tells, for the readiness, what is left to other recommenders.
func (p *publisher) otherWriters(context.Context) (string, error) {
	left := p.others.Count()
	if left == 0 {
		return "no other recommender seen", nil
	}
	return fmt.Sprintf("%d objects are left alone: another recommender is at work", left), nil
}

// detail is what explain shows beside the steps.
func detail(d estimator.Decision) any {
	return struct {
		Target         estimator.Target         `json:"target"`
		Recommendation estimator.Recommendation `json:"recommendation,omitempty"`
		Checkpoints    []string                 `json:"checkpoints,omitempty"`
	}{d.Target, d.To, d.Checkpoints}
}
