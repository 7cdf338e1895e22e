package scaledown

import (
	"fmt"
	"slices"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
)

// maxBackoffs bounds how often the wait after an undone drain doubles.
const maxBackoffs = 6

// drain leads a node with our taint on: to its next evictions, its deletion, or
// back.
func (p *planner) drain(name string) error {
	n := p.s.Nodes[name]
	start, _ := n.Draining()
	movers := p.moving(name)
	v := Verdict{Pool: n.Pool, DrainingSince: start, UtilizationPercent: p.utilization(name), PodsLeft: len(movers)}
	undo, err := p.undo(name, movers, &v)
	if err != nil {
		return err
	}
	if undo != nil {
		v.Reason, v.Message = undo.Reason, undo.Message
		p.result.Verdicts[name] = v
		p.result.Undo = append(p.result.Undo, Undo{Node: name, Reason: undo.Reason, Message: undo.Message})
		p.drained[n.Pool]--
		if pool, ok := p.pools[n.Pool]; ok {
			pool.Size++
		}
		return p.w.Undrain(name)
	}
	v.Reason, v.Removable = Draining, true
	if len(movers) == 0 {
		v.Message = "drained; the node is being deleted"
		p.result.Delete = append(p.result.Delete, name)
	} else {
		v.Message = p.evict(movers)
	}
	p.result.State.Drains[name] = p.progress(name, len(movers))
	p.result.Verdicts[name] = v
	return nil
}

// undo tells why the drain must end without a deletion, nil where it goes on.
// Where it goes on, the pods are at their new places in the world.
func (p *planner) undo(name string, movers []string, v *Verdict) (*hold, error) {
	n := p.s.Nodes[name]
	pool, ok := p.pools[n.Pool]
	switch {
	case n.Pool == "" || !ok:
		return &hold{NotAutoscaled, "given back: the node is of no pool that is scaled"}, nil
	case !pool.Acts:
		return &hold{PoolHeld, "given back: " + pool.Why}, nil
	case slices.Contains(p.wanted, name):
		return &hold{NoPlaceToMovePods, "given back: pending pods fit on it"}, nil
	case pool.Size < int(p.s.Pools[n.Pool].Min):
		return &hold{MinSizeReached, fmt.Sprintf("given back: the pool would fall below its least size of %d", p.s.Pools[n.Pool].Min)}, nil
	case n.Protected != "":
		return &hold{ScaleDownDisabled, fmt.Sprintf("given back: held by the node's annotation %s", n.Protected)}, nil
	}
	for _, key := range movers {
		if h := holdOf(p.s, key); h != nil && h.Reason != NotEnoughPdb && !p.s.Pods[key].Deleting {
			return &hold{h.Reason, "given back: " + h.Message}, nil
		}
	}
	if h := p.stalled(name, movers, v); h != nil {
		return h, nil
	}
	h, err := p.elsewhere(name, p.lasting(movers))
	if h != nil {
		h.Message = "given back: " + h.Message
	}
	return h, err
}

// lasting leaves out pods that are ending: their successors are counted already.
func (p *planner) lasting(pods []string) []string {
	return slices.DeleteFunc(slices.Clone(pods), func(key string) bool { return p.s.Pods[key].Deleting })
}

// stalled gives up a drain that no pod has left for too long, and has the node
// left alone for a while, twice as long each time.
func (p *planner) stalled(name string, movers []string, v *Verdict) *hold {
	limit := p.s.Config.DrainTimeout
	if own := p.s.Pools[v.Pool].Times.DrainTimeout; own > 0 {
		limit = own
	}
	d := p.progress(name, len(movers))
	if len(movers) == 0 || p.s.Now.Before(d.Progress.Add(limit)) {
		return nil
	}
	why := fmt.Sprintf("%d pods did not leave", len(movers))
	for _, key := range movers {
		if h := budgetHold(p.s, key); h != nil {
			why = h.Message
			break
		}
	}
	times := min(p.old.Undone[name].Times+1, maxBackoffs)
	until := p.s.Now.Add(p.s.Config.DrainBackoff << (times - 1))
	p.result.State.Undone[name] = Undone{Until: until, Times: times, Why: why}
	return &hold{RecentlyUndone, fmt.Sprintf("given back after %s without progress: %s; left alone until %s", limit, why, clock(until))}
}

// progress notes when the last pod left. A drain that this process did not begin
// starts anew.
func (p *planner) progress(name string, left int) Drain {
	if d, known := p.old.Drains[name]; known && left >= d.Left {
		return Drain{Left: left, Progress: d.Progress}
	}
	return Drain{Left: left, Progress: p.s.Now}
}

// evict picks the pods that budgets let go now, and tells how the drain stands.
func (p *planner) evict(pods []string) string {
	ending, asked := 0, 0
	var waiting *hold
	for _, key := range pods {
		pod := p.s.Pods[key]
		switch {
		case pod.Deleting:
			ending++
		case p.allowed(pod):
			asked++
			p.result.Evict = append(p.result.Evict, key)
		case waiting == nil:
			if waiting = budgetHold(p.s, key); waiting == nil {
				waiting = &hold{NotEnoughPdb, "others of its budget leave first"}
			}
		}
	}
	message := fmt.Sprintf("draining: %d pods left, %d of them ending, %d to evict now", len(pods), ending, asked)
	if waiting != nil {
		message += "; " + waiting.Message
	}
	return message
}

// allowed spends one disruption of the pod's budget, if it has one left.
func (p *planner) allowed(pod nodepool.Pod) bool {
	if len(pod.Budgets) == 0 {
		return true
	}
	b := p.s.Budgets[pod.Budgets[0]]
	if len(pod.Budgets) > 1 || !b.Current || b.Allowed <= p.spent[pod.Budgets[0]] {
		return false
	}
	p.spent[pod.Budgets[0]]++
	return true
}
