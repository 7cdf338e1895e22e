package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/scaledown"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/scaleup"
)

// settle drops requests that became nodes, and gives up those that took too
// long. It works on a copy of what it changes of the snapshot.
func settle(t *turn) error {
	t.s.Pools, t.s.Nodes = maps.Clone(t.s.Pools), maps.Clone(t.s.Nodes)
	t.next.Failures = maps.Clone(t.state.Failures)
	if t.next.Failures == nil {
		t.next.Failures = map[string]int{}
	}
	for _, name := range nodepool.Names(t.s.Pools) {
		p := pool{Pool: t.s.Pools[name], name: name}
		if p.stand(&t.s); !p.acts {
			continue
		}
		var kept []nodepool.Request
		for _, r := range p.Requested {
			switch n, registered := t.s.Nodes[r.Name]; {
			case registered && n.UID != "" && up(n, p.Template):
				t.request(name).Drop = append(t.request(name).Drop, r.Name)
				delete(t.next.Failures, name)
			case !t.s.Now.Before(r.At.Add(orElse(p.Times.ProvisionTimeout, t.s.Config.ProvisionTimeout))):
				t.giveUp(name, p.Pool, r)
			default:
				kept = append(kept, r)
			}
		}
		p.Requested = kept
		t.s.Pools[name] = p.Pool
	}
	return nil
}

// up tells whether a node is ready and has lost the taints of its start.
func up(n nodepool.Node, t nodepool.Template) bool {
	return n.Ready && len(n.Started(t).Taints) == len(n.Taints)
}

// giveUp drops a request that failed, deletes what came of it, and lets the
// provider rest for a while, twice as long each time.
func (t *turn) giveUp(name string, p nodepool.Pool, r nodepool.Request) {
	request := t.request(name)
	request.Drop = append(request.Drop, r.Name)
	if n, registered := t.s.Nodes[r.Name]; registered {
		t.d.Actions.Delete = append(t.d.Actions.Delete, NodeAction{Node: r.Name, UID: n.UID, Pool: name, Failed: true})
		n.Deleting = true
		t.s.Nodes[r.Name] = n
	}
	if request.BackoffUntil.IsZero() {
		t.next.Failures[name]++
		wait := orElse(p.Times.BackoffInitial, t.s.Config.BackoffInitial)
		longest := orElse(p.Times.BackoffMax, t.s.Config.BackoffMax)
		for range t.next.Failures[name] - 1 {
			wait = min(2*wait, longest)
		}
		request.BackoffUntil = t.s.Now.Add(min(wait, longest))
	}
	message := fmt.Sprintf("node %s was asked for at %s and is not ready: given up, and no more asked for until %s",
		r.Name, clock(r.At), clock(request.BackoffUntil))
	t.note("requests/timeout", "FailedToScaleUpGroup", message)
	t.event(Event{Kind: kindPool, Name: name, UID: p.UID, Type: Warning, Reason: "FailedToScaleUpGroup", Message: message})
}

func orElse(own, otherwise time.Duration) time.Duration {
	if own > 0 {
		return own
	}
	return otherwise
}

// backoff is when the pool is asked again, zero where it may be now.
func (t *turn) backoff(p *pool) time.Time {
	until := p.BackoffUntil
	if r := t.requests[p.name]; r != nil && r.BackoffUntil.After(until) {
		until = r.BackoffUntil
	}
	if t.s.Now.Before(until) {
		return until
	}
	return time.Time{}
}

// grow asks pools that act for room, and then what those would do that only
// recommend.
func grow(t *turn) error {
	refused := map[string]map[string]scaleup.Refusal{}
	for _, acting := range []bool{true, false} {
		pools := t.growable(acting)
		if len(pools) == 0 {
			continue
		}
		result, err := scaleup.Plan(t.w, pools, t.left)
		if err != nil {
			return err
		}
		for _, name := range nodepool.Names(result.Growth) {
			t.grown(name, result.Growth[name], acting)
		}
		t.left = slices.DeleteFunc(t.left, func(key string) bool { return result.Placed[key] != "" })
		for key, why := range result.Refused {
			if refused[key] == nil {
				refused[key] = map[string]scaleup.Refusal{}
			}
			maps.Copy(refused[key], why)
		}
	}
	for _, key := range t.left {
		v := PodVerdict{Reason: NoScaleUp, Pools: refused[key], Message: refusals(refused[key])}
		t.d.Pods[key] = v
		t.podEvent(key, Normal, NoScaleUp, "pod didn't trigger scale-up: "+v.Message, false)
		for name, r := range refused[key] {
			if r.Rule == "max" {
				t.pools[name].limited = true
			}
		}
	}
	return nil
}

// growable lists the pools that act, or those that would be asked if they did.
func (t *turn) growable(acting bool) []scaleup.Pool {
	var out []scaleup.Pool
	for _, name := range nodepool.Names(t.pools) {
		p := t.pools[name]
		if p.acts != acting || p.off {
			continue
		}
		candidate := scaleup.Pool{Name: name, Room: max(0, int(p.Max)-p.total())}
		until := t.backoff(p)
		switch {
		case !p.Served:
			candidate.Blocked, candidate.Why = p.rule, p.why
		case !until.IsZero():
			candidate.Blocked, candidate.Why = "backoff", fmt.Sprintf("its provider failed and is asked again at %s", clock(until))
		}
		out = append(out, candidate)
	}
	return out
}

// grown notes one pool's growth, for the pods that are to run on it.
func (t *turn) grown(name string, g scaleup.Growth, acting bool) {
	p := t.pools[name]
	from := p.size()
	to := from + len(g.Nodes)
	reason, verdict := ReasonScaleUp, TriggersScaleUp
	message := fmt.Sprintf("pool %s grows by %s for %s", name, count(len(g.Nodes), "node"), count(len(g.Pods), "pod"))
	if acting {
		p.growth = g
		t.step("scaleup/"+name, from, to, reason, message)
		t.event(Event{Kind: kindPool, Name: name, UID: p.UID, Type: Normal, Reason: "ScaledUpGroup",
			Message: fmt.Sprintf("Scale-up: size %d -> %d (max: %d) for %s", from, to, p.Max, count(len(g.Pods), "pod")), OnSuccess: true})
	} else {
		p.recommended += len(g.Nodes)
		reason, verdict = "Withheld", WouldTriggerScaleUp
		message = fmt.Sprintf("pool %s would grow by %s for %s, but %s", name, count(len(g.Nodes), "node"), count(len(g.Pods), "pod"), p.why)
		t.step("scaleup/"+name, from, from, reason, message)
	}
	for _, key := range g.Pods {
		v := PodVerdict{Reason: verdict, Pool: name, Node: t.w.Where(key), Message: message}
		t.d.Pods[key] = v
		if acting {
			t.podEvent(key, Normal, TriggersScaleUp, fmt.Sprintf("pod triggered scale-up: [{%s %d->%d (max: %d)}]", name, from, to, p.Max), true)
		} else {
			t.podEvent(key, Normal, NoScaleUp, "pod didn't trigger scale-up: "+message, false)
		}
	}
}

// fillMin asks for nodes up to the least size. Nodes under drain count: they are
// given back first, by the rules of scaledown.
func fillMin(t *turn) error {
	for _, name := range nodepool.Names(t.pools) {
		p := t.pools[name]
		missing := int(p.Min) - p.total() - len(p.growth.Nodes)
		if !p.acts || missing <= 0 || !t.backoff(p).IsZero() {
			continue
		}
		from := p.size() + len(p.growth.Nodes)
		sequence := max(p.Sequence, p.growth.Sequence)
		for range missing {
			r := nodepool.Request{At: t.s.Now, Zone: t.emptiestZone(p)}
			for r.Name == "" || t.w.Has(r.Name) || t.s.Nodes[r.Name].UID != "" {
				sequence++
				r.Name = name + "-" + strconv.FormatInt(sequence, 10)
			}
			if err := t.w.Open(r.Name, p.NewNode(name, r)); err != nil {
				return err
			}
			t.w.Promise(r.Name)
			p.growth.Nodes = append(p.growth.Nodes, r)
		}
		p.growth.Sequence = sequence
		t.step("pools/min/"+name, from, from+missing, ReasonScaleUp, fmt.Sprintf("pool %s grows by %s to its least size of %d", name, count(missing, "node"), p.Min))
	}
	return nil
}

// emptiestZone is the zone of the pool with the fewest nodes, "" without zones.
func (t *turn) emptiestZone(p *pool) string {
	in := map[string]int{}
	for _, n := range t.s.Nodes {
		if n.Pool == p.name {
			in[n.Labels[corev1.LabelTopologyZone]]++
		}
	}
	for _, r := range slices.Concat(p.Requested, p.growth.Nodes) {
		in[r.Zone]++
	}
	best := ""
	for i, zone := range slices.Sorted(slices.Values(p.Template.Zones)) {
		if i == 0 || in[zone] < in[best] {
			best = zone
		}
	}
	return best
}

// create turns growth into requests, and passes on those that the provider of
// this process does not know.
func create(t *turn) error {
	for _, name := range nodepool.Names(t.pools) {
		p := t.pools[name]
		if !p.acts {
			continue
		}
		if g := p.growth; len(g.Nodes) > 0 {
			r := t.request(name)
			r.Sequence, r.Add = g.Sequence, g.Nodes
		}
		for _, r := range p.Requested {
			if _, registered := t.s.Nodes[r.Name]; !registered && !slices.Contains(p.Accepted, r.Name) {
				t.d.Actions.Create = append(t.d.Actions.Create, Creation{Pool: name, Request: r})
			}
		}
		for _, r := range p.growth.Nodes {
			t.d.Actions.Create = append(t.d.Actions.Create, Creation{Pool: name, Request: r})
		}
	}
	for _, name := range nodepool.Names(t.requests) {
		t.d.Actions.Request = append(t.d.Actions.Request, *t.requests[name])
	}
	return nil
}

// shrink drains and removes.
func shrink(t *turn) error {
	var pools []scaledown.Pool
	for _, name := range nodepool.Names(t.pools) {
		p := t.pools[name]
		if p.off {
			continue
		}
		pools = append(pools, scaledown.Pool{Name: name, Acts: p.acts, Why: p.why, Size: p.size() + len(p.growth.Nodes)})
	}
	var err error
	t.down, err = scaledown.Plan(t.w, pools, t.state.Nodes, t.wanted)
	if err != nil {
		return err
	}
	t.next.Nodes, t.d.Nodes = t.down.State, t.down.Verdicts
	t.carryDown()
	return nil
}
