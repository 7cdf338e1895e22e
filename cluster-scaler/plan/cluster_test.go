package plan_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/plan"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/world"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// epoch is time 0 of every simulated cluster.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// cluster is a small simulation of what surrounds the scaler: a scheduler, the
// owners of pods, budgets, and a provider.
type cluster struct {
	t     testing.TB
	s     nodepool.Snapshot
	state plan.State
	// owners hold the wanted number of pods of each workload.
	owners map[string]workload
	boot   time.Duration
	// broken pools never get a node.
	broken map[string]bool
	born   int
	// accepted are the nodes that the process has asked the provider for; it
	// forgets them when it dies.
	accepted map[string]bool
	// lives is how many actions the process carries out before it dies; negative
	// where it does not.
	lives int
}

type workload struct {
	pods, desired int
	class         string
}

func newCluster(t testing.TB) *cluster {
	return &cluster{t: t, owners: map[string]workload{}, boot: 20 * time.Second, broken: map[string]bool{}, accepted: map[string]bool{}, lives: -1, s: nodepool.Snapshot{
		Now: epoch, Mode: nodepool.ModeAuto,
		Config: nodepool.Config{
			ProvisionTimeout: 5 * time.Minute, BackoffInitial: time.Minute, BackoffMax: 4 * time.Minute,
			UnneededFor: time.Minute, DelayAfterAdd: time.Minute, UtilizationThresholdPercent: 50,
			DrainTimeout: 2 * time.Minute, DrainBackoff: 3 * time.Minute, ExpendablePriorityCutoff: -10,
		},
		Pools: map[string]nodepool.Pool{}, Nodes: map[string]nodepool.Node{}, Pods: map[string]nodepool.Pod{},
		Classes: map[string]nodepool.Class{}, Budgets: map[string]nodepool.Budget{},
	}}
}

func capacity(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{"cpu": resource.MustParse(cpu), "memory": resource.MustParse(memory), "pods": resource.MustParse("20")}
}

// addPool adds a pool with min nodes that are up.
func (c *cluster) addPool(name string, p nodepool.Pool, nodes int) {
	p.UID, p.Provider, p.Served = "pool-"+name, "kwok", true
	if p.Mode == "" {
		p.Mode = nodepool.ModeAuto
	}
	for i := range nodes {
		p.Sequence = int64(i + 1)
		c.register(name, p, nodepool.Request{Name: fmt.Sprintf("%s-%d", name, i+1), At: epoch.Add(-time.Hour)})
	}
	c.s.Pools[name] = p
}

func (c *cluster) register(pool string, p nodepool.Pool, r nodepool.Request) {
	n := p.NewNode(pool, r)
	n.UID = fmt.Sprintf("node-%s-%d", r.Name, c.s.Now.Unix())
	c.s.Nodes[r.Name] = n
}

// setWorkload scales a workload of pods that are alike.
func (c *cluster) setWorkload(name string, pods, desired int, class nodepool.Class) {
	class.Namespace, class.Labels = "shop", map[string]string{"app": name}
	if class.Owner == "" {
		class.Owner = "ReplicaSet"
	}
	c.s.Classes[name] = class
	c.owners[name] = workload{pods: pods, desired: desired, class: name}
	if desired > 0 {
		c.s.Budgets["shop/"+name] = nodepool.Budget{Desired: int32(desired), Current: true}
	}
}

// podsOf a workload, sorted.
func (c *cluster) podsOf(name string) []string {
	var keys []string
	for _, key := range nodepool.Names(c.s.Pods) {
		if c.s.Pods[key].Class == name {
			keys = append(keys, key)
		}
	}
	return keys
}

// settle lets everything but the scaler do its work.
func (c *cluster) settle() {
	c.t.Helper()
	for _, name := range nodepool.Names(c.s.Pools) {
		p := c.s.Pools[name]
		p.Accepted = nil
		for _, r := range p.Requested {
			if _, up := c.s.Nodes[r.Name]; up || !c.accepted[r.Name] {
				continue
			}
			p.Accepted = append(p.Accepted, r.Name)
			if !c.broken[name] && !c.s.Now.Before(r.At.Add(c.boot)) {
				c.register(name, p, r)
			}
		}
		c.s.Pools[name] = p
	}
	for _, name := range slices.Sorted(maps.Keys(c.owners)) {
		c.own(name, c.owners[name])
	}
	c.schedule()
	for _, name := range slices.Sorted(maps.Keys(c.owners)) {
		b, covered := c.s.Budgets["shop/"+name]
		if !covered {
			continue
		}
		b.Healthy = 0
		for _, key := range c.podsOf(name) {
			if c.s.Pods[key].Node != "" {
				b.Healthy++
			}
		}
		b.Allowed = max(0, b.Healthy-b.Desired)
		c.s.Budgets["shop/"+name] = b
	}
}

func (c *cluster) own(name string, w workload) {
	have := c.podsOf(name)
	// Those that wait go first, as a ReplicaSet would have it.
	slices.SortStableFunc(have, func(a, b string) int {
		x, y := c.s.Pods[a].Node == "", c.s.Pods[b].Node == ""
		switch {
		case x && !y:
			return -1
		case y && !x:
			return 1
		}
		return 0
	})
	for len(have) > w.pods {
		delete(c.s.Pods, have[0])
		have = have[1:]
	}
	for range w.pods - len(have) {
		c.born++
		key := fmt.Sprintf("shop/%s-%03d", name, c.born)
		p := nodepool.Pod{UID: key, Class: w.class, Created: c.s.Now}
		if w.desired > 0 {
			p.Budgets = []string{"shop/" + name}
		}
		c.s.Pods[key] = p
	}
}

// schedule binds what fits on nodes that are up.
func (c *cluster) schedule() {
	c.t.Helper()
	w, err := world.New(&c.s)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, key := range nodepool.Names(c.s.Pods) {
		p := c.s.Pods[key]
		if p.Node != "" {
			continue
		}
		node, _ := w.Ask(key).First(slices.DeleteFunc(nodepool.Names(c.s.Nodes), func(n string) bool { return !c.s.Nodes[n].Ready }))
		p.Node, p.Unschedulable = node, node == ""
		c.s.Pods[key] = p
		if node != "" {
			if err := w.Place(key, node); err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// turn makes one plan and carries it out.
func (c *cluster) turn() plan.Decision {
	c.t.Helper()
	d := plan.Decide(c.s, c.state)
	o := decision.Outcome{Result: decision.Unneeded}
	switch {
	case d.Act && !c.act(d.Actions):
		c.die()
		return d
	case d.Act:
		o.Result = decision.Succeeded
	}
	c.state = plan.Commit(c.state, d, o)
	return d
}

// die forgets what is only in the process.
func (c *cluster) die() { c.state, c.accepted, c.lives = plan.State{}, map[string]bool{}, -1 }

// survives counts one action.
func (c *cluster) survives() bool {
	c.lives--
	return c.lives != -1
}

// act carries actions out in their order; false where the process died before
// the end.
func (c *cluster) act(a plan.Actions) bool {
	c.t.Helper()
	var steps []func()
	removal := func(n plan.NodeAction) { steps = append(steps, func() { c.remove(n.Node) }) }
	for _, n := range a.Delete {
		if n.Failed {
			removal(n)
		}
	}
	for _, n := range a.Undo {
		steps = append(steps, func() { c.taint(n, false) })
	}
	for _, r := range a.Request {
		steps = append(steps, func() { c.request(r) })
	}
	for _, r := range a.Create {
		steps = append(steps, func() { c.accepted[r.Request.Name] = true })
	}
	for _, n := range a.Taint {
		steps = append(steps, func() { c.taint(n, true) })
	}
	for _, e := range a.Evict {
		steps = append(steps, func() { c.evict(e) })
	}
	for _, n := range a.Delete {
		if !n.Failed {
			removal(n)
		}
	}
	for _, step := range steps {
		if !c.survives() {
			return false
		}
		step()
	}
	return true
}

func (c *cluster) taint(n plan.NodeAction, on bool) {
	node := c.s.Nodes[n.Node]
	node.Taints = slices.DeleteFunc(slices.Clone(node.Taints), func(t corev1.Taint) bool { return t.Key == nodepool.DrainTaint })
	if on {
		node.Taints = append(node.Taints, corev1.Taint{Key: nodepool.DrainTaint, Value: n.Value, Effect: corev1.TaintEffectNoSchedule})
	}
	c.s.Nodes[n.Node] = node
}

func (c *cluster) request(r plan.PoolRequest) {
	p := c.s.Pools[r.Pool]
	p.Sequence = max(p.Sequence, r.Sequence)
	p.Requested = slices.DeleteFunc(slices.Clone(p.Requested), func(have nodepool.Request) bool { return slices.Contains(r.Drop, have.Name) })
	p.Requested = append(p.Requested, r.Add...)
	if !r.BackoffUntil.IsZero() {
		p.BackoffUntil = r.BackoffUntil
	}
	c.s.Pools[r.Pool] = p
}

func (c *cluster) evict(e plan.Eviction) {
	c.t.Helper()
	key := e.Namespace + "/" + e.Name
	for _, name := range c.s.Pods[key].Budgets {
		b := c.s.Budgets[name]
		if b.Allowed < 1 {
			c.t.Errorf("the eviction of %s breaks the budget %s", key, name)
		}
		b.Allowed--
		c.s.Budgets[name] = b
	}
	delete(c.s.Pods, key)
}

func (c *cluster) remove(node string) {
	c.t.Helper()
	for _, key := range nodepool.Names(c.s.Pods) {
		if c.s.Pods[key].Node == node {
			c.t.Errorf("node %s is deleted with pod %s on it", node, key)
		}
	}
	delete(c.s.Nodes, node)
}

// step lets time pass and makes one plan.
func (c *cluster) step(by time.Duration) plan.Decision {
	c.t.Helper()
	c.s.Now = c.s.Now.Add(by)
	c.settle()
	return c.turn()
}

// encode gives the JSON that replay compares.
func encode(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// again decides once more on what a ledger would give back.
func again(t testing.TB, s nodepool.Snapshot, state plan.State) string {
	t.Helper()
	var read nodepool.Snapshot
	var readState plan.State
	if err := json.Unmarshal([]byte(encode(t, s)), &read); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(encode(t, state)), &readState); err != nil {
		t.Fatal(err)
	}
	return encode(t, plan.Decide(read, readState))
}
