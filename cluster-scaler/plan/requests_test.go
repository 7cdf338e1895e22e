package plan_test

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/plan"
)

// waiting gives a cluster whose pool has just been asked for a node.
func waiting(t *testing.T) (*cluster, string) {
	c := newCluster(t)
	c.addPool("p", nodepool.Pool{Max: 3, Template: nodepool.Template{Capacity: capacity("2", "8Gi")}}, 0)
	c.setWorkload("web", 1, 0, nodepool.Class{Requests: corev1.ResourceList{"cpu": resource.MustParse("1")}})
	d := c.step(time.Second)
	if len(d.Actions.Request) != 1 || len(d.Actions.Create) != 1 || d.Actions.Request[0].Add[0] != d.Actions.Create[0].Request {
		t.Fatalf("a pod that waits leads to %s", encode(t, d.Actions))
	}
	return c, d.Actions.Create[0].Request.Name
}

// TestRequestsUnderWayAreLeftAlone wants a node that boots to be asked for once.
func TestRequestsUnderWayAreLeftAlone(t *testing.T) {
	c, _ := waiting(t)
	for range 10 {
		if d := c.step(time.Second); d.Act {
			t.Fatalf("acts while the node boots: %s", encode(t, d.Actions))
		}
	}
}

// TestRequestsArePassedOnAgain wants a process that finds a request it did not
// make to ask for the same node, and for no other.
func TestRequestsArePassedOnAgain(t *testing.T) {
	c, name := waiting(t)
	c.state = plan.State{}
	p := c.s.Pools["p"]
	p.Accepted = nil
	c.s.Pools["p"] = p
	d := plan.Decide(c.s, c.state)
	if len(d.Actions.Request) > 0 || len(d.Actions.Create) != 1 || d.Actions.Create[0].Request.Name != name {
		t.Errorf("after a restart: %s, want %s once more", encode(t, d.Actions), name)
	}
}

// TestNamesAreNeverReused wants a pool that was made anew to leave out the names
// of nodes that are still there.
func TestNamesAreNeverReused(t *testing.T) {
	c, name := waiting(t)
	c.register("p", c.s.Pools["p"], nodepool.Request{Name: name})
	c.setWorkload("web", 5, 0, c.s.Classes["web"])
	p := c.s.Pools["p"]
	p.Sequence, p.Requested = 0, nil
	c.s.Pools["p"] = p
	d := c.step(time.Second)
	for _, r := range d.Actions.Create {
		if r.Request.Name == name {
			t.Errorf("the name of a node that is there is used again: %s", encode(t, d.Actions))
		}
	}
	if len(d.Actions.Create) != 2 {
		t.Errorf("3 pods lead to %s, want 2 nodes", encode(t, d.Actions))
	}
}

// TestOtherScalersNodes wants a pool with a node that another scaler removes to
// be left alone, and others not.
func TestOtherScalersNodes(t *testing.T) {
	c, _ := waiting(t)
	c.addPool("theirs", nodepool.Pool{Max: 3, Template: nodepool.Template{Capacity: capacity("4", "8Gi")}}, 1)
	n := c.s.Nodes["theirs-1"]
	n.Taints = []corev1.Taint{{Key: nodepool.RivalTaint, Effect: corev1.TaintEffectNoSchedule}}
	c.s.Nodes["theirs-1"] = n
	c.setWorkload("web", 4, 0, c.s.Classes["web"])
	d := c.step(time.Second)
	if slices.ContainsFunc(d.Actions.Create, func(r plan.Creation) bool { return r.Pool == "theirs" }) || len(d.Actions.Create) == 0 {
		t.Errorf("nodes are asked of %s", encode(t, d.Actions.Create))
	}
	if ready := d.Pools["theirs"].Conditions[0]; ready.Reason != "OtherScalerActs" {
		t.Errorf("the condition is %v", ready)
	}
}

// TestRecommendActsOnNothing wants the binary's mode Recommend to do nothing, not
// even to a drain that was begun before.
func TestRecommendActsOnNothing(t *testing.T) {
	c, _ := waiting(t)
	c.addPool("q", nodepool.Pool{Max: 3, Template: nodepool.Template{Capacity: capacity("4", "8Gi")}}, 2)
	n := c.s.Nodes["q-1"]
	n.Taints = []corev1.Taint{{Key: nodepool.DrainTaint, Value: nodepool.DrainValue(c.s.Now), Effect: corev1.TaintEffectNoSchedule}}
	c.s.Nodes["q-1"] = n
	c.s.Mode = nodepool.ModeRecommend
	for range 20 {
		if d := c.step(time.Minute); d.Act || encode(t, d.Actions) != "{}" {
			t.Fatalf("acts: %s", encode(t, d.Actions))
		}
	}
}
