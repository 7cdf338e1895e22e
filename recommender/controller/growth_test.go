package controller

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// entries counts what is kept, place by place.
func (c *crowd) entries() map[string]int {
	n := map[string]int{}
	for _, space := range c.pods.spaces {
		n["pods"] += len(space.pods)
		n["groups of pods"] += len(space.groups)
		n["labels"] += len(space.byLabel)
		for _, g := range space.groups {
			n["pods in groups"] += len(g.pods)
		}
	}
	n["units"] = len(c.passes.units)
	for _, unit := range c.passes.units {
		state := c.passes.loop.State(unit)
		n["containers learned"] += len(state.Learned)
		n["containers unsaved"] += len(state.Unsaved)
		for _, windows := range state.Windows {
			n["windows"] += len(windows)
		}
		for _, l := range state.Learned {
			n["buckets"] = max(n["buckets"], len(l.CPU.Weights), len(l.Memory.Weights))
		}
	}
	for _, objects := range c.passes.histories.checkpoints.objects {
		n["checkpoints"] += len(objects)
	}
	n["objects served"] = len(c.passes.histories.served)
	n["farewells"] = len(c.passes.histories.last)
	n["writes that wait"] = c.passes.histories.queue.count() + c.passes.bounds.queue.count()
	n["bounds"] = len(c.passes.bounds.latest)
	n["changed"] = len(c.passes.changed) + len(c.passes.killed)
	n["decisions shown"] = len(c.publisher.store.List(""))
	n["objects counted"] = len(c.publisher.metrics.known)
	return n
}

// TestAWeekGrowsNothing rolls all pods between two passes for a week, with labels of
// their own as those of a StatefulSet have, and replaces an object each hour: what is
// kept after the week is what was kept after the first day.
func TestAWeekGrowsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := size{objects: 10, pods: 4, containers: 2}
		c := newCrowd(t, s)
		targets := c.passes.targets.watched[wellKnown[schema.GroupKind{Group: "apps", Kind: "Deployment"}]]
		oldest, newest := 0, s.objects
		var day map[string]int
		const perHour = 2
		for i := range 7 * 24 * perHour {
			time.Sleep(time.Hour / perHour)
			c.now = time.Now()
			for _, space := range c.pods.spaces {
				for _, pod := range space.pods {
					if err := c.pods.Delete(pod); err != nil {
						t.Fatal(err)
					}
				}
			}
			if i%perHour == 0 {
				key := types.NamespacedName{Namespace: fmt.Sprintf("team-%d", oldest/100), Name: fmt.Sprintf("app-%d", oldest)}
				if err := c.vpas.informer.GetIndexer().Delete(c.vpas.any(key.Namespace, key.Name)); err != nil {
					t.Fatal(err)
				}
				delete(targets.records, key)
				c.populate(targets, newest)
				oldest, newest = oldest+1, newest+1
			}
			for object := oldest; object < newest; object++ {
				for range s.pods {
					name := fmt.Sprintf("app-%d", object)
					c.start(fmt.Sprintf("team-%d", object/100), labels.Set{"app": name, "pod-name": fmt.Sprint(c.rolled)})
				}
			}
			c.passes.pass(quiet(), quiet(), c.passes.all())
			drain(quiet(), c.passes.histories.queue)
			drain(quiet(), c.passes.bounds.queue)
			if i == 24*perHour-1 {
				day = c.entries()
			}
		}
		week := c.entries()
		// The spread of usage grows with what was seen of it, up to all buckets.
		for _, n := range []map[string]int{day, week} {
			if n["buckets"] > 176 {
				t.Errorf("a histogram has %d buckets", n["buckets"])
			}
			delete(n, "buckets")
		}
		if diff := cmp.Diff(day, week); diff != "" {
			t.Errorf("kept after a day and after a week (-day +week):\n%s", diff)
		}
		if week["windows"] != s.objects*s.pods*s.containers {
			t.Errorf("%d windows of %d containers", week["windows"], s.objects*s.pods*s.containers)
		}
	})
}
