package plan

import (
	"fmt"
	"slices"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/scaledown"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/scaleup"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/world"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// phases are gone through in this order. Each leaves its part of the decision
// and its promises in the world for those after it.
var phases = []struct {
	name  string
	apply func(*turn) error
}{
	// Requests that are answered or failed are no longer under way.
	{"requests/settle", settle},
	// Two writers never; and each pool has its mode.
	{"pools/standing", standings},
	// Everything before the scheduler's plugins.
	{"world", build},
	// What waits may fit on nodes that are there or on their way.
	{"pods/fit", fitPending},
	// A node under drain that is wanted again is cheaper than a new one.
	{"pods/drained", fitDrained},
	// For the rest pools grow.
	{"scaleup", grow},
	// No pool is left below its least size.
	{"pools/min", fillMin},
	// What is not needed is drained and removed.
	{"scaledown", shrink},
	// Requests that this process has not passed on yet, it passes on again.
	{"requests/create", create},
}

// turn is one plan in the making.
type turn struct {
	s     nodepool.Snapshot
	state State
	next  State
	d     Decision
	w     *world.World
	pools map[string]*pool
	// left are the pods that nothing was found for yet, in order.
	left []string
	// wanted are nodes under drain that pods ask back.
	wanted   []string
	requests map[string]*PoolRequest
	down     scaledown.Result
}

// pool is what the turn knows of a pool.
type pool struct {
	nodepool.Pool
	name string
	// acts tells whether the pool is changed; why says why not, under rule.
	acts      bool
	rule, why string
	// off pools are not looked at.
	off bool
	// registered, ready, draining and starting count nodes.
	registered, ready, draining, starting int
	growth                                scaleup.Growth
	// recommended are nodes that a pool that does not act would get or lose.
	recommended int
	// limited tells that pods wanted more nodes than max.
	limited bool
}

// size is without nodes under drain and with those on their way.
func (p *pool) size() int { return p.registered - p.draining + p.underWay() }

// total is all nodes there are or will be.
func (p *pool) total() int { return p.registered + p.underWay() }

// underWay counts requested nodes that are not registered.
func (p *pool) underWay() int { return p.starting }

// Decide makes the plan. It is pure: the same snapshot and state give the same
// decision, byte for byte.
func Decide(s nodepool.Snapshot, state State) Decision {
	t := &turn{s: s, state: state, pools: map[string]*pool{}, requests: map[string]*PoolRequest{}}
	t.d.Component, t.d.Unit, t.d.At = Component, Unit, s.Now
	t.d.Pools, t.d.Pods = map[string]PoolReport{}, map[string]PodVerdict{}
	for _, f := range s.Faults {
		t.d.Faults = append(t.d.Faults, decision.Fault{Source: f.Source, Reason: "NotObserved", Message: f.Message})
	}
	for _, p := range phases {
		if err := p.apply(t); err != nil {
			return t.failed(p.name, err)
		}
	}
	t.conclude()
	return t.d
}

// failed is the decision to do nothing, where no plan could be made.
func (t *turn) failed(phase string, err error) Decision {
	d := Decision{}
	d.Component, d.Unit, d.At = Component, Unit, t.s.Now
	d.Reason, d.Message = ReasonFailed, fmt.Sprintf("%s: %v", phase, err)
	d.Faults = append(t.d.Faults, decision.Fault{Source: phase, Reason: ReasonFailed, Message: err.Error()})
	d.Steps = []decision.Step{{Rule: phase, Reason: ReasonFailed, Message: err.Error()}}
	return d
}

func (t *turn) step(rule string, in, out int, reason, message string) {
	t.d.Steps = append(t.d.Steps, decision.Step{
		Rule: rule, In: fmt.Sprint(in), Out: fmt.Sprint(out), Reason: reason, Message: message,
	})
}

func (t *turn) note(rule, reason, message string) {
	t.d.Steps = append(t.d.Steps, decision.Step{Rule: rule, Reason: reason, Message: message})
}

// request is the change to a pool's status that is being gathered.
func (t *turn) request(name string) *PoolRequest {
	if t.requests[name] == nil {
		t.requests[name] = &PoolRequest{Pool: name, UID: t.s.Pools[name].UID}
	}
	return t.requests[name]
}

// standings counts the pools' nodes and finds out which pools may be acted on.
func standings(t *turn) error {
	for _, name := range nodepool.Names(t.s.Pools) {
		p := &pool{Pool: t.s.Pools[name], name: name}
		p.count(&t.s)
		p.stand(&t.s)
		t.pools[name] = p
		if !p.acts && !p.off {
			t.note("pools/"+p.rule, "PoolHeld", fmt.Sprintf("pool %s is not acted on: %s", name, p.why))
		}
	}
	t.d.From = t.sizes()
	return nil
}

func (p *pool) count(s *nodepool.Snapshot) {
	for _, n := range s.Nodes {
		if n.Pool != p.name || n.Deleting {
			continue
		}
		p.registered++
		if _, draining := n.Draining(); draining {
			p.draining++
		} else if n.Ready {
			p.ready++
		}
	}
	for _, r := range p.Requested {
		if _, registered := s.Nodes[r.Name]; !registered {
			p.starting++
		}
	}
}

// stand finds what keeps the pool from being acted on.
func (p *pool) stand(s *nodepool.Snapshot) {
	p.off = p.Mode == nodepool.ModeOff || p.Deleting
	switch {
	case p.Deleting:
		p.rule, p.why = "deleted", "it is being deleted"
	case p.Mode == nodepool.ModeOff:
		p.rule, p.why = "mode", "its mode is Off"
	case !p.Served:
		p.rule, p.why = "provider", fmt.Sprintf("its provider %s is not served by this version", p.Provider)
	case s.Rival.Fresh(s.Now):
		p.rule, p.why = "rival", fmt.Sprintf("another scaler acts: %s holds the lease %s", s.Rival.Holder, s.Rival.Lease)
	case p.taken(s) != "":
		p.rule, p.why = "rival", fmt.Sprintf("another scaler acts: node %s has the taint %s", p.taken(s), nodepool.RivalTaint)
	case s.Mode != nodepool.ModeAuto:
		p.rule, p.why = "mode", "the scaler's mode is Recommend"
	case p.Mode != nodepool.ModeAuto:
		p.rule, p.why = "mode", "its mode is Recommend"
	default:
		p.acts = true
	}
}

func (p *pool) taken(s *nodepool.Snapshot) string {
	for _, name := range nodepool.Names(s.Nodes) {
		if n := s.Nodes[name]; n.Pool == p.name && n.Taken() {
			return name
		}
	}
	return ""
}

func (t *turn) sizes() Sizes {
	out := Sizes{}
	for name, p := range t.pools {
		if !p.off {
			out[name] = p.size()
		}
	}
	return out
}

func build(t *turn) error {
	var err error
	t.w, err = world.New(&t.s)
	return err
}

// fitPending finds the pods that wait, and those of them that need no new node.
func fitPending(t *turn) error {
	var waiting []string
	for _, key := range nodepool.Names(t.s.Pods) {
		p := t.s.Pods[key]
		c := t.s.Classes[p.Class]
		switch {
		case p.Node != "" || p.Deleting || !p.Unschedulable:
		case c.Owner == "DaemonSet":
			t.d.Pods[key] = PodVerdict{Reason: OfDaemonSet, Message: "a DaemonSet's pod waits for its own node"}
		case c.Priority < t.s.Config.ExpendablePriorityCutoff:
			t.d.Pods[key] = PodVerdict{Reason: Expendable, Message: fmt.Sprintf("its priority %d is below the cutoff %d", c.Priority, t.s.Config.ExpendablePriorityCutoff)}
		default:
			waiting = append(waiting, key)
		}
	}
	scaleup.Order(&t.s, waiting)
	var err error
	t.left, err = t.settlePods(waiting)
	return err
}

// settlePods places what fits and gives what does not.
func (t *turn) settlePods(pods []string) (left []string, err error) {
	for _, key := range pods {
		node, upcoming, err := t.w.Settle(key)
		switch {
		case err != nil:
			return nil, err
		case node == "":
			left = append(left, key)
		case upcoming:
			t.d.Pods[key] = PodVerdict{Reason: WaitsForNode, Node: node, Pool: t.poolOf(node), Message: fmt.Sprintf("it fits on node %s, which is starting", node)}
		default:
			t.d.Pods[key] = PodVerdict{Reason: FitsNow, Node: node, Pool: t.poolOf(node), Message: fmt.Sprintf("it fits on node %s, the scheduler will find it", node)}
		}
	}
	return left, nil
}

// poolOf names the pool of a node, also of one that does not exist yet.
func (t *turn) poolOf(node string) string {
	if n, ok := t.s.Nodes[node]; ok {
		return n.Pool
	}
	for _, name := range nodepool.Names(t.pools) {
		p := t.pools[name]
		if slices.ContainsFunc(slices.Concat(p.Requested, p.growth.Nodes), func(r nodepool.Request) bool { return r.Name == node }) {
			return name
		}
	}
	return ""
}

// fitDrained gives nodes back that pods fit on.
func fitDrained(t *turn) error {
	for _, name := range nodepool.Names(t.s.Nodes) {
		n := t.s.Nodes[name]
		p := t.pools[n.Pool]
		if _, draining := n.Draining(); !draining || n.Deleting || !n.Ready || p == nil || !p.acts || len(t.left) == 0 {
			continue
		}
		if err := t.w.Undrain(name); err != nil {
			return err
		}
		before := len(t.left)
		left, err := t.settlePods(t.left)
		if err != nil {
			return err
		}
		if t.left = left; len(left) < before {
			t.wanted = append(t.wanted, name)
			continue
		}
		if err := t.w.Drain(name); err != nil {
			return err
		}
	}
	return nil
}
