package plan_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/plan"
)

// awayFrom keeps the pods of a workload on nodes of their own.
func awayFrom(name string) *corev1.Affinity {
	return &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
		}},
	}}
}

// random gives a cluster with pools and workloads of all kinds.
func random(t testing.TB, r *rand.Rand) *cluster {
	c := newCluster(t)
	for i := range 1 + r.IntN(3) {
		p := nodepool.Pool{Min: r.Int32N(3), Template: nodepool.Template{Capacity: capacity(fmt.Sprint(1+r.IntN(4)), "8Gi")}}
		p.Max = p.Min + r.Int32N(5)
		if r.IntN(3) == 0 {
			p.Template.Zones = []string{"a", "b"}
		}
		c.addPool(fmt.Sprintf("p%d", i), p, int(p.Min)+r.IntN(1+int(p.Max-p.Min)))
	}
	c.change(r)
	return c
}

// change scales workloads at random.
func (c *cluster) change(r *rand.Rand) {
	for i := range 1 + r.IntN(3) {
		name := fmt.Sprintf("w%d", i)
		pods := r.IntN(8)
		class := nodepool.Class{Requests: corev1.ResourceList{"cpu": *resource.NewMilliQuantity(100*(1+r.Int64N(15)), resource.DecimalSI)}}
		switch r.IntN(5) {
		case 0:
			class.Affinity = awayFrom(name)
		case 1:
			class.Selector = map[string]string{corev1.LabelTopologyZone: "a"}
		case 2:
			class.SafeToEvict = "false"
		}
		desired := 0
		if pods > 0 && r.IntN(2) == 0 {
			desired = 1 + r.IntN(pods)
		}
		if old, ok := c.owners[name]; ok {
			// Pods keep what they were made with.
			desired = min(old.desired, pods)
			class = c.s.Classes[name]
		}
		c.setWorkload(name, pods, desired, class)
	}
}

// TestProperties runs random clusters, with a process that dies between two
// actions now and then, and wants of every plan: never over max, never under min by a drain, no
// broken budget and no pod deleted with its node (the simulation sees to these),
// nothing changed that was handed in, and the same bytes again from a ledger. In
// the end nothing is under way, no taint is left over, and no pod waits that a
// pool could help.
func TestProperties(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			c := random(t, r)
			for i := range 90 {
				if i < 40 && r.IntN(10) == 0 {
					c.change(r)
				}
				if i < 60 && r.IntN(4) == 0 {
					c.lives = r.IntN(6)
				}
				c.s.Now = c.s.Now.Add(20 * time.Second)
				c.settle()
				before, memory := encode(t, c.s), encode(t, c.state)
				d := plan.Decide(c.s, c.state)
				if again := again(t, c.s, c.state); again != encode(t, d) {
					t.Fatalf("a replay differs:\n%s", cmp.Diff(encode(t, d), again))
				}
				if before != encode(t, c.s) || memory != encode(t, c.state) {
					t.Fatal("the input changed")
				}
				c.bounds(d)
				c.turn()
			}
			c.calm()
		})
	}
}

// bounds checks the sizes that a plan leads to.
func (c *cluster) bounds(d plan.Decision) {
	c.t.Helper()
	for name, p := range c.s.Pools {
		registered, after := 0, 0
		for node, n := range c.s.Nodes {
			if n.Pool != name {
				continue
			}
			registered++
			if _, draining := n.Draining(); !draining {
				after++
			}
			for _, a := range d.Actions.Taint {
				if a.Node == node {
					after--
				}
			}
		}
		for _, a := range d.Actions.Undo {
			if a.Pool == name {
				after++
			}
		}
		way := 0
		for _, r := range p.Requested {
			if _, up := c.s.Nodes[r.Name]; !up {
				way++
			}
		}
		for _, r := range d.Actions.Request {
			if r.Pool == name {
				way += len(r.Add)
			}
		}
		if total := registered + way; total > int(p.Max) {
			c.t.Fatalf("pool %s gets %d nodes, max is %d", name, total, p.Max)
		}
		if after+way < int(p.Min) {
			c.t.Fatalf("pool %s falls to %d nodes, min is %d: %s", name, after+way, p.Min, encode(c.t, d.Actions))
		}
	}
}

// calm wants a cluster that nothing changes any more to have come to rest.
func (c *cluster) calm() {
	c.t.Helper()
	c.settle()
	d := plan.Decide(c.s, c.state)
	for name, p := range c.s.Pools {
		if len(p.Requested) > 0 {
			c.t.Errorf("pool %s still waits for %v", name, p.Requested)
		}
	}
	for name, n := range c.s.Nodes {
		if _, draining := n.Draining(); draining && d.Nodes[name].PodsLeft == 0 {
			c.t.Errorf("node %s is drained and there", name)
		}
	}
	for key, v := range d.Pods {
		if v.Reason != plan.NoScaleUp {
			c.t.Errorf("pod %s still waits: %s %s", key, v.Reason, v.Message)
		}
	}
	if len(d.Actions.Request)+len(d.Actions.Create) > 0 {
		c.t.Errorf("a cluster at rest asks for nodes: %s", encode(c.t, d.Actions))
	}
}

// TestNothingChangesNothingIsDone wants two passes over a steady cluster to act
// on nothing.
func TestNothingChangesNothingIsDone(t *testing.T) {
	c := newCluster(t)
	c.addPool("p", nodepool.Pool{Min: 2, Max: 5, Template: nodepool.Template{Capacity: capacity("2", "8Gi")}}, 2)
	c.setWorkload("web", 3, 0, nodepool.Class{Requests: corev1.ResourceList{"cpu": resource.MustParse("1")}})
	for range 100 {
		if d := c.step(10 * time.Second); d.Act {
			t.Fatalf("acts at %s: %s", d.At, encode(t, d.Actions))
		}
	}
}

// FuzzDecide decides on random clusters with arbitrary JSON over them: nothing
// panics, nothing that was handed in changes, and a replay gives the same bytes.
func FuzzDecide(f *testing.F) {
	for seed := range uint64(10) {
		f.Add(seed, []byte(nil))
	}
	f.Add(uint64(1), []byte(`{"nodes":{"n":{"pool":"p0","ready":true,"taints":[{"key":"autoscaling.quartet.dev/drain","value":"x"}]}},"pools":{"p0":{"min":-1,"max":3,"mode":"Auto","served":true,"requested":[{"name":"n"},{"name":"n"}]}}}`))
	f.Fuzz(func(t *testing.T, seed uint64, patch []byte) {
		r := rand.New(rand.NewPCG(seed, 9))
		c := random(t, r)
		for range r.IntN(6) {
			c.step(30 * time.Second)
		}
		_ = json.Unmarshal(patch, &c.s) // what does not fit is left out
		c.s.Now = c.s.Now.UTC().Round(0)
		raw, err := json.Marshal(c.s)
		if err != nil {
			t.Skip("has no form as JSON")
		}
		d := plan.Decide(c.s, c.state)
		if string(raw) != encode(t, c.s) {
			t.Error("the snapshot changed")
		}
		if diff := cmp.Diff(encode(t, d), again(t, c.s, c.state)); diff != "" {
			t.Errorf("a replay differs:\n%s", diff)
		}
	})
}
