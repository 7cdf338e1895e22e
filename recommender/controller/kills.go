package controller

import (
	"context"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// wakeKilled notes a pod of which a container was killed for memory: the objects
// whose pod it is have a turn at once. It does not block.
func (p *passes) wakeKilled(pod *podRecord) {
	p.mu.Lock()
	woken := p.woken
	if woken != nil {
		p.killed = append(p.killed, pod)
	}
	p.mu.Unlock()
	// Before the work begins there is nobody to be woken: the first pass sees it.
	if woken != nil {
		p.alarm()
	}
}

func (p *passes) alarm() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

// struck are the objects whose pods were killed. Only those of the pods'
// namespaces are looked at.
func (p *passes) struck(ctx context.Context) []types.NamespacedName {
	p.mu.Lock()
	pods := p.killed
	p.killed = nil
	p.mu.Unlock()
	if len(pods) == 0 {
		return nil
	}
	bySpace := map[string][]labels.Set{}
	for _, pod := range pods {
		bySpace[pod.namespace] = append(bySpace[pod.namespace], split(pod.labels.Value()))
	}
	var out []types.NamespacedName
	for namespace, killed := range bySpace {
		for _, vpa := range p.vpas.in(namespace) {
			selector, err := p.targets.selector(ctx, namespace, projectTarget(vpa))
			if err != nil {
				continue // Its turn tells of it.
			}
			for _, set := range killed {
				if selector.Matches(set) {
					out = append(out, types.NamespacedName{Namespace: namespace, Name: vpa.Name})
					break
				}
			}
		}
	}
	return out
}
