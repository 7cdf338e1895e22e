package inventory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var (
	pods   = schema.GroupResource{Resource: "pods"}
	queues = schema.GroupResource{Group: "example.com", Resource: "queues"}
)

// mapper counts what it is asked, and fails while it is told to.
type mapper struct {
	apimeta.RESTMapper
	asked atomic.Int32
	fail  atomic.Pointer[error]
	// hung, where it is there, holds answers back until it is closed.
	hung chan struct{}
}

func (m *mapper) KindFor(resource schema.GroupVersionResource) (schema.GroupVersionKind, error) {
	m.asked.Add(1)
	if m.hung != nil {
		<-m.hung
	}
	if err := m.fail.Load(); err != nil {
		return schema.GroupVersionKind{}, *err
	}
	return m.RESTMapper.KindFor(resource)
}

func pod(namespace, name, app string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": app}},
	}
}

type world struct {
	*Inventory
	mapper *mapper
	client *metadatafake.FakeMetadataClient
	clock  *clocktesting.FakeClock
}

func newWorld(t *testing.T, objects ...runtime.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	kinds := apimeta.NewDefaultRESTMapper(nil)
	kinds.Add(schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, apimeta.RESTScopeNamespace)
	w := &world{
		mapper: &mapper{RESTMapper: kinds}, client: metadatafake.NewSimpleMetadataClient(scheme, objects...),
		clock: clocktesting.NewFakeClock(epoch),
	}
	var err error
	if w.Inventory, err = New(Config{Mapper: w.mapper, Client: w.client, Clock: w.clock}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run() = %v", err)
		}
	})
	return w
}

func (w *world) named(t *testing.T, namespace, selector string) []string {
	t.Helper()
	parsed, err := labels.Parse(selector)
	if err != nil {
		t.Fatal(err)
	}
	names, err := w.Names(t.Context(), pods, namespace, parsed)
	if err != nil {
		return []string{err.Error()}
	}
	return slices.Sorted(maps.Keys(names))
}

// until waits for a condition that another goroutine brings about.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestNames(t *testing.T) {
	w := newWorld(t, pod("shop", "web-1", "web"), pod("shop", "db-1", "db"), pod("other", "web-9", "web"))
	for selector, want := range map[string][]string{"app=web": {"web-1"}, "app": {"db-1", "web-1"}, "app=none": nil, "app!=web": {"db-1"}} {
		if diff := cmp.Diff(want, w.named(t, "shop", selector)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", selector, diff)
		}
	}
	if diff := cmp.Diff([]string{"web-9"}, w.named(t, "other", "app=web")); diff != "" {
		t.Errorf("of another namespace (-want +got):\n%s", diff)
	}
	if n := w.Watches(); n != 2 {
		t.Errorf("%d watches for two namespaces", n)
	}
}

func TestAWatchThatNobodyAsksEnds(t *testing.T) {
	w := newWorld(t, pod("shop", "web-1", "web"))
	w.named(t, "shop", "app=web")
	w.named(t, "other", "app=web")
	until(t, "the sweeper waits", w.clock.HasWaiters)
	for range 11 {
		// One of the two is asked all the time.
		w.named(t, "shop", "app=web")
		w.clock.Step(sweepEvery)
		until(t, "the sweeper waits again", w.clock.HasWaiters)
	}
	until(t, "the other ends", func() bool { return w.Watches() == 1 })
	if diff := cmp.Diff([]string{"web-1"}, w.named(t, "shop", "app=web")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAPermissionThatComesLater: what was refused is said at once, and the watch
// goes on trying by itself.
func TestAPermissionThatComesLater(t *testing.T) {
	w := newWorld(t, pod("shop", "web-1", "web"))
	var allowed atomic.Bool
	w.client.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		if allowed.Load() {
			return false, nil, nil
		}
		return true, nil, apierrors.NewForbidden(pods, "", errors.New("no rule"))
	})
	for range 3 {
		_, err := w.Names(t.Context(), pods, "shop", labels.Everything())
		if !IsForbidden(err) || !strings.HasPrefix(err.Error(), "list pods: ") {
			t.Fatalf("error %v", err)
		}
	}
	if n := w.Watches(); n != 1 {
		t.Errorf("%d watches", n)
	}
	allowed.Store(true)
	until(t, "the names are known", func() bool { return slices.Equal(w.named(t, "shop", "app=web"), []string{"web-1"}) })
}

func TestACallerDoesNotWaitForEver(t *testing.T) {
	w := newWorld(t)
	answer := make(chan struct{})
	defer close(answer)
	w.client.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		<-answer
		return false, nil, nil
	})
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if _, err := w.Names(ctx, pods, "shop", labels.Everything()); err == nil || !strings.Contains(err.Error(), "has not answered in time") {
		t.Errorf("error %v", err)
	}
}

// Reads must not pile up behind an API server that does not answer.
func TestAKindThatIsNotToldIsNotWaitedForForEver(t *testing.T) {
	w := newWorld(t)
	w.mapper.hung = make(chan struct{})
	const readers = 5
	ended := make(chan error, readers)
	for range readers {
		go func() {
			_, err := w.Kind(pods)
			ended <- err
		}()
	}
	for left := readers; left > 0; {
		select {
		case err := <-ended:
			if !errors.Is(err, errNotTold) {
				t.Fatalf("Kind() = %v while nobody answers", err)
			}
			left--
		case <-time.After(time.Millisecond):
			w.clock.Step(firstList)
		}
	}
	if n := w.mapper.asked.Load(); n != 1 {
		t.Errorf("%d readers asked %d times", readers, n)
	}
	close(w.mapper.hung)
	if gvk, err := w.Kind(pods); err != nil || gvk.Kind != "Pod" {
		t.Errorf("Kind() = %v, %v after the answer", gvk, err)
	}
}

func TestKindsAreAskedSeldom(t *testing.T) {
	w := newWorld(t)
	ask := func(resource schema.GroupResource) string {
		kind, err := w.Kind(resource)
		if apimeta.IsNoMatchError(err) {
			return "none"
		}
		return fmt.Sprintf("%s %v", kind.Kind, err)
	}
	steps := []struct {
		after    time.Duration
		fail     error
		resource schema.GroupResource
		want     string
		asked    int32
	}{
		{0, nil, pods, "Pod <nil>", 1},
		{kindFor, nil, pods, "Pod <nil>", 1},
		// Asked anew behind the caller's back; what was known stays while it fails.
		{time.Second, errors.New("away"), pods, "Pod <nil>", 2},
		{time.Second, errors.New("away"), pods, "Pod <nil>", 2},
		{0, nil, queues, "none", 3},
		{noKindFor, nil, queues, "none", 3},
		{time.Second, nil, queues, "none", 4},
	}
	for i, step := range steps {
		w.clock.SetTime(w.clock.Now().Add(step.after))
		w.mapper.fail.Store(nil)
		if step.fail != nil {
			w.mapper.fail.Store(&step.fail)
		}
		if got := ask(step.resource); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
		until(t, fmt.Sprintf("step %d has asked %d times", i, step.asked), func() bool { return w.mapper.asked.Load() == step.asked })
		until(t, "nobody is asking", func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return !w.kinds[step.resource].asking
		})
	}
}
