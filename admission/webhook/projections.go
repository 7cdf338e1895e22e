package webhook

import (
	"sync"

	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/admission/patch"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/vertical"
)

// projections keep what a decision needs of each object, so that many pods of one
// workload cost it once. The caches never change an object in place: another
// version is another object.
type projections struct {
	mu    sync.RWMutex
	known map[decision.Unit]projection
}

type projection struct {
	of  *vpav1.VerticalPodAutoscaler
	vpa patch.VPA
}

func newProjections() *projections { return &projections{known: map[decision.Unit]projection{}} }

// get gives the projection of an object. It is shared and must not be changed.
func (p *projections) get(unit decision.Unit, vpa *vpav1.VerticalPodAutoscaler) patch.VPA {
	p.mu.RLock()
	kept, ok := p.known[unit]
	p.mu.RUnlock()
	if ok && kept.of == vpa {
		return kept.vpa
	}
	out := patch.VPA{
		Namespace: vpa.Namespace, Name: vpa.Name, UID: string(vpa.UID), UpdateMode: vertical.UpdateMode(vpa),
		Policy: vertical.Policy(vpa), Recommendations: vertical.Recommendations(vpa), StartupBoost: vpa.Spec.StartupBoost,
	}
	p.mu.Lock()
	p.known[unit] = projection{of: vpa, vpa: out}
	p.mu.Unlock()
	return out
}

func (p *projections) forget(unit decision.Unit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, unit)
}
