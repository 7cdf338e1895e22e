package follow

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/internal/metricchanges/v1alpha1"
)

// adapter is a server of watches that a test plays.
type adapter struct {
	mu      sync.Mutex
	refuse  error
	began   []string // versions
	at      []time.Time
	current *watch.FakeWatcher
	told    []string
	logged  []bool
}

func (a *adapter) Watch(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.began, a.at = append(a.began, o.ResourceVersion), append(a.at, time.Now())
	if a.refuse != nil {
		return nil, a.refuse
	}
	a.current = watch.NewFakeWithChanSize(100, false)
	return a.current, nil
}

// watch is the one under way.
func (a *adapter) watch() *watch.FakeWatcher {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.current
}

func (a *adapter) changed(namespace, metric string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told = append(a.told, namespace+"/"+metric)
}

// take gives what was told since the last take, once all is quiet.
func (a *adapter) take() []string {
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	told := a.told
	a.told = nil
	return told
}

func (a *adapter) set(refuse error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refuse = refuse
}

func (a *adapter) watches() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.began)
}

func change(version, name string, v int64) *v1alpha1.MetricChange {
	c := &v1alpha1.MetricChange{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, ResourceVersion: version}}
	c.Value = resource.NewQuantity(v, resource.DecimalSI)
	return c
}

func start(t *testing.T, a *adapter) *Follower {
	t.Helper()
	f := New(Config{Watcher: a, Changed: a.changed, Clock: clock.RealClock{}, Log: func(why error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.logged = append(a.logged, why == nil)
	}})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	synctest.Wait()
	return f
}

func TestNewsIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &adapter{}
		f := start(t, a)
		a.watch().Add(change("5", "depth", 1))
		a.watch().Modify(change("6", "depth", 2))
		a.watch().Modify(change("7", "depth", 2))
		a.watch().Delete(change("8", "depth", 2))
		if diff := cmp.Diff([]string{"shop/depth", "shop/depth", "shop/depth"}, a.take()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		if hearing, why := f.Hearing(); !hearing || why != nil {
			t.Errorf("Hearing() = %t, %v", hearing, why)
		}
	})
}

func TestAWatchGoesOnWhereItEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &adapter{}
		f := start(t, a)
		a.watch().Add(change("5", "depth", 1))
		a.watch().Add(change("6", "rate", 1))
		a.take()
		time.Sleep(time.Minute)
		a.watch().Stop() // as servers do
		synctest.Wait()
		if hearing, _ := f.Hearing(); !hearing {
			t.Error("a watch that went on at once counts as not heard")
		}
		// Too old: anew, and only what differs is told.
		a.watch().Error(&apierrors.NewResourceExpired("too old").ErrStatus)
		time.Sleep(time.Second)
		a.watch().Add(change("90", "depth", 1))
		a.watch().Add(change("91", "rate", 3))
		if diff := cmp.Diff([]string{"shop/rate"}, a.take()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"", "6", ""}, a.watches()); diff != "" {
			t.Errorf("watches were begun from (-want +got):\n%s", diff)
		}
	})
}

func TestAnAdapterThatIsAwayIsTriedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &adapter{refuse: apierrors.NewServiceUnavailable("nobody is there")}
		f := start(t, a)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := len(a.watches()); n < 15 || n > 40 {
			t.Errorf("%d tries in 5 minutes", n)
		}
		if hearing, why := f.Hearing(); hearing || !apierrors.IsServiceUnavailable(why) {
			t.Errorf("Hearing() = %t, %v", hearing, why)
		}
		if diff := cmp.Diff([]bool{false}, a.logged); diff != "" {
			t.Errorf("logged (-want +got):\n%s", diff)
		}
		a.set(nil)
		time.Sleep(25 * time.Second)
		a.watch().Add(change("5", "depth", 1))
		if told := a.take(); len(told) != 1 {
			t.Errorf("told %v after the adapter came back", told)
		}
		if diff := cmp.Diff([]bool{false, true}, a.logged); diff != "" {
			t.Errorf("logged (-want +got):\n%s", diff)
		}
	})
}

func TestASilentWatchIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &adapter{}
		start(t, a)
		mark := &v1alpha1.MetricChange{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "77"}}
		for range 10 {
			time.Sleep(30 * time.Second)
			a.watch().Action(watch.Bookmark, mark)
		}
		synctest.Wait()
		if n := len(a.watches()); n != 1 {
			t.Errorf("%d watches, and the first was told how far it has come", n)
		}
		time.Sleep(silence + 2*time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]string{"", "77"}, a.watches()); diff != "" {
			t.Errorf("watches were begun from (-want +got):\n%s", diff)
		}
	})
}

func TestWatchesThatEndAtOnceAreNotBegunInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &adapter{}
		f := start(t, a)
		end := func() {
			a.mu.Lock()
			current := a.current
			a.mu.Unlock()
			current.Stop()
		}
		for range 60 {
			end()
			time.Sleep(time.Second)
		}
		// Or the last pause ended just now and a watch goes on.
		end()
		synctest.Wait()
		if n := len(a.watches()); n > 15 {
			t.Errorf("%d watches in a minute that all ended at once", n)
		}
		if _, why := f.Hearing(); why == nil || errors.Is(why, context.Canceled) {
			t.Errorf("the reason is %v", why)
		}
	})
}
