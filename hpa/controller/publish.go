package controller

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedv2 "k8s.io/client-go/kubernetes/typed/autoscaling/v2"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/retry"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// fieldManager is the name that our writes carry.
const fieldManager = "quartet-hpa-controller"

// repeatAfter is when a warning that goes on is told again.
const repeatAfter = 5 * time.Minute

// outlets are what decisions are shown through.
type outlets struct {
	hpas     typedv2.HorizontalPodAutoscalersGetter
	recorder record.EventRecorder
	store    *decisionapi.Store
	metrics  *metrics
}

// publisher shows decisions. It renders and decides nothing.
type publisher struct {
	outlets

	mu sync.Mutex
	// told holds the warnings of each object's last turn and when they were told.
	told map[decision.Unit]map[replicas.Event]time.Time
	// others are the objects that are left to the upstream controller.
	others map[decision.Unit]bool
}

func newPublisher(o outlets) *publisher {
	return &publisher{
		outlets: o,
		told:    map[decision.Unit]map[replicas.Event]time.Time{},
		others:  map[decision.Unit]bool{},
	}
}

// Publish shows one decision and what became of it.
func (p *publisher) Publish(ctx context.Context, d replicas.Decision, o decision.Outcome) {
	v := visitOf(ctx)
	report := replicas.Render(d, o)
	p.store.Put(d.Unit, func() decisionapi.Decision { return decisionapi.Render(d.Decision, o, detail(d)) })
	p.metrics.decided(d, o, v)
	p.note(d)
	p.log(ctx, d, o)
	if v.hpa == nil {
		return
	}
	if report.Status.Scope != replicas.ScopeNone {
		if err := p.write(ctx, v.hpa, report, d.At); err != nil && ctx.Err() == nil {
			p.recorder.Event(v.hpa, replicas.Warning, "FailedUpdateStatus", err.Error())
			telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not write the status",
				slog.String("hpa", d.Unit.Namespace+"/"+d.Unit.Name), slog.Any("error", err))
		}
	}
	for _, e := range p.fresh(d.Unit, report.Events, d.At) {
		p.recorder.Event(v.hpa, e.Type, e.Reason, e.Message)
	}
}

// write updates the status where it would change. The object may have moved on
// since it was cached: then the report is laid over what it is now.
func (p *publisher) write(ctx context.Context, cached *autoscalingv2.HorizontalPodAutoscaler, r replicas.Report, at time.Time) error {
	now := metav1.NewTime(at)
	client := p.hpas.HorizontalPodAutoscalers(cached.Namespace)
	current := cached
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		status := newStatus(&current.Status, r, now)
		if equality.Semantic.DeepEqual(current.Status, status) {
			return nil
		}
		// A shallow copy: nothing that it shares with the cache is changed.
		object := *current
		object.ManagedFields, object.Status = nil, status
		_, err := client.UpdateStatus(ctx, &object, metav1.UpdateOptions{FieldManager: fieldManager})
		if err == nil {
			return nil
		}
		latest, getErr := client.Get(ctx, cached.Name, metav1.GetOptions{})
		if getErr == nil && latest.UID == cached.UID {
			current = latest
		}
		return err
	})
}

// fresh leaves out warnings that the last turn gave too, until they are told
// again.
func (p *publisher) fresh(unit decision.Unit, events []replicas.Event, now time.Time) []replicas.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.told[unit]
	var after map[replicas.Event]time.Time
	var out []replicas.Event
	for _, e := range events {
		if e.Type != replicas.Warning {
			out = append(out, e)
			continue
		}
		at, known := before[e]
		if !known || now.Sub(at) >= repeatAfter {
			out, at = append(out, e), now
		}
		if after == nil {
			after = map[replicas.Event]time.Time{}
		}
		after[e] = at
	}
	if after == nil {
		delete(p.told, unit)
	} else {
		p.told[unit] = after
	}
	return out
}

func (p *publisher) note(d replicas.Decision) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.Reason == replicas.ReasonOtherWriter {
		p.others[d.Unit] = true
	} else {
		delete(p.others, d.Unit)
	}
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
		slog.String("hpa", d.Unit.Namespace+"/"+d.Unit.Name),
		slog.Int("from", int(d.From)), slog.Int("to", int(d.To)),
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

// otherWriters tells, for the readiness, what is left to other controllers.
func (p *publisher) otherWriters(context.Context) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.others) == 0 {
		return "no other controller seen", nil
	}
	return fmt.Sprintf("%d objects are left alone: %s acts on them", len(p.others), upstreamManager), nil
}

// detail is what explain shows beside the steps.
func detail(d replicas.Decision) any {
	return struct {
		Target replicas.Target `json:"target"`
		Status replicas.Status `json:"status"`
	}{d.Target, d.Status}
}
