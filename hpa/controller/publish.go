package controller

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/retry"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/publishing"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// fieldManager is the name that our writes carry.
const fieldManager = "quartet-hpa-controller"

// outlets are what decisions are shown through.
type outlets struct {
	statuses statuses
	recorder record.EventRecorder
	store    *decisionapi.Store
	metrics  *metrics
}

// publisher shows decisions. It renders and decides nothing.
type publisher struct {
	outlets

	// told are the warnings of each object's last turn.
	told publishing.Warnings[replicas.Event]
	// others are the objects that are left to the upstream controller.
	others publishing.LeftAlone
}

// Publish shows one decision and what became of it.
func (p *publisher) Publish(ctx context.Context, d replicas.Decision, o decision.Outcome) {
	v := visitOf(ctx)
	if v.moved {
		// The turn that follows at once is the one to show.
		return
	}
	report := replicas.Render(d, o)
	p.store.Put(d.Unit, func() decisionapi.Decision { return decisionapi.Render(d.Decision, o, detail(d)) })
	p.metrics.decided(d, o, v)
	p.others.Note(d.Unit, d.Reason == replicas.ReasonOtherWriter)
	p.log(ctx, d, o)
	if v.hpa == nil {
		return
	}
	if report.Status.Scope != replicas.ScopeNone {
		if err := p.write(ctx, v.hpa, report, d.At); err != nil && ctx.Err() == nil {
			p.recorder.Event(v.hpa, replicas.Warning, "FailedUpdateStatus", err.Error())
			telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not write the status",
				slog.String("hpa", objectOfUnit(d.Unit).String()), slog.Any("error", err))
		}
	}
	for _, e := range p.told.Fresh(d.Unit, report.Events, d.At, warns) {
		p.recorder.Event(v.hpa, e.Type, e.Reason, e.Message)
	}
}

// write updates the status where it would change. The object may have moved on
// since it was cached: then the report is laid over what it is now.
func (p *publisher) write(ctx context.Context, cached *autoscalingv2.HorizontalPodAutoscaler, r replicas.Report, at time.Time) error {
	now := metav1.NewTime(at)
	current := cached
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		status := newStatus(&current.Status, r, now)
		if equality.Semantic.DeepEqual(current.Status, status) {
			return nil
		}
		// A shallow copy: nothing that it shares with the cache is changed.
		changed := *current
		changed.ManagedFields, changed.Status = nil, status
		err := visitOf(ctx).slots.write(func() error { return p.statuses.update(ctx, &changed) })
		if err == nil {
			return nil
		}
		latest, getErr := p.statuses.latest(ctx, cached)
		if getErr == nil && latest.UID == cached.UID {
			current = latest
		}
		return err
	})
}

func (p *publisher) log(ctx context.Context, d replicas.Decision, o decision.Outcome) {
	logger := telemetry.Logger(ctx)
	level, message := slog.LevelDebug, "Decided"
	switch o.Result {
	case decision.Succeeded:
		level, message = slog.LevelInfo, "Scaled"
	case decision.Failed:
		level, message = slog.LevelError, "Could not scale"
	}
	if !logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("hpa", objectOfUnit(d.Unit).String()),
		slog.Int("from", int(d.From)), slog.Int("to", int(d.To)),
		slog.String("reason", d.Reason), slog.String("message", d.Message),
	}
	if o.Error != "" {
		attrs = append(attrs, slog.String("error", o.Error))
	}
	logger.LogAttrs(ctx, level, message, attrs...)
}

func warns(e replicas.Event) bool { return e.Type == replicas.Warning }

// forget drops what is kept of an object that is gone.
func (p *publisher) forget(unit decision.Unit) {
	p.store.Forget(unit)
	p.metrics.forget(unit)
	p.told.Forget(unit)
	p.others.Forget(unit)
}

// otherWriters tells, for the readiness, what is left to other controllers.
func (p *publisher) otherWriters(context.Context) (string, error) {
	left := p.others.Count()
	if left == 0 {
		return "no other controller seen", nil
	}
	return fmt.Sprintf("%d objects are left alone: %s acts on them", left, upstreamManager), nil
}

// detail is what explain shows beside the steps.
func detail(d replicas.Decision) any {
	return struct {
		Target    replicas.Target     `json:"target"`
		Status    replicas.Status     `json:"status"`
		Proposals []replicas.Proposal `json:"proposals,omitempty"`
	}{d.Target, d.Status, d.Proposals}
}
