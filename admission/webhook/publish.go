package webhook

import (
	"context"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/client-go/tools/record"

	"github.com/quartet-autoscaling/quartet/admission/patch"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// repeatAfter is when a warning that goes on is told again.
const repeatAfter = 5 * time.Minute

// publisher shows decisions. It renders and decides nothing.
type publisher struct {
	recorder record.EventRecorder
	store    *decisionapi.Store

	mu sync.Mutex
	// warned is when each object was last told that another webhook acts.
	warned map[decision.Unit]time.Time
}

// Publish shows one decision and what became of it.
func (p *publisher) Publish(ctx context.Context, d patch.Decision, o decision.Outcome) {
	p.store.Put(d.Unit, func() decisionapi.Decision { return decisionapi.Render(d.Decision, o, detail(d)) })
	p.log(ctx, d, o)
	if d.Reason == patch.ReasonOtherWriter && !dryRun(ctx) && p.due(d) {
		p.recorder.Event(kube.Reference(vpav1.SchemeGroupVersion.String(), d.Unit), corev1.EventTypeWarning, d.Reason, d.Message)
	}
}

// due tells whether the warning is to be told now.
func (p *publisher) due(d patch.Decision) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at, told := p.warned[d.Unit]; told && d.At.Sub(at) < repeatAfter {
		return false
	}
	if p.warned == nil {
		p.warned = map[decision.Unit]time.Time{}
	}
	p.warned[d.Unit] = d.At
	return true
}

// dryRun tells that nothing is to be changed by the review, events included.
func dryRun(ctx context.Context) bool {
	asked := visitOf(ctx).review
	return asked != nil && asked.DryRun
}

// log tells of a decision, for those who look closely: a line for each pod of a
// large cluster costs more than its review.
func (p *publisher) log(ctx context.Context, d patch.Decision, o decision.Outcome) {
	logger := telemetry.Logger(ctx)
	if !logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	message := "Decided"
	switch {
	case o.Result == decision.Succeeded:
		message = "Patched"
	case d.To > 0:
		message = "Would patch"
	}
	logger.LogAttrs(ctx, slog.LevelDebug, message, slog.String("vpa", d.Unit.Namespace+"/"+d.Unit.Name), slog.String("pod", d.Pod),
		slog.Int("operations", d.To), slog.String("reason", d.Reason), slog.String("message", d.Message))
}

// forget drops what is kept of an object that is gone.
func (p *publisher) forget(unit decision.Unit) {
	p.store.Forget(unit)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.warned, unit)
}

// detail is what explain shows beside the steps.
func detail(d patch.Decision) any {
	return struct {
		Pod        string            `json:"pod"`
		Operations []patch.Operation `json:"operations,omitempty"`
	}{d.Pod, d.Operations}
}
