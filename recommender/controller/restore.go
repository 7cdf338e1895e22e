package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// restore puts the history of an object in place before its first turn: its own,
// or that of another object of the same target.
func (p *passes) restore(ctx context.Context, unit decision.Unit, shared *pass) error {
	if p.past != nil {
		return p.recall(ctx, unit)
	}
	key := keyOf(unit)
	wrote, err := p.histories.settle(ctx, key)
	if err != nil {
		return err
	}
	load := shared.archive
	if wrote {
		load = p.histories.checkpoints.load
	}
	found, err := load(ctx, key.Namespace)
	if err != nil {
		return fmt.Errorf("read the history: %w", err)
	}
	state := found.state(key.Name)
	if len(state.Learned) == 0 {
		if adopted, any := p.adopt(ctx, key, found, shared); any {
			state = adopted
		}
	}
	p.histories.checkpoints.note(key, found.vpas[key.Name])
	p.loop.Restore(unit, state)
	return nil
}

// adopt finds the history of an object's target under another name: that of an
// object that is served, as where a new one is made before the old one is
// deleted, else that of one that is gone.
func (p *passes) adopt(ctx context.Context, key types.NamespacedName, found *archive, shared *pass) (estimator.State, bool) {
	vpa := p.vpas.get(key.Namespace, key.Name)
	if vpa == nil {
		return estimator.State{}, false
	}
	target := targetOf(projectTarget(vpa))
	if target == "" {
		return estimator.State{}, false
	}
	state := p.sibling(ctx, key, target, shared)
	if len(state.Learned) == 0 {
		var latest string
		for _, name := range found.targets[target] {
			if p.vpas.any(key.Namespace, name) == nil && (latest == "" || found.updated(name).After(found.updated(latest))) {
				latest = name
			}
		}
		if latest != "" {
			state = found.state(latest)
		}
	}
	if len(state.Learned) == 0 {
		return estimator.State{}, false
	}
	// It has none of its own in the API server yet.
	return estimator.State{
		Learned: state.Learned, Windows: state.Windows, Unsaved: slices.Sorted(maps.Keys(state.Learned)),
	}, true
}

// sibling is what is known of another object of the target, of several the one
// that knows most.
func (p *passes) sibling(ctx context.Context, key types.NamespacedName, target string, shared *pass) estimator.State {
	var best estimator.State
	all, err := shared.targets.get(ctx, "")
	if err != nil {
		return best
	}
	samples := func(s estimator.State) (n int) {
		for _, l := range s.Learned {
			n += l.Samples
		}
		return n
	}
	for _, other := range all[key.Namespace+"/"+target] {
		p.mu.Lock()
		unit, known := p.units[other]
		p.mu.Unlock()
		if other == key || !known {
			continue
		}
		if s := p.loop.State(unit); samples(s) > samples(best) {
			best = s
		}
	}
	return best
}

// byTarget gives the objects of each target, in a fixed order.
func (p *passes) byTarget(context.Context, string) (map[string][]types.NamespacedName, error) {
	out := map[string][]types.NamespacedName{}
	for _, vpa := range p.vpas.all() {
		target := vpa.Namespace + "/" + targetOf(projectTarget(vpa))
		out[target] = append(out[target], types.NamespacedName{Namespace: vpa.Namespace, Name: vpa.Name})
	}
	for _, keys := range out {
		slices.SortFunc(keys, compareNames)
	}
	return out, nil
}
