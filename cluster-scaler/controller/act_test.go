package controller

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlfake "sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/plan"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/provider"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// notes is a provider that notes what it is asked for.
type notes struct {
	created, deleted []string
}

func (n *notes) Create(_ context.Context, o provider.Order) error {
	n.created = append(n.created, o.Request.Name)
	return nil
}

func (n *notes) Delete(_ context.Context, name, _ string) error {
	n.deleted = append(n.deleted, name)
	return nil
}

func (n *notes) Accepted(string) []string { return slices.Clone(n.created) }

// workbench is an actuator on fakes.
type workbench struct {
	actuator
	core     *fake.Clientset
	provider *notes
	pool     *v1alpha1.NodePool
	ctx      context.Context
}

func newWorkbench(t *testing.T, funcs interceptor.Funcs, objects ...runtime.Object) *workbench {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	metrics, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	b := &workbench{core: fake.NewClientset(objects...), provider: &notes{}, pool: testPool()}
	b.pool.UID = "pool"
	pools := ctrlfake.NewClientBuilder().WithScheme(scheme).WithObjects(b.pool).WithStatusSubresource(b.pool).WithInterceptorFuncs(funcs).Build()
	b.actuator = actuator{core: b.core.CoreV1(), pools: &poolWriter{client: pools}, provider: b.provider, metrics: metrics}
	b.ctx = withVisit(t.Context(), &visit{pools: map[string]*v1alpha1.NodePool{b.pool.Name: b.pool}})
	return b
}

func (b *workbench) do(actions plan.Actions) decision.Outcome {
	return b.Act(b.ctx, plan.Decision{Actions: actions})
}

func asked(name string) plan.Actions {
	r := nodepool.Request{Name: name, At: time.Unix(1000, 0).UTC()}
	return plan.Actions{
		Request: []plan.PoolRequest{{Pool: "workers", UID: "pool", Sequence: 7, Add: []nodepool.Request{r}}},
		Create:  []plan.Creation{{Pool: "workers", Request: r}},
	}
}

func (b *workbench) status(t *testing.T) v1alpha1.NodePoolStatus {
	t.Helper()
	var pool v1alpha1.NodePool
	if err := b.pools.client.Get(t.Context(), types.NamespacedName{Name: "workers"}, &pool); err != nil {
		t.Fatal(err)
	}
	return pool.Status
}

// TestRequestsAreWrittenFirst wants the pool's status to have a node before the
// provider is asked for it, and the provider not to be asked where it has not.
func TestRequestsAreWrittenFirst(t *testing.T) {
	b := newWorkbench(t, interceptor.Funcs{})
	if o := b.do(asked("workers-7")); o.Result != decision.Succeeded {
		t.Fatal(o)
	}
	s := b.status(t)
	if s.Sequence != 7 || len(s.Requested) != 1 || s.Requested[0].Name != "workers-7" || !slices.Equal(b.provider.created, []string{"workers-7"}) {
		t.Errorf("status %+v, asked for %v", s, b.provider.created)
	}
	if o := b.do(asked("workers-7")); o.Result != decision.Succeeded || len(b.status(t).Requested) != 1 {
		t.Errorf("asked again: %v, %+v", o, b.status(t))
	}
	if o := b.do(plan.Actions{Request: []plan.PoolRequest{{Pool: "workers", UID: "pool", Drop: []string{"workers-7"}}}}); o.Result != decision.Succeeded || len(b.status(t).Requested) != 0 || b.status(t).Sequence != 7 {
		t.Errorf("dropped: %v, %+v", o, b.status(t))
	}

	refusing := newWorkbench(t, interceptor.Funcs{SubResourceUpdate: func(context.Context, client.Client, string, client.Object, ...client.SubResourceUpdateOption) error {
		return errors.New("the API server is away")
	}})
	o := refusing.do(asked("workers-7"))
	if o.Result != decision.Failed || !strings.Contains(o.Error, "the API server is away") || len(refusing.provider.created) != 0 {
		t.Errorf("without a written request: %v, asked for %v", o, refusing.provider.created)
	}
}

func namedNode(name string, taints ...corev1.Taint) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name)}, Spec: corev1.NodeSpec{Taints: taints}}
}

// TestTaints wants the drain's taint on and off, others untouched, and namesakes
// left alone.
func TestTaints(t *testing.T) {
	other := corev1.Taint{Key: "other", Effect: corev1.TaintEffectNoExecute}
	b := newWorkbench(t, interceptor.Funcs{}, namedNode("a", other))
	taints := func() []corev1.Taint {
		n, err := b.core.CoreV1().Nodes().Get(t.Context(), "a", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return n.Spec.Taints
	}
	on := []plan.NodeAction{{Node: "a", UID: "uid-a", Value: "20260301T120000Z"}, {Node: "gone", UID: "x"}}
	if o := b.do(plan.Actions{Taint: on}); o.Result != decision.Succeeded {
		t.Fatal(o)
	}
	want := corev1.Taint{Key: nodepool.DrainTaint, Value: "20260301T120000Z", Effect: corev1.TaintEffectNoSchedule}
	if got := taints(); !slices.Equal(got, []corev1.Taint{other, want}) {
		t.Errorf("taints %v", got)
	}
	// A drain that is under way keeps its start.
	b.do(plan.Actions{Taint: []plan.NodeAction{{Node: "a", UID: "uid-a", Value: "20270301T120000Z"}}})
	b.do(plan.Actions{Undo: []plan.NodeAction{{Node: "a", UID: "another"}}})
	if got := taints(); !slices.Equal(got, []corev1.Taint{other, want}) {
		t.Errorf("taints %v", got)
	}
	b.do(plan.Actions{Undo: []plan.NodeAction{{Node: "a", UID: "uid-a"}}})
	if got := taints(); !slices.Equal(got, []corev1.Taint{other}) {
		t.Errorf("taints %v", got)
	}
}

// TestEvictions wants a budget's refusal to be no failure, and the pod's UID to
// be sent along.
func TestEvictions(t *testing.T) {
	cases := map[string]struct {
		err  error
		want decision.Result
	}{
		"evicted":             {nil, decision.Succeeded},
		"refused by a budget": {apierrors.NewTooManyRequests("budget", 10), decision.Succeeded},
		"gone":                {apierrors.NewNotFound(corev1.Resource("pods"), "p"), decision.Succeeded},
		"another of the name": {apierrors.NewConflict(corev1.Resource("pods"), "p", errors.New("uid")), decision.Succeeded},
		"forbidden":           {apierrors.NewForbidden(corev1.Resource("pods"), "p", errors.New("rbac")), decision.Failed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newWorkbench(t, interceptor.Funcs{})
			evicted := 0
			b.core.PrependReactor("create", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
				if a.GetSubresource() == "eviction" {
					evicted++
				}
				return true, nil, c.err
			})
			if o := b.do(plan.Actions{Evict: []plan.Eviction{{Namespace: "shop", Name: "p", UID: "u"}}}); o.Result != c.want || evicted != 1 {
				t.Errorf("%v after %d evictions, want %s", o, evicted, c.want)
			}
		})
	}
}

// TestRemovalLooksOnceMore wants a node to stay that a pod came to after the
// plan.
func TestRemovalLooksOnceMore(t *testing.T) {
	pod := func(name string, change func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: corev1.PodSpec{NodeName: "a"}}
		change(p)
		return p
	}
	of := func(kind string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			yes := true
			p.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: "o", Controller: &yes}}
		}
	}
	cases := map[string]struct {
		pod     *corev1.Pod
		deletes bool
	}{
		"nobody's pod":       {pod("p", func(*corev1.Pod) {}), false},
		"a ReplicaSet's":     {pod("p", of("ReplicaSet")), false},
		"a DaemonSet's":      {pod("p", of("DaemonSet")), true},
		"one that has ended": {pod("p", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }), true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newWorkbench(t, interceptor.Funcs{}, namedNode("a"), c.pod)
			o := b.do(plan.Actions{Delete: []plan.NodeAction{{Node: "a", UID: "uid-a"}}})
			if deleted := len(b.provider.deleted) == 1; deleted != c.deletes || (o.Result == decision.Succeeded) != c.deletes {
				t.Errorf("deleted %v, %v", deleted, o)
			}
		})
	}
}
