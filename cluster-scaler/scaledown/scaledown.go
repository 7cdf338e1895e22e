package scaledown

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/scheduling"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/world"
)

// Pool is a pool whose nodes are looked at.
type Pool struct {
	Name string
	// Acts tells whether nodes may be removed; otherwise they are judged only,
	// and Why says why.
	Acts bool
	Why  string
	// Size counts its nodes and those on their way, without those that are drained.
	Size int
}

// State is what is remembered of nodes between passes. Maps are by node.
type State struct {
	// Unneeded is since when a node's pods fit elsewhere.
	Unneeded map[string]time.Time `json:"unneeded,omitempty"`
	Drains   map[string]Drain     `json:"drains,omitempty"`
	// Undone are nodes left alone for a while.
	Undone map[string]Undone `json:"undone,omitempty"`
}

// Drain is how far a drain has come.
type Drain struct {
	// Left is the number of pods that have to leave, Progress when the last did.
	Left     int       `json:"left"`
	Progress time.Time `json:"progress"`
}

// Undone is a drain that was given up.
type Undone struct {
	Until time.Time `json:"until"`
	Times int       `json:"times"`
	Why   string    `json:"why"`
}

// Verdict is what holds one node, or that it may go.
type Verdict struct {
	Pool      string `json:"pool,omitempty"`
	Removable bool   `json:"removable,omitempty"`
	Reason    string `json:"reason"`
	Message   string `json:"message"`
	// UtilizationPercent is the larger of CPU and memory.
	UtilizationPercent int32     `json:"utilizationPercent"`
	UnneededSince      time.Time `json:"unneededSince,omitzero"`
	DrainingSince      time.Time `json:"drainingSince,omitzero"`
	PodsLeft           int       `json:"podsLeft,omitempty"`
}

// Undo gives a node back.
type Undo struct {
	Node, Reason, Message string
}

// Result is the plan. Its lists are in the order of acting.
type Result struct {
	Verdicts map[string]Verdict
	// Taint begins drains, Evict are pods of nodes under drain, Delete are nodes
	// that are drained, and Undo drains that are given up.
	Taint, Evict, Delete []string
	Undo                 []Undo
	// WouldTaint are nodes of pools that only recommend.
	WouldTaint []string
	State      State
}

// Plan looks at every node of the world, after scale-up has placed what is
// pending. wanted are nodes under drain that pending pods ask back.
func Plan(w *world.World, pools []Pool, state State, wanted []string) (Result, error) {
	p := &planner{
		w: w, s: w.Snapshot, old: state, pools: map[string]*Pool{}, drained: map[string]int{}, spent: map[string]int32{},
		wanted: wanted,
		result: Result{Verdicts: map[string]Verdict{}, State: State{
			Unneeded: map[string]time.Time{}, Drains: map[string]Drain{}, Undone: map[string]Undone{},
		}},
	}
	for i := range pools {
		pool := pools[i]
		p.pools[pool.Name] = &pool
	}
	for _, name := range nodepool.Names(state.Undone) {
		u := state.Undone[name]
		if _, there := p.s.Nodes[name]; there && p.s.Now.Before(u.Until.Add(p.s.Config.DrainBackoff)) {
			p.result.State.Undone[name] = u
		}
	}
	for _, name := range p.draining() {
		if err := p.drain(name); err != nil {
			return p.result, fmt.Errorf("plan the drain of node %s: %w", name, err)
		}
	}
	for _, name := range p.candidates() {
		if err := p.judge(name); err != nil {
			return p.result, fmt.Errorf("judge node %s: %w", name, err)
		}
	}
	return p.result, nil
}

type planner struct {
	w      *world.World
	s      *nodepool.Snapshot
	old    State
	pools  map[string]*Pool
	wanted []string
	// drained counts nodes under removal by pool, spent evictions by budget.
	drained map[string]int
	spent   map[string]int32
	result  Result
}

// draining gives the nodes with our taint, the oldest drain first.
func (p *planner) draining() []string {
	var names []string
	start := map[string]time.Time{}
	for _, name := range nodepool.Names(p.s.Nodes) {
		if at, is := p.s.Nodes[name].Draining(); is {
			names = append(names, name)
			start[name] = at
			p.drained[p.s.Nodes[name].Pool]++
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return start[a].Compare(start[b]) })
	return names
}

// candidates gives the other nodes, the emptiest first: what they hold is the
// least to move.
func (p *planner) candidates() []string {
	names := make([]string, 0, len(p.s.Nodes))
	for _, name := range nodepool.Names(p.s.Nodes) {
		if _, is := p.s.Nodes[name].Draining(); !is {
			names = append(names, name)
		}
	}
	used := map[string]int32{}
	for _, name := range names {
		used[name] = p.utilization(name)
	}
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(used[a], used[b]), cmp.Compare(len(p.moving(a)), len(p.moving(b))), cmp.Compare(a, b))
	})
	return names
}

// moving are the pods of a node that a drain would have to move: real ones and
// those that the plan has put there.
func (p *planner) moving(node string) []string {
	return slices.DeleteFunc(p.w.Pods(node), func(key string) bool { return stays(p.w.Class(key)) })
}

// utilization is the larger of CPU and memory, in percent of what is offered.
func (p *planner) utilization(node string) int32 {
	var cpu, memory int64
	for _, key := range p.moving(node) {
		requests := p.w.Class(key).Requests
		cpu, memory = cpu+requests.Cpu().MilliValue(), memory+requests.Memory().Value()
	}
	offered := p.s.Nodes[node].Allocatable
	return max(percent(cpu, offered.Cpu().MilliValue()), percent(memory, offered.Memory().Value()))
}

func percent(used, offered int64) int32 {
	if offered <= 0 || used <= 0 {
		return 0
	}
	if used > math.MaxInt64/100 {
		used, offered = used/100, max(offered/100, 1)
	}
	return int32(min(used*100/offered, 100_000))
}

// elsewhere moves the pods of a node to standing ones. Where one fits nowhere it
// says so, and leaves all where they were.
func (p *planner) elsewhere(node string, pods []string) (*hold, error) {
	others := slices.DeleteFunc(slices.Clone(p.w.Standing), func(n string) bool { return n == node })
	for i, key := range pods {
		if err := p.w.Take(key); err != nil {
			return nil, err
		}
		to, refused := p.w.Ask(key).First(others)
		if to == "" {
			h := &hold{NoPlaceToMovePods, fmt.Sprintf("pod %s fits on no other node: %s", key, most(refused))}
			return h, p.back(node, pods[:i+1])
		}
		if err := p.w.Place(key, to); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// most sums up what nodes said by what most of them did.
func most(refused []scheduling.Verdict) string {
	if len(refused) == 0 {
		return "there is none"
	}
	count := map[string]int{}
	for _, v := range refused {
		count[v.String()]++
	}
	best := ""
	for _, text := range nodepool.Names(count) {
		if count[text] > count[best] {
			best = text
		}
	}
	return fmt.Sprintf("%s (%d of %d)", best, count[best], len(refused))
}

func (p *planner) back(node string, pods []string) error {
	for _, key := range pods {
		if err := p.w.Take(key); err != nil {
			return err
		}
	}
	for _, key := range pods {
		if err := p.w.Place(key, node); err != nil {
			return err
		}
	}
	return nil
}

// judge gives a node that is not drained its verdict, and begins its drain where
// nothing holds it.
func (p *planner) judge(name string) error {
	v := Verdict{Pool: p.s.Nodes[name].Pool, UtilizationPercent: p.utilization(name)}
	t := &trial{planner: p, name: name, node: p.s.Nodes[name], v: &v, movers: p.moving(name)}
	if pool, ok := p.pools[v.Pool]; ok && v.Pool != "" {
		t.pool, t.spec = pool, p.s.Pools[v.Pool]
	}
	for _, r := range rules {
		held, err := r.apply(t)
		if err != nil {
			return err
		}
		if held != nil {
			v.Reason, v.Message = held.Reason, held.Message
			break
		}
	}
	p.result.Verdicts[name] = v
	return nil
}

func join(names []string) string { return strings.Join(names, ", ") }
