package controller

import (
	"context"
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
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// repeatAfter is when a warning that goes on is told again.
const repeatAfter = 5 * time.Minute

// publisher shows decisions. It renders and decides nothing.
type publisher struct {
	recorder record.EventRecorder
	store    *decisionapi.Store
	metrics  *metrics

	mu sync.Mutex
	// told holds the warnings of each object's last turn and when they were told.
	told map[decision.Unit]map[eviction.Event]time.Time
}

// Publish shows one decision and what became of it.
func (p *publisher) Publish(ctx context.Context, d eviction.Decision, o decision.Outcome) {
	results := visitOf(ctx).results
	p.store.Put(d.Unit, func() decisionapi.Decision { return decisionapi.Render(d.Decision, o, detail(d, results)) })
	p.metrics.tried(d, results)
	p.log(ctx, d, o)
	for _, e := range p.fresh(d.Unit, eviction.Events(d, results), d.At) {
		p.recorder.Event(reference(d.Unit), e.Type, e.Reason, e.Message)
	}
	for _, r := range results {
		if r.Error == "" {
			p.recorder.Event(podReference(d, r.Pod), eviction.Normal, "EvictedByVPA", "Pod was evicted by VPA Updater to apply resource recommendation.")
		}
	}
}

func reference(unit decision.Unit) *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion: vpav1.SchemeGroupVersion.String(), Kind: unit.Kind,
		Namespace: unit.Namespace, Name: unit.Name, UID: types.UID(unit.UID),
	}
}

func podReference(d eviction.Decision, pod string) *corev1.ObjectReference {
	ref := &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: d.Unit.Namespace, Name: pod}
	for _, c := range d.Candidates {
		if c.Pod == pod {
			ref.UID = types.UID(c.UID)
		}
	}
	return ref
}

// fresh leaves out warnings that the last turn gave too, until they are told
// again.
func (p *publisher) fresh(unit decision.Unit, events []eviction.Event, now time.Time) []eviction.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, after := p.told[unit], map[eviction.Event]time.Time{}
	var out []eviction.Event
	for _, e := range events {
		if e.Type == eviction.Warning {
			at, known := before[e]
			if known && now.Sub(at) < repeatAfter {
				after[e] = at
				continue
			}
			after[e] = now
		}
		out = append(out, e)
	}
	if p.told == nil {
		p.told = map[decision.Unit]map[eviction.Event]time.Time{}
	}
	p.told[unit] = after
	if len(after) == 0 {
		delete(p.told, unit)
	}
	return out
}

func (p *publisher) log(ctx context.Context, d eviction.Decision, o decision.Outcome) {
	logger := telemetry.Logger(ctx)
	level, message := slog.LevelDebug, "Decided"
	switch {
	case o.Result == decision.Succeeded:
		level, message = slog.LevelInfo, "Evicted"
	case o.Result == decision.Failed:
		level, message = slog.LevelWarn, "Could not evict all"
	case d.To > d.From:
		level, message = slog.LevelInfo, "Would evict"
	}
	attrs := []slog.Attr{
		slog.String("vpa", d.Unit.Namespace+"/"+d.Unit.Name), slog.Int("evictions", d.To),
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
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.told, unit)
}

// detail is what explain shows beside the steps.
func detail(d eviction.Decision, results []eviction.Result) any {
	return struct {
		Target     string               `json:"target,omitempty"`
		Candidates []eviction.Candidate `json:"candidates,omitempty"`
		Results    []eviction.Result    `json:"results,omitempty"`
	}{d.Target, d.Candidates, results}
}
