package controller

import (
	"context"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/client-go/tools/record"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/publishing"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// publisher shows decisions. It renders and decides nothing.
type publisher struct {
	recorder record.EventRecorder
	store    *decisionapi.Store
	metrics  *metrics

	// told are the warnings of each object's last turn.
	told publishing.Warnings[eviction.Event]
	// toldPods are what goes on with its pods.
	toldPods publishing.Warnings[eviction.PodEvent]
}

// Publish shows one decision and what became of it.
func (p *publisher) Publish(ctx context.Context, d eviction.Decision, o decision.Outcome) {
	results := visitOf(ctx).results
	p.store.Put(d.Unit, func() decisionapi.Decision { return decisionapi.Render(d.Decision, o, detail(d, results)) })
	p.metrics.tried(d, results)
	p.log(ctx, d, o)
	for _, e := range p.told.Fresh(d.Unit, eviction.Events(d, results), d.At, warns) {
		p.recorder.Event(kube.Reference(vpav1.SchemeGroupVersion.String(), d.Unit), e.Type, e.Reason, e.Message)
	}
	for _, e := range p.toldPods.Fresh(d.Unit, eviction.PodEvents(d, results), d.At, lasts) {
		ref := &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: d.Unit.Namespace, Name: e.Name, UID: types.UID(e.UID)}
		p.recorder.Event(ref, e.Type, e.Reason, e.Message)
	}
}

func (p *publisher) log(ctx context.Context, d eviction.Decision, o decision.Outcome) {
	logger := telemetry.Logger(ctx)
	level, message := slog.LevelDebug, "Decided"
	switch {
	case o.Result == decision.Succeeded:
		level, message = slog.LevelInfo, "Updated"
	case o.Result == decision.Failed:
		level, message = slog.LevelWarn, "Could not update all"
	case d.To > d.From:
		level, message = slog.LevelInfo, "Would update"
	}
	attrs := []slog.Attr{
		slog.String("vpa", d.Unit.Namespace+"/"+d.Unit.Name), slog.Int("updates", d.To),
		slog.String("reason", d.Reason), slog.String("message", d.Message),
	}
	if o.Error != "" {
		attrs = append(attrs, slog.String("error", o.Error))
	}
	logger.LogAttrs(ctx, level, message, attrs...)
}

func lasts(e eviction.PodEvent) bool { return e.Lasting }

func warns(e eviction.Event) bool { return e.Type == eviction.Warning }

// forget drops what is kept of an object that is gone.
func (p *publisher) forget(unit decision.Unit) {
	p.store.Forget(unit)
	p.told.Forget(unit)
	p.toldPods.Forget(unit)
}

// detail is what explain shows beside the steps.
func detail(d eviction.Decision, results []eviction.Result) any {
	return struct {
		Target     string               `json:"target,omitempty"`
		Candidates []eviction.Candidate `json:"candidates,omitempty"`
		Results    []eviction.Result    `json:"results,omitempty"`
		Blocked    []eviction.Blocked   `json:"blocked,omitempty"`
		Rollout    *eviction.Rollout    `json:"rollout,omitempty"`
	}{d.Target, d.Candidates, results, d.Blocked, d.Rollout}
}
