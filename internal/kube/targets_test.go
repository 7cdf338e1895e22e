package kube

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	scalefake "k8s.io/client-go/scale/fake"
	clienttesting "k8s.io/client-go/testing"
)

var web = Ref{Namespace: "shop", APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}

// stand is a Deployment, what its cache shows of it, and what the API server has.
type stand struct {
	t       *testing.T
	client  *fake.Clientset
	targets *Targets

	mu      sync.Mutex
	version int
	count   int32
	reads   int
	refuse  error
	gone    bool
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{t: t, version: 1, count: 3, client: fake.NewClientset()}
	scales := &scalefake.FakeScaleClient{}
	scales.AddReactor("get", "deployments", func(clienttesting.Action) (bool, runtime.Object, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reads++
		if s.gone {
			return true, nil, apierrors.NewNotFound(appsv1.Resource("deployments"), "web")
		}
		return true, scaleOf(s.count, strconv.Itoa(s.version)), nil
	})
	scales.AddReactor("update", "deployments", func(a clienttesting.Action) (bool, runtime.Object, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		wanted, _ := a.(clienttesting.UpdateAction).GetObject().(*autoscalingv1.Scale)
		switch {
		case s.gone:
			return true, nil, apierrors.NewNotFound(appsv1.Resource("deployments"), "web")
		case s.refuse != nil:
			return true, nil, s.refuse
		case wanted.ResourceVersion != strconv.Itoa(s.version):
			return true, nil, apierrors.NewConflict(appsv1.Resource("deployments"), "web", errors.New("changed"))
		}
		s.version++
		s.count = wanted.Spec.Replicas
		return true, scaleOf(s.count, strconv.Itoa(s.version)), nil
	})
	var err error
	if s.targets, err = NewTargets(s.client, ScalesFor(scales, mapper())); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.targets.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	s.show()
	return s
}

// show has the cache catch up.
func (s *stand) show() {
	s.t.Helper()
	s.mu.Lock()
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", ResourceVersion: strconv.Itoa(s.version)},
		Spec:       appsv1.DeploymentSpec{Replicas: &s.count},
	}
	d = d.DeepCopy()
	s.mu.Unlock()
	tracker := s.client.Tracker()
	err := tracker.Update(appsv1.SchemeGroupVersion.WithResource("deployments"), d, "shop")
	if apierrors.IsNotFound(err) {
		err = tracker.Create(appsv1.SchemeGroupVersion.WithResource("deployments"), d, "shop")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	// An informer that begins looks at what there is a moment later.
	time.Sleep(time.Second)
	synctest.Wait()
	if !s.targets.Synced() {
		s.t.Fatal("the caches did not fill")
	}
}

// read gets the scale and tells by how many requests.
func (s *stand) read() (Scale, int) {
	s.t.Helper()
	s.mu.Lock()
	before := s.reads
	s.mu.Unlock()
	scale, err := s.targets.Get(s.t.Context(), web)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return scale, s.reads - before
}

func (s *stand) want(why string, count int32, requests int) Scale {
	s.t.Helper()
	scale, n := s.read()
	if scale.Spec.Replicas != count || n != requests {
		s.t.Errorf("%s: read %d with %d requests, want %d with %d", why, scale.Spec.Replicas, n, count, requests)
	}
	return scale
}

func TestTargetsReadAfterAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		read := s.want("cached", 3, 0)
		if err := s.targets.Set(t.Context(), read, 7, "test"); err != nil {
			t.Fatal(err)
		}
		s.want("the cache lags", 7, 1)
		s.want("the cache lags", 7, 1)
		s.show()
		s.want("the cache has caught up", 7, 0)
	})
}

// A target that another has written is read until the cache may be trusted.
func TestTargetsDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		s.targets.Doubt(web)
		s.mu.Lock()
		s.count, s.version = 5, 2
		s.mu.Unlock()
		s.want("the cache lags", 5, 1)
		s.show()
		time.Sleep(distrust)
		s.want("after a while", 5, 0)
	})
}

func TestTargetsTrustTheCacheAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		s.refuse = errors.New("the quota is used up")
		if err := s.targets.Set(t.Context(), s.want("cached", 3, 0), 7, "test"); err == nil || errors.Is(err, ErrMoved) {
			t.Errorf("a refused write gives %v", err)
		}
		s.want("what came of the write is not known", 3, 1)
		time.Sleep(distrust)
		s.want("the cache would show it by now", 3, 0)
	})
}

func TestTargetsThatMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		read := s.want("cached", 3, 0)
		s.version++
		if err := s.targets.Set(t.Context(), read, 4, "test"); err != nil || s.count != 4 {
			t.Errorf("only the version changed: %v, count %d", err, s.count)
		}
		s.show()
		read = s.want("cached", 4, 0)
		s.version++
		s.count = 20
		if err := s.targets.Set(t.Context(), read, 5, "test"); !errors.Is(err, ErrMoved) || s.count != 20 {
			t.Errorf("somebody else's count was written over: %v, count %d", err, s.count)
		}
		read = s.want("a target that moved is read", 20, 1)
		s.version++
		s.count = 30
		if err := s.targets.Set(t.Context(), read, 6, "test"); err != nil || s.count != 6 {
			t.Errorf("what was read with a request is written on top of, as upstream does: %v, count %d", err, s.count)
		}
		s.show()
		read = s.want("cached", 6, 0)
		s.gone = true
		if err := s.targets.Set(t.Context(), read, 7, "test"); !errors.Is(err, ErrMoved) {
			t.Errorf("a target that went gives %v", err)
		}
		if _, err := s.targets.Get(t.Context(), web); !apierrors.IsNotFound(err) {
			t.Errorf("a target that went is read as %v", err)
		}
	})
}

func TestTargetsThatAreNotCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		if s.targets.Find(web) == nil {
			t.Error("the target is not found")
		}
		s.gone = true
		missing := web
		missing.Name = "none"
		if _, err := s.targets.Get(t.Context(), missing); !apierrors.IsNotFound(err) || s.reads != 1 {
			t.Errorf("got %v with %d requests, want the API server's words", err, s.reads)
		}
		for _, ref := range []Ref{
			{Namespace: "shop", APIVersion: "a/b/c", Kind: "Deployment", Name: "web"},
			{Namespace: "shop", APIVersion: "other/v1", Kind: "Deployment", Name: "web"},
			{Namespace: "shop", APIVersion: "v1", Kind: "Deployment", Name: "web"},
			{Namespace: "shop", APIVersion: "apps/v1", Kind: "DaemonSet", Name: "web"},
		} {
			if s.targets.Find(ref) != nil {
				t.Errorf("%+v is found", ref)
			}
		}
	})
}
