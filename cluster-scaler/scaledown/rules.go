package scaledown

import (
	"fmt"
	"time"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
)

// trial is one node under judgement.
type trial struct {
	*planner
	name   string
	node   nodepool.Node
	pool   *Pool
	spec   nodepool.Pool
	v      *Verdict
	movers []string
}

// rule looks at a node and tells what holds it, nil where it does not.
type rule struct {
	name  string
	apply func(*trial) (*hold, error)
}

// rules are asked in this order; the first that holds a node gives its verdict.
var rules = []rule{
	// Nodes of no pool, or of one that is gone, are not ours.
	{"node/pool", inPool},
	// What is not up yet is not unneeded.
	{"node/ready", isReady},
	// The owner may forbid it.
	{"node/annotation", isDisruptable},
	// A node that is used well is left alone.
	{"node/utilization", isUnderused},
	// Each of its pods must be allowed to move.
	{"pods/movable", podsMovable},
	// All of them must fit elsewhere, by the scheduler's rules.
	{"pods/elsewhere", podsFit},
	// From here on the node is unneeded; it must have been for a while.
	{"time/unneeded", longUnneeded},
	{"time/after-add", afterAdd},
	{"time/after-undo", afterUndo},
	// The pool keeps its least size, and loses only so many nodes at once.
	{"pool/min", aboveMin},
	{"pool/disruption", withinDisruption},
	{"pool/acts", acts},
}

func inPool(t *trial) (*hold, error) {
	if t.pool == nil {
		return &hold{NotAutoscaled, "the node is of no pool that is scaled"}, nil
	}
	return nil, nil
}

func isReady(t *trial) (*hold, error) {
	for _, r := range t.spec.Requested {
		if r.Name == t.name {
			return &hold{Starting, "the node is starting"}, nil
		}
	}
	switch {
	case t.node.Deleting:
		return &hold{Draining, "the node is being deleted"}, nil
	case !t.node.Ready:
		return &hold{NotReady, "the node is not ready"}, nil
	}
	return nil, nil
}

func isDisruptable(t *trial) (*hold, error) {
	if t.node.Protected != "" {
		return &hold{ScaleDownDisabled, fmt.Sprintf("held by the node's annotation %s", t.node.Protected)}, nil
	}
	return nil, nil
}

func isUnderused(t *trial) (*hold, error) {
	threshold := t.s.Config.UtilizationThresholdPercent
	if own := t.spec.Times.UtilizationThresholdPercent; own != nil {
		threshold = *own
	}
	if t.v.UtilizationPercent > threshold {
		return &hold{NotUnderutilized, fmt.Sprintf("%d%% of it is requested, the threshold is %d%%", t.v.UtilizationPercent, threshold)}, nil
	}
	return nil, nil
}

func podsMovable(t *trial) (*hold, error) {
	for _, key := range t.movers {
		if t.s.Pods[key].Node != t.name {
			continue // only promised: nothing is to be evicted
		}
		if h := holdOf(t.s, key); h != nil {
			return h, nil
		}
	}
	return nil, nil
}

func podsFit(t *trial) (*hold, error) {
	if h, err := t.elsewhere(t.name, t.movers); h != nil || err != nil {
		return h, err
	}
	since, known := t.old.Unneeded[t.name]
	if !known {
		since = t.s.Now
	}
	t.result.State.Unneeded[t.name] = since
	t.v.UnneededSince = since
	return nil, nil
}

// again puts the pods of a node that stays back, so that no other node counts on
// their new places.
func (t *trial) again(h *hold) (*hold, error) { return h, t.back(t.name, t.movers) }

func longUnneeded(t *trial) (*hold, error) {
	wait := t.s.Config.UnneededFor
	if own := t.spec.Times.UnneededFor; own != nil {
		wait = time.Duration(*own)
	}
	if at := t.v.UnneededSince.Add(wait); t.s.Now.Before(at) {
		return t.again(&hold{NotUnneededLongEnough, fmt.Sprintf("unneeded since %s, removable from %s on", clock(t.v.UnneededSince), clock(at))})
	}
	return nil, nil
}

func afterAdd(t *trial) (*hold, error) {
	wait := t.s.Config.DelayAfterAdd
	if own := t.spec.Times.DelayAfterAdd; own != nil {
		wait = time.Duration(*own)
	}
	var last time.Time
	for _, n := range t.s.Nodes {
		if n.Pool == t.pool.Name && n.Created.After(last) {
			last = n.Created
		}
	}
	for _, r := range t.spec.Requested {
		if r.At.After(last) {
			last = r.At
		}
	}
	if at := last.Add(wait); t.s.Now.Before(at) {
		return t.again(&hold{InCooldown, fmt.Sprintf("the pool grew at %s, nodes are removed from %s on", clock(last), clock(at))})
	}
	return nil, nil
}

func afterUndo(t *trial) (*hold, error) {
	if u, ok := t.result.State.Undone[t.name]; ok && t.s.Now.Before(u.Until) {
		return t.again(&hold{RecentlyUndone, fmt.Sprintf("a drain was undone (%s); left alone until %s", u.Why, clock(u.Until))})
	}
	return nil, nil
}

func aboveMin(t *trial) (*hold, error) {
	if t.pool.Size <= int(t.spec.Min) {
		return t.again(&hold{MinSizeReached, fmt.Sprintf("the pool has its least size of %d", t.spec.Min)})
	}
	return nil, nil
}

func withinDisruption(t *trial) (*hold, error) {
	size := t.pool.Size + t.drained[t.pool.Name]
	if limit := disruptable(t.spec, size); t.drained[t.pool.Name] >= limit {
		return t.again(&hold{BudgetOfPool, fmt.Sprintf("%d of the pool's %d nodes are under removal, %d are allowed at once", t.drained[t.pool.Name], size, limit)})
	}
	return nil, nil
}

// disruptable is how many nodes may be under removal at once.
func disruptable(p nodepool.Pool, size int) int {
	if len(p.Disruption) == 0 {
		return max(1, size/10)
	}
	limit := size
	for _, d := range p.Disruption {
		if d.Nodes != nil {
			limit = min(limit, int(*d.Nodes))
		}
		if d.Percent != nil {
			limit = min(limit, size*int(*d.Percent)/100)
		}
	}
	return limit
}

// acts begins the drain. What the node held stays at its new places in the
// world, so that the next candidate does not count on the same room.
func acts(t *trial) (*hold, error) {
	reason, message := Removable, fmt.Sprintf("unneeded since %s: its %s", clock(t.v.UnneededSince), fitting(len(t.movers)))
	if len(t.movers) == 0 {
		reason, message = Empty, fmt.Sprintf("unneeded since %s: nothing runs on it that would be missed", clock(t.v.UnneededSince))
	}
	t.v.Removable, t.v.Reason, t.v.Message = true, reason, message
	t.pool.Size--
	t.drained[t.pool.Name]++
	if err := t.w.Drain(t.name); err != nil {
		return nil, err
	}
	if !t.pool.Acts {
		t.v.Removable = false
		t.result.WouldTaint = append(t.result.WouldTaint, t.name)
		return &hold{Recommended, fmt.Sprintf("%s; it stays, since %s", message, t.pool.Why)}, nil
	}
	t.result.Taint = append(t.result.Taint, t.name)
	return nil, nil
}

func fitting(pods int) string {
	if pods == 1 {
		return "one pod fits elsewhere"
	}
	return fmt.Sprintf("%d pods fit elsewhere", pods)
}

func clock(at time.Time) string { return at.Format("15:04:05Z") }
