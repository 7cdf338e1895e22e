package scaledown

import (
	"testing"

	"k8s.io/utils/ptr"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
)

// TestHoldOf goes through what may forbid to move a pod, in the order of rules.
func TestHoldOf(t *testing.T) {
	replicated := nodepool.Class{Namespace: "shop", Owner: "ReplicaSet"}
	with := func(change func(*nodepool.Class)) nodepool.Class {
		c := replicated
		change(&c)
		return c
	}
	budget := func(allowed int32) map[string]nodepool.Budget {
		return map[string]nodepool.Budget{"shop/b": {Allowed: allowed, Healthy: 1, Desired: 1, Current: true}}
	}
	cases := map[string]struct {
		class   nodepool.Class
		budgets map[string]nodepool.Budget
		want    string
	}{
		"a pod of a ReplicaSet":                     {class: replicated},
		"a pod of nobody":                           {class: nodepool.Class{Namespace: "shop"}, want: NotReplicated},
		"a pod of nobody that is safe":              {class: nodepool.Class{Namespace: "shop", SafeToEvict: "true"}},
		"not safe to evict":                         {class: with(func(c *nodepool.Class) { c.SafeToEvict = "false" }), want: NotSafeToEvict},
		"not to be disturbed, though safe":          {class: with(func(c *nodepool.Class) { c.SafeToEvict, c.Protected = "true", nodepool.DoNotDisrupt }), want: NotSafeToEvict},
		"local storage":                             {class: with(func(c *nodepool.Class) { c.LocalStorage = true }), want: LocalStorageRequested},
		"local storage that is safe":                {class: with(func(c *nodepool.Class) { c.LocalStorage, c.SafeToEvict = true, "true" })},
		"a system pod":                              {class: with(func(c *nodepool.Class) { c.Namespace = kubeSystem }), want: UnmovableKubeSystemPod},
		"a system pod with a budget":                {class: with(func(c *nodepool.Class) { c.Namespace = kubeSystem }), budgets: budget(1)},
		"a budget with room":                        {class: replicated, budgets: budget(1)},
		"a budget without room":                     {class: replicated, budgets: budget(0), want: NotEnoughPdb},
		"a budget without room for a pod that safe": {class: with(func(c *nodepool.Class) { c.SafeToEvict = "true" }), budgets: budget(0), want: NotEnoughPdb},
		"a budget whose status is old":              {class: replicated, budgets: map[string]nodepool.Budget{"shop/b": {Allowed: 5}}, want: NotEnoughPdb},
		"two budgets":                               {class: replicated, budgets: map[string]nodepool.Budget{"shop/a": {Allowed: 5, Current: true}, "shop/b": {Allowed: 5, Current: true}}, want: NotEnoughPdb},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := &nodepool.Snapshot{
				Classes: map[string]nodepool.Class{"c": c.class}, Budgets: c.budgets,
				Pods: map[string]nodepool.Pod{"shop/p": {Class: "c", Budgets: nodepool.Names(c.budgets)}},
			}
			got := ""
			if h := holdOf(s, "shop/p"); h != nil {
				got = h.Reason
			}
			if got != c.want {
				t.Errorf("holdOf() = %q, want %q", got, c.want)
			}
		})
	}
}

func TestDisruptable(t *testing.T) {
	cases := map[string]struct {
		budgets []nodepool.Disruption
		size    int
		want    int
	}{
		"none set, a small pool":  {size: 3, want: 1},
		"none set, a large pool":  {size: 57, want: 5},
		"a number":                {budgets: []nodepool.Disruption{{Nodes: ptr.To[int32](3)}}, size: 10, want: 3},
		"a percentage, down":      {budgets: []nodepool.Disruption{{Percent: ptr.To[int32](25)}}, size: 7, want: 1},
		"the lesser of both":      {budgets: []nodepool.Disruption{{Nodes: ptr.To[int32](3), Percent: ptr.To[int32](50)}}, size: 4, want: 2},
		"the least of several":    {budgets: []nodepool.Disruption{{Nodes: ptr.To[int32](3)}, {Nodes: ptr.To[int32](0)}}, size: 10, want: 0},
		"never more than it has":  {budgets: []nodepool.Disruption{{Nodes: ptr.To[int32](30)}}, size: 10, want: 10},
		"none set, no nodes left": {size: 0, want: 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := disruptable(nodepool.Pool{Disruption: c.budgets}, c.size); got != c.want {
				t.Errorf("disruptable() = %d, want %d", got, c.want)
			}
		})
	}
}

func TestPercent(t *testing.T) {
	for _, c := range []struct{ used, offered int64 }{{1, 0}, {-1, 10}, {1 << 62, 1}, {1, 1 << 62}} {
		if got := percent(c.used, c.offered); got < 0 || got > 100_000 {
			t.Errorf("percent(%d, %d) = %d", c.used, c.offered, got)
		}
	}
	if got := percent(1500, 2000); got != 75 {
		t.Errorf("percent(1500, 2000) = %d, want 75", got)
	}
	if got := percent(1, 2); got != 50 {
		t.Errorf("percent(1, 2) = %d, want 50", got)
	}
}
