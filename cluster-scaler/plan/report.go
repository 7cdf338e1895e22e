package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/scaledown"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/scaleup"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Kinds of objects that events are about.
const (
	kindPool = "NodePool"
	kindNode = "Node"
	kindPod  = "Pod"
)

// Conditions of a pool.
const (
	ConditionReady    = "Ready"
	ConditionProvider = "ProviderReachable"
	ConditionScaling  = "Scaling"
	ConditionLimited  = "Limited"
)

func (t *turn) event(e Event) { t.d.Events = append(t.d.Events, e) }

func (t *turn) podEvent(key, kind, reason, message string, onSuccess bool) {
	namespace, name := nodepool.Split(key)
	t.event(Event{Kind: kindPod, Namespace: namespace, Name: name, UID: t.s.Pods[key].UID,
		Type: kind, Reason: reason, Message: message, OnSuccess: onSuccess})
}

func (t *turn) nodeEvent(name, kind, reason, message string) {
	t.event(Event{Kind: kindNode, Name: name, UID: t.s.Nodes[name].UID, Type: kind, Reason: reason, Message: message, OnSuccess: true})
}

// carryDown turns the plan of scaledown into actions, steps and events. A binary
// that only recommends takes off no taint either.
func (t *turn) carryDown() {
	action := func(node string) NodeAction {
		n := t.s.Nodes[node]
		return NodeAction{Node: node, UID: n.UID, Pool: n.Pool}
	}
	if t.s.Mode == nodepool.ModeAuto {
		for _, u := range t.down.Undo {
			t.d.Actions.Undo = append(t.d.Actions.Undo, action(u.Node))
			t.note("scaledown/undo/"+u.Node, u.Reason, u.Message)
			t.nodeEvent(u.Node, Warning, "ScaleDownFailed", u.Message)
		}
	}
	for _, name := range t.down.Taint {
		a := action(name)
		a.Value = nodepool.DrainValue(t.s.Now)
		t.d.Actions.Taint = append(t.d.Actions.Taint, a)
		t.note("scaledown/drain/"+name, ReasonDrain, t.d.Nodes[name].Message)
		t.nodeEvent(name, Normal, "ScaleDown", "marked the node as toBeDeleted/unschedulable: "+t.d.Nodes[name].Message)
	}
	for _, name := range t.down.WouldTaint {
		t.pools[t.s.Nodes[name].Pool].recommended--
		t.note("scaledown/drain/"+name, "Withheld", t.d.Nodes[name].Message)
	}
	for _, key := range t.down.Evict {
		p := t.s.Pods[key]
		namespace, name := nodepool.Split(key)
		t.d.Actions.Evict = append(t.d.Actions.Evict, Eviction{Namespace: namespace, Name: name, UID: p.UID, Node: p.Node})
		t.podEvent(key, Normal, "ScaleDown", fmt.Sprintf("deleting pod for node scale down of %s", p.Node), true)
	}
	for _, name := range t.down.Delete {
		t.d.Actions.Delete = append(t.d.Actions.Delete, action(name))
		t.note("scaledown/delete/"+name, ReasonDrain, t.d.Nodes[name].Message)
		t.nodeEvent(name, Normal, "ScaleDown", "node removed by cluster scaler")
	}
}

// conclude sums the plan up and reports on each pool.
func (t *turn) conclude() {
	t.d.To = Sizes{}
	for _, name := range nodepool.Names(t.pools) {
		p := t.pools[name]
		if p.off {
			continue
		}
		size := p.size() + len(p.growth.Nodes)
		for _, a := range t.d.Actions.Taint {
			if a.Pool == name {
				size--
			}
		}
		for _, a := range t.d.Actions.Undo {
			if a.Pool == name {
				size++
			}
		}
		t.d.To[name] = size
		t.d.Pools[name] = t.report(p, size)
	}
	t.d.Observed.State = &t.next
	t.d.Act = t.s.Mode == nodepool.ModeAuto && !t.d.Actions.empty()
	t.summary()
}

func (t *turn) summary() {
	growing, draining, waiting := 0, 0, len(t.left)
	for _, p := range t.pools {
		growing, draining = growing+len(p.growth.Nodes), draining+p.draining
	}
	a := t.d.Actions
	switch {
	case t.s.Rival.Fresh(t.s.Now):
		t.d.Reason, t.d.Message = ReasonRival, fmt.Sprintf("%s holds the lease %s: nothing is acted on", t.s.Rival.Holder, t.s.Rival.Lease)
	case growing > 0:
		t.d.Reason, t.d.Message = ReasonScaleUp, fmt.Sprintf("%s asked for", count(growing, "node"))
	case len(a.Taint)+len(a.Evict)+len(a.Delete) > 0:
		t.d.Reason = ReasonDrain
		t.d.Message = fmt.Sprintf("drains begun: %s, %s evicted, %s removed", count(len(a.Taint), "node"), count(len(a.Evict), "pod"), count(len(a.Delete), "node"))
	case len(a.Undo) > 0:
		t.d.Reason, t.d.Message = ReasonUndone, fmt.Sprintf("drains given back: %s", count(len(a.Undo), "node"))
	case draining > 0:
		t.d.Reason, t.d.Message = ReasonDrain, fmt.Sprintf("drains that wait for pods to end or for budgets: %s", count(draining, "node"))
	case waiting > 0:
		t.d.Reason, t.d.Message = ReasonHeld, fmt.Sprintf("%s waiting that no pool helps", count(waiting, "pod"))
	case !a.empty():
		t.d.Reason, t.d.Message = ReasonSettling, "requests are settled"
	default:
		t.d.Reason, t.d.Message = ReasonSteady, "nothing is to be done"
	}
}

func (t *turn) report(p *pool, size int) PoolReport {
	r := PoolReport{
		UID: p.UID, Generation: p.Generation, Provider: p.Provider, Target: size,
		Nodes: p.registered, Ready: p.ready, Starting: len(p.Requested) + len(p.growth.Nodes), Draining: p.draining,
		Held: map[string]int{},
	}
	for _, name := range nodepool.Names(t.d.Nodes) {
		if v := t.d.Nodes[name]; v.Pool == p.name && !v.Removable {
			r.Held[v.Reason]++
		}
	}
	if !p.acts {
		n := p.size() + p.recommended
		r.Recommended = &n
	}
	r.Message = t.message(p, size)
	r.Conditions = t.conditions(p, r.Message)
	return r
}

// message explains the last decision on a pool, what is most to be known first.
func (t *turn) message(p *pool, size int) string {
	var parts []string
	if !p.acts {
		parts = append(parts, "not acted on: "+p.why)
		if p.recommended != 0 {
			parts = append(parts, fmt.Sprintf("would have %d nodes instead of %d", p.size()+p.recommended, p.size()))
		}
	}
	if until := t.backoff(p); !until.IsZero() {
		parts = append(parts, "its provider failed and is asked again at "+clock(until))
	}
	if g := p.growth; len(g.Nodes) > 0 {
		why := fmt.Sprintf("up to its least size of %d", p.Min)
		if len(g.Pods) > 0 {
			why = fmt.Sprintf("for %s, the first %s", count(len(g.Pods), "pod"), g.Pods[0])
		}
		parts = append(parts, fmt.Sprintf("grows by %s to %d, %s", count(len(g.Nodes), "node"), size, why))
	} else if n := len(p.Requested); n > 0 {
		parts = append(parts, count(n, "node")+" starting")
	}
	if p.limited {
		parts = append(parts, fmt.Sprintf("at its greatest size of %d while pods wait", p.Max))
	}
	held := 0
	for _, name := range nodepool.Names(t.d.Nodes) {
		switch v := t.d.Nodes[name]; {
		case v.Pool != p.name:
		case v.Removable || !v.DrainingSince.IsZero():
			parts = append(parts, fmt.Sprintf("node %s: %s", name, v.Message))
		case telling(v):
			if held++; held <= 3 {
				parts = append(parts, fmt.Sprintf("node %s stays: %s", name, v.Message))
			}
		}
	}
	if len(parts) == 0 {
		return fmt.Sprintf("%s, nothing is to be done", count(size, "node"))
	}
	return clip(strings.Join(parts, "; "))
}

// telling are verdicts that an owner may want to do something about.
func telling(v scaledown.Verdict) bool {
	switch v.Reason {
	case scaledown.NotEnoughPdb, scaledown.NotReplicated, scaledown.LocalStorageRequested, scaledown.NotSafeToEvict,
		scaledown.UnmovableKubeSystemPod, scaledown.ScaleDownDisabled, scaledown.RecentlyUndone:
		return true
	}
	return false
}

func (t *turn) conditions(p *pool, message string) []decision.Condition {
	ready := decision.Condition{Type: ConditionReady, Status: decision.True, Reason: "Scaling", Message: message}
	if !p.acts {
		ready.Status, ready.Reason = decision.False, held(p.rule)
	}
	provider := decision.Condition{Type: ConditionProvider, Status: decision.True, Reason: "Reachable", Message: "the provider answers"}
	if until := t.backoff(p); !p.Served {
		provider.Status, provider.Reason, provider.Message = decision.False, "NotServed", p.why
	} else if !until.IsZero() {
		provider.Status, provider.Reason, provider.Message = decision.False, "Backoff", "asked again at "+clock(until)
	}
	scaling := decision.Condition{Type: ConditionScaling, Status: decision.False, Reason: "Steady", Message: "the size is as wanted"}
	drains := p.draining > 0 || slices.ContainsFunc(t.d.Actions.Taint, func(a NodeAction) bool { return a.Pool == p.name })
	switch {
	case len(p.growth.Nodes)+len(p.Requested) > 0:
		scaling = decision.Condition{Type: ConditionScaling, Status: decision.True, Reason: "ScalingUp", Message: message}
	case drains:
		scaling = decision.Condition{Type: ConditionScaling, Status: decision.True, Reason: "ScalingDown", Message: message}
	}
	limited := decision.Condition{Type: ConditionLimited, Status: decision.False, Reason: "WithinBounds", Message: "min and max leave room"}
	switch {
	case p.limited:
		limited.Status, limited.Reason = decision.True, "TooManyNodes"
		limited.Message = fmt.Sprintf("pods wait, and max is %d", p.Max)
	case slices.ContainsFunc(nodepool.Names(t.d.Nodes), func(name string) bool {
		return t.d.Nodes[name].Pool == p.name && t.d.Nodes[name].Reason == scaledown.MinSizeReached
	}):
		limited.Status, limited.Reason = decision.True, "TooFewNodes"
		limited.Message = fmt.Sprintf("a node is unneeded, and min is %d", p.Min)
	}
	return []decision.Condition{ready, provider, scaling, limited}
}

func held(rule string) string {
	switch rule {
	case "rival":
		return "OtherScalerActs"
	case "provider":
		return "ProviderNotServed"
	}
	return "ModeRecommend"
}

// refusals sums up, in the order of pools, why none grows.
func refusals(why map[string]scaleup.Refusal) string {
	if len(why) == 0 {
		return "there is no pool that could grow"
	}
	parts := make([]string, 0, len(why))
	for _, name := range nodepool.Names(why) {
		parts = append(parts, fmt.Sprintf("pool %s: %s", name, why[name].Message))
	}
	return strings.Join(parts, "; ")
}

// messageLimit is what a condition's message may have at most.
const messageLimit = 1024

func clip(s string) string {
	if len(s) <= messageLimit {
		return s
	}
	return strings.ToValidUTF8(s[:messageLimit], "")
}

// count is "1 node" or "2 nodes".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func clock(at time.Time) string { return at.Format("15:04:05Z") }
