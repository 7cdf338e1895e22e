// Package scaleup plans nodes for pods that the scheduler found no place for. It
// turns pending pods into numbers of nodes for each pool, each fit verified by
// the scheduler's own plugins, and says of every pod what became of it. It is
// pure: it requests no node and reads no clock, and which of several pools is
// best is for expander to say.
package scaleup

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/expander"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/world"
)

// Pool is a pool that may grow.
type Pool struct {
	Name string
	// Room is how many nodes it may have more.
	Room int
	// Blocked says why it cannot grow now, empty where it can, by rule and
	// message.
	Blocked, Why string
}

// Growth is the nodes that one pool gets.
type Growth struct {
	Nodes []nodepool.Request
	// Sequence is the number of the last node's name.
	Sequence int64
	// Pods are those that the nodes are for, in order.
	Pods []string
}

// Refusal is why a pod is no reason to grow one pool.
type Refusal struct {
	// Rule is a plugin of the scheduler, or max, backoff, provider, mode, rival.
	Rule    string
	Message string
}

// Result is the plan.
type Result struct {
	// Growth is by pool.
	Growth map[string]Growth
	// Placed is the planned node by pod.
	Placed map[string]string
	// Refused is by pod and pool, for pods that nothing was planned for.
	Refused map[string]map[string]Refusal
}

// Order sorts pods as they are planned for: by priority, then the largest first,
// which packs best, then the oldest.
func Order(s *nodepool.Snapshot, pods []string) {
	class := func(key string) nodepool.Class { return s.Classes[s.Pods[key].Class] }
	slices.SortFunc(pods, func(a, b string) int {
		x, y := class(a), class(b)
		return cmp.Or(
			cmp.Compare(y.Priority, x.Priority),
			y.Requests.Cpu().Cmp(*x.Requests.Cpu()),
			y.Requests.Memory().Cmp(*x.Requests.Memory()),
			cmp.Compare(s.Pods[a].Class, s.Pods[b].Class),
			s.Pods[a].Created.Compare(s.Pods[b].Created),
			cmp.Compare(a, b),
		)
	})
}

// Plan makes room for the pods, which are in Order and fit nowhere in the world
// as it is. It leaves the planned nodes with their pods in the world.
func Plan(w *world.World, pools []Pool, pods []string) (Result, error) {
	p := &planner{w: w, result: Result{
		Growth: map[string]Growth{}, Placed: map[string]string{}, Refused: map[string]map[string]Refusal{},
	}, refused: map[string]map[string]Refusal{}, probed: map[string]bool{}, pools: slices.Clone(pools)}
	left := slices.Clone(pods)
	for len(left) > 0 {
		best, err := p.best(left)
		if err != nil {
			return p.result, err
		}
		if best == nil {
			break
		}
		if err := p.take(best); err != nil {
			return p.result, err
		}
		left = slices.DeleteFunc(left, func(key string) bool { return p.result.Placed[key] != "" })
	}
	return p.result, p.explain(left)
}

type planner struct {
	w      *world.World
	pools  []Pool
	result Result
	// refused holds what a fresh node of a pool said, by class and pool.
	refused map[string]map[string]Refusal
	// probed are the classes and pools that were asked for an explanation.
	probed map[string]bool
}

// option is one pool's way to take pods.
type option struct {
	expander.Option
	nodes    []nodepool.Request
	sequence int64
	// placed is in the order of placing.
	placed []placement
}

type placement struct{ pod, node string }

// best tries each pool on its own and picks one.
func (p *planner) best(pods []string) (*option, error) {
	var options []*option
	var compared []expander.Option
	for _, pool := range p.pools {
		if pool.Blocked != "" || pool.Room <= 0 {
			continue
		}
		o, err := p.try(pool, pods)
		if err != nil {
			return nil, fmt.Errorf("plan nodes of pool %s: %w", pool.Name, err)
		}
		if o.Pods > 0 {
			options, compared = append(options, o), append(compared, o.Option)
		}
	}
	if i := expander.LeastWaste(compared); i >= 0 {
		return options[i], nil
	}
	return nil, nil
}

// try packs pods on new nodes of one pool and takes them away again.
func (p *planner) try(pool Pool, pods []string) (*option, error) {
	t := &trial{planner: p, pool: pool, spec: p.w.Snapshot.Pools[pool.Name], full: map[string]int{},
		o: &option{Option: expander.Option{Pool: pool.Name}}}
	t.o.sequence = max(t.spec.Sequence, p.result.Growth[pool.Name].Sequence)
	t.countZones()
	var err error
	for _, key := range pods {
		if err = t.place(key); err != nil {
			break
		}
	}
	for _, r := range t.o.nodes {
		p.w.Close(r.Name)
	}
	t.o.Nodes, t.o.Pods = len(t.o.nodes), len(t.o.placed)
	return t.o, err
}

// take puts the option into the world and the result.
func (p *planner) take(o *option) error {
	spec := p.w.Snapshot.Pools[o.Pool]
	g := p.result.Growth[o.Pool]
	for _, r := range o.nodes {
		if err := p.w.Open(r.Name, spec.NewNode(o.Pool, r)); err != nil {
			return err
		}
		p.w.Promise(r.Name)
	}
	for _, at := range o.placed {
		if err := p.w.Place(at.pod, at.node); err != nil {
			return err
		}
		p.result.Placed[at.pod] = at.node
		g.Pods = append(g.Pods, at.pod)
	}
	g.Nodes, g.Sequence = append(g.Nodes, o.nodes...), o.sequence
	p.result.Growth[o.Pool] = g
	i := slices.IndexFunc(p.pools, func(pool Pool) bool { return pool.Name == o.Pool })
	p.pools[i].Room -= len(o.nodes)
	return nil
}

// explain says of each pod left why no pool grew for it. A pool without room is
// still asked whether its nodes would take the pod: more room might not help.
func (p *planner) explain(pods []string) error {
	for _, key := range pods {
		class := p.w.Snapshot.Pods[key].Class
		why := map[string]Refusal{}
		for _, pool := range p.pools {
			if pool.Blocked == "" && pool.Room <= 0 {
				if err := p.probe(pool, key); err != nil {
					return err
				}
			}
			switch r, refused := p.refused[class][pool.Name]; {
			case pool.Blocked != "":
				why[pool.Name] = Refusal{Rule: pool.Blocked, Message: pool.Why}
			case refused:
				why[pool.Name] = r
			default:
				why[pool.Name] = Refusal{Rule: "max", Message: fmt.Sprintf("the pool may not have more than %d nodes", p.w.Snapshot.Pools[pool.Name].Max)}
			}
		}
		p.result.Refused[key] = why
	}
	return nil
}

// probe notes what a fresh node of the pool says to a pod, once for a class.
func (p *planner) probe(pool Pool, key string) error {
	class := p.w.Snapshot.Pods[key].Class
	if p.probed[class+"/"+pool.Name] {
		return nil
	}
	p.probed[class+"/"+pool.Name] = true
	pool.Room = 1
	_, err := p.try(pool, []string{key})
	return err
}

// amount reads a list as thousandths of CPUs and bytes.
func amount(list corev1.ResourceList) expander.Amount {
	return expander.Amount{CPU: list.Cpu().MilliValue(), Memory: list.Memory().Value()}
}
