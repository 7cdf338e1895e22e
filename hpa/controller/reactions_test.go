package controller

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/internal/metricchanges/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

// news is an adapter's stream that a test plays.
type news struct {
	mu      sync.Mutex
	away    bool
	watcher *watch.FakeWatcher
	version int
}

func (n *news) Watch(context.Context, metav1.ListOptions) (watch.Interface, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.away {
		return nil, context.DeadlineExceeded
	}
	n.watcher = watch.NewFakeWithChanSize(1000, false)
	return n.watcher, nil
}

func (n *news) tell(namespace, metric string, value int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.version++
	c := &v1alpha1.MetricChange{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: metric, ResourceVersion: strconv.Itoa(n.version),
	}}
	c.Value = resource.NewQuantity(value, resource.DecimalSI)
	n.watcher.Modify(c)
}

func (n *news) reactions(c *controller) *reactions {
	return &reactions{
		watcher: n, objects: c.objects, clock: clock.RealClock{},
		due: map[object]time.Time{}, hold: map[object]time.Time{},
	}
}

func startReacting(t *testing.T, n *news, hpa *autoscalingv2.HorizontalPodAutoscaler) *bench {
	t.Helper()
	return startOn(t, runtimeflags.ModeAuto, fake.NewClientset(hpa), func(c *controller) { c.reactions = n.reactions(c) })
}

func (b *bench) queries() int {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

func TestAChangeOfAMetricIsDecidedOnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &news{}
		b := startReacting(t, n, webHPA())
		before := b.queries()
		b.set(70000)
		n.tell("shop", "depth", 70)
		if got := b.queries() - before; got != 1 || len(b.writes) != 1 || b.writes[0] != 4 {
			t.Fatalf("%d turns, writes %v; want one turn and a write of 4 at once", got, b.writes)
		}
		// What is not this object's asks for nothing.
		n.tell("other", "depth", 1)
		n.tell("shop", "rate", 1)
		if got := b.queries() - before; got != 1 {
			t.Errorf("%d turns for changes that are not the object's", got-1)
		}
	})
}

func TestChangesThatComeTooSoonShareATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &news{}
		b := startReacting(t, n, webHPA())
		b.set(20000)
		time.Sleep(15 * time.Second)
		before := b.queries()
		for i := range 100 {
			n.tell("", "depth", int64(1000+i)) // of a shared source: all namespaces
			time.Sleep(50 * time.Millisecond)
		}
		// One at once, then one a second; the last is after the last change.
		time.Sleep(time.Second)
		if got := b.queries() - before; got < 6 || got > 7 {
			t.Errorf("%d turns in 6 s of changes, want one a second", got)
		}
		before = b.queries()
		time.Sleep(30 * time.Second)
		if got := b.queries() - before; got != 2 {
			t.Errorf("%d turns in two quiet sync periods, want 2", got)
		}
	})
}

// TestReactionsTakeNoStepSooner: without spec.behavior a step at most doubles the
// count, and a turn is a step: so reactions must not take the next one sooner than
// the sync period does.
func TestReactionsTakeNoStepSooner(t *testing.T) {
	for name, test := range map[string]struct {
		behavior *autoscalingv2.HorizontalPodAutoscalerBehavior
		want     []int32 // within the 10 s after the first change
	}{
		"without behavior": {nil, []int32{4}},
		"with a policy by time": {&autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: &autoscalingv2.HPAScalingRules{
			Policies: []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PodsScalingPolicy, Value: 1, PeriodSeconds: 4}},
		}}, []int32{3, 4, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &news{}
				hpa := webHPA()
				hpa.Spec.Behavior = test.behavior
				b := startReacting(t, n, hpa)
				b.set(1_000_000)
				for i := range 100 {
					n.tell("shop", "depth", int64(1000+i))
					time.Sleep(100 * time.Millisecond)
				}
				synctest.Wait()
				if len(b.writes) != len(test.want) || b.writes[len(b.writes)-1] != test.want[len(test.want)-1] {
					t.Errorf("writes %v, want %v", b.writes, test.want)
				}
				time.Sleep(16 * time.Second)
				synctest.Wait()
				if len(b.writes) <= len(test.want) {
					t.Errorf("writes %v: nothing more after a sync period", b.writes)
				}
			})
		})
	}
}

// A turn that was brought forward leaves that of the sync period where it was: it
// must not take a second step a moment after the first.
func TestTheSyncPeriodTakesNoStepSoonerAfterAReaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &news{}
		b := startReacting(t, n, webHPA())
		time.Sleep(12 * time.Second)
		synctest.Wait()
		before := len(b.writes)
		b.set(1_000_000)
		n.tell("shop", "depth", 1_000_000)
		time.Sleep(14 * time.Second)
		synctest.Wait()
		if got := len(b.writes) - before; got != 1 {
			t.Errorf("%d steps within a sync period: %v, want 1", got, b.writes)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := len(b.writes) - before; got != 2 {
			t.Errorf("%d steps after a sync period: %v, want 2", got, b.writes)
		}
	})
}

func TestWithoutTheStreamTheSyncPeriodGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &news{away: true}
		b := startReacting(t, n, webHPA())
		detail := func() string {
			text, err := b.c.reactions.check().Func(t.Context())
			if err != nil {
				t.Errorf("not ready: %v", err)
			}
			return text
		}
		before := b.queries()
		time.Sleep(time.Minute)
		if got := b.queries() - before; got != 4 {
			t.Errorf("%d turns in four sync periods", got)
		}
		if got := detail(); !strings.HasPrefix(got, "not followed: objects are decided on by the sync period: ") {
			t.Errorf("detail %q", got)
		}
		n.mu.Lock()
		n.away = false
		n.mu.Unlock()
		time.Sleep(25 * time.Second)
		if got := detail(); got != "followed" {
			t.Errorf("detail %q", got)
		}
		b.set(70000)
		n.tell("shop", "depth", 70)
		synctest.Wait()
		if len(b.writes) != 1 {
			t.Errorf("writes %v after the stream came back", b.writes)
		}
	})
}

func TestReactionsSwitchedOff(t *testing.T) {
	o := NewOptions()
	o.ReactToMetricChanges = false
	r, err := newReactions(nil, nil, o)
	if err != nil || r != nil {
		t.Fatalf("newReactions() = %v, %v", r, err)
	}
	if text, err := r.check().Func(t.Context()); err != nil || text != "not followed: switched off" {
		t.Errorf("detail %q, %v", text, err)
	}
}
