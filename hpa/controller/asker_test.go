package controller

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
)

// upstreamRequests is what upstream asks in a turn on a Deployment with one metric:
// its scale, and the metric.
const upstreamRequests = 2

// TestRequestsAreATenthOfUpstreams counts requests of 200 objects whose turns are
// spread over the period, once nothing changes any more.
func TestRequestsAreATenthOfUpstreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all, namespaces = 200, 4
		f := newFleet(t)
		f.run(t)
		for i := range all {
			objects := target(fmt.Sprintf("team-%d", i%namespaces), fmt.Sprintf("web-%03d", i), 5, cpuMetric())
			slices.Reverse(objects) // the pods first
			for _, o := range objects {
				if err := f.client.Tracker().Add(o); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			time.Sleep(15 * time.Second / all)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		requests, turns := f.requests(), f.turned()
		time.Sleep(150 * time.Second)
		synctest.Wait()
		requests, turns = f.requests()-requests, f.turned()-turns
		if turns < 9*all {
			t.Fatalf("%d turns", turns)
		}
		each := float64(requests) / float64(turns)
		t.Logf("%d requests in %d turns: %.3f of upstream's", requests, turns, each/upstreamRequests)
		if each > 0.1*upstreamRequests {
			t.Errorf("%.3f requests in a turn, want at most a tenth of upstream's %d", each, upstreamRequests)
		}
		for name, d := range f.last {
			if d.Reason != replicas.ReasonHold || d.Proposals[0].Replicas != 5 {
				t.Errorf("%s: %s, %+v", name, d.Message, d.Proposals)
			}
		}
	})
}

// TestANamespacesListGivesWhatSelectorsDo compares what objects get of one list with
// what each would get by its selector.
func TestANamespacesListGivesWhatSelectorsDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var objects []runtime.Object
		for i := range 3 {
			objects = append(objects, target("shop", fmt.Sprintf("web-%d", i), i, cpuMetric())...)
		}
		f := newFleet(t, objects...)
		f.run(t)
		ask := func(a *asker, name string) replicas.Samples {
			selector := labels.SelectorFromSet(labels.Set{"app": name})
			pods, err := f.c.c.pods.Matching("shop", selector)
			if err != nil {
				t.Fatal(err)
			}
			p := a.ask(question{
				namespace: "shop", metric: replicas.Metric{Type: replicas.Resource, Name: replicas.CPU},
				selector: selector, text: selector.String(), pods: pods,
			})
			<-p.done
			s, _ := p.read()
			return s
		}
		shared := newAsker(f, 15*time.Second, f.c.c.publisher.metrics.asked)
		ask(shared, "web-0")
		ask(shared, "web-1")
		before := f.asked["usage shop"]
		for i := range 3 {
			name := fmt.Sprintf("web-%d", i)
			got, want := ask(shared, name), ask(newAsker(f, 15*time.Second, f.c.c.publisher.metrics.asked), name)
			if got.Error != want.Error || len(got.Pods) != len(want.Pods) || (i > 0 && got.Pods[name+"-0"].Value != 500) {
				t.Errorf("%s: got %+v, want %+v", name, got, want)
			}
		}
		// One of each by selector: the shared list was there.
		if got := f.asked["usage shop"] - before; got != 3 {
			t.Errorf("%d lists were asked for, want 3", got)
		}
	})
}

func TestTheSameQuestionIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		a := newAsker(f, 15*time.Second, f.c.c.publisher.metrics.asked)
		ask := func(namespace string, m replicas.Metric) {
			<-a.ask(question{namespace: namespace, metric: m, text: "app=web"}).done
		}
		depth := replicas.Metric{Type: replicas.External, Name: "depth"}
		ask("shop", depth)
		ask("shop", depth)
		if f.asked["depth"] != 1 {
			t.Errorf("asked %d times, want once", f.asked["depth"])
		}
		ask("other", depth)
		if f.asked["depth"] != 2 {
			t.Errorf("another namespace's metric of the name is another: asked %d times", f.asked["depth"])
		}
		a.changed("shop", "depth")
		ask("shop", depth)
		ask("other", depth)
		if f.asked["depth"] != 3 {
			t.Errorf("a metric that changed is asked again, and no other: asked %d times", f.asked["depth"])
		}
		time.Sleep(metricAge)
		synctest.Wait()
		ask("shop", depth)
		if f.asked["depth"] != 4 {
			t.Errorf("an answer is handed out for %s: asked %d times", metricAge, f.asked["depth"])
		}
	})
}

// TestAListOfWhichLittleIsOfUse has two objects with few pods in a namespace of many.
func TestAListOfWhichLittleIsOfUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowds(15 * time.Second)
		if c.whole("shop", "app=a") || !c.whole("shop", "app=b") || !c.whole("shop", "app=a") {
			t.Error("two objects that ask at the same time are served by one list")
		}
		u := newUsages(nil, nil, true)
		u.items = append(u.items, make([]metricsapi.PodMetrics, 1000)...)
		u.looked.Store(10)
		c.used("shop", u)
		if c.whole("shop", "app=b") {
			t.Error("a list of which a hundredth is of use is asked for again")
		}
		time.Sleep(sparsePeriods * 15 * time.Second)
		c.whole("shop", "app=b")
		if !c.whole("shop", "app=a") {
			t.Error("the list is not tried again")
		}
		time.Sleep(idlePeriods*15*time.Second + time.Second)
		once, again := c.whole("shop", "app=b"), c.whole("shop", "app=b")
		if once || again {
			t.Error("an object alone is asked for by its selector")
		}
	})
}
