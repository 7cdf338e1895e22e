package controller_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/quartet-autoscaling/quartet/adapter/controller"
	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/table"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
)

// world is a cluster and a broker in memory, with a controller at work in a
// synctest bubble.
type world struct {
	t          *testing.T
	ctx        context.Context //nolint:containedctx // the life of one test
	client     client.WithWatch
	controller *controller.Controller
	table      *table.Table
	last       *decisionapi.Store
	broker     *broker
	events     *eventLog
	ledger     *ledgerLog

	mu      sync.Mutex
	patches int
	// hung: reads of Secrets are not answered.
	hung bool
}

// play runs a test in a world of its own, in a bubble with its own clock. Mode
// Auto where empty.
func play(t *testing.T, mode query.Mode, script func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, mode)
		ctx, stop := context.WithCancel(t.Context())
		w.ctx = ctx
		ended := make(chan error, 1)
		go func() { ended <- w.controller.Run(ctx, nil) }()
		synctest.Wait()
		script(w)
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run() = %v", err)
		}
		synctest.Wait()
	})
}

func newWorld(t *testing.T, mode query.Mode) *world {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, table: table.New(), broker: &broker{depth: map[string]float64{}}, events: &eventLog{}, ledger: &ledgerLog{}}
	w.last = decisionapi.NewStore(decisionapi.StoreConfig{Component: "adapter", Kind: "MetricSource", Shared: w.table.Serves})
	field, values := controller.IndexMetricNames()
	w.client = fake.NewClientBuilder().WithScheme(scheme).
		WithStatusSubresource(&v1alpha1.MetricSource{}, &v1alpha1.ClusterMetricSource{}).
		WithIndex(&v1alpha1.MetricSource{}, field, values).
		WithIndex(&v1alpha1.ClusterMetricSource{}, field, values).
		WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				w.mu.Lock()
				_, secret := o.(*corev1.Secret)
				hangs := w.hung && secret
				w.mu.Unlock()
				if hangs {
					<-ctx.Done()
					return ctx.Err()
				}
				return c.Get(ctx, key, o, opts...)
			},
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				w.mu.Lock()
				w.patches++
				w.mu.Unlock()
				return c.SubResource(sub).Patch(ctx, o, p, opts...)
			},
		}).Build()
	if mode == "" {
		mode = query.ModeAuto
	}
	var err error
	w.controller, err = controller.New(controller.Config{
		Objects: w.client, Secrets: w.client, OwnNamespace: "quartet", Status: w.client, Events: w.events,
		Builders: []source.Builder{w.broker}, Table: w.table, Last: w.last, Recorder: w.ledger,
		Mode: mode, Clock: clock.RealClock{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// leads has status and events written from now on, as the leader does.
func (w *world) leads() (stop func()) {
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := w.controller.RunStatus(ctx); err != nil {
			w.t.Errorf("RunStatus() = %v", err)
		}
	}()
	return func() { cancel(); <-ended }
}

// wait lets time pass in the bubble.
func (w *world) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// object is a MetricSource of namespace shop that serves the depth of the
// stream of its name.
func object(name string, change ...func(*v1alpha1.MetricSource)) *v1alpha1.MetricSource {
	o := &v1alpha1.MetricSource{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID("uid-" + name), Generation: 1,
			CreationTimestamp: metav1.Now(),
		},
		Spec: v1alpha1.MetricSourceSpec{
			Source:       v1alpha1.Source{NATSJetStream: &v1alpha1.NATSJetStreamSource{Stream: name, Consumer: "workers", Servers: []string{"nats://broker:4222"}}},
			Metrics:      []v1alpha1.SourceMetric{{Name: "depth", Value: v1alpha1.ValueDepth}},
			PollInterval: metav1.Duration{Duration: time.Second},
			MaxAge:       metav1.Duration{Duration: 30 * time.Second},
		},
	}
	for _, c := range change {
		c(o)
	}
	return o
}

func (w *world) create(o *v1alpha1.MetricSource) {
	w.t.Helper()
	if err := w.client.Create(w.ctx, o); err != nil {
		w.t.Fatal(err)
	}
	w.controller.Handler(w.ctx).OnAdd(o, false)
}

func (w *world) get(name string) *v1alpha1.MetricSource {
	w.t.Helper()
	o := &v1alpha1.MetricSource{}
	if err := w.client.Get(w.ctx, types.NamespacedName{Namespace: "shop", Name: name}, o); err != nil {
		w.t.Fatal(err)
	}
	return o
}

func (w *world) change(name string, change func(*v1alpha1.MetricSource)) {
	w.t.Helper()
	before := w.get(name)
	after := before.DeepCopy()
	change(after)
	after.Generation++
	if err := w.client.Update(w.ctx, after); err != nil {
		w.t.Fatal(err)
	}
	w.controller.Handler(w.ctx).OnUpdate(before, after)
}

func (w *world) delete(name string) {
	w.t.Helper()
	o := w.get(name)
	if err := w.client.Delete(w.ctx, o); err != nil {
		w.t.Fatal(err)
	}
	w.controller.Handler(w.ctx).OnDelete(o)
}

// setSecret creates or changes the Secret nats with one key, password.
func (w *world) setSecret(password string) {
	w.t.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "nats"}, Data: map[string][]byte{"password": []byte(password)}}
	err := w.client.Create(w.ctx, s)
	if err != nil {
		err = w.client.Update(w.ctx, s)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// served is what a read of the metric gives now: holder and value, or the fault.
func (w *world) served(metric string) string { return w.servedIn("shop", metric) }

func (w *world) servedIn(namespace, metric string) string {
	entry, ok := w.table.Get(namespace, metric)
	if !ok {
		return "not found"
	}
	sample, fault := query.Serve(entry.Sample, *entry.Facts, time.Now())
	if fault != nil {
		return entry.Unit.Name + " " + fault.Reason
	}
	return fmt.Sprintf("%s %g", entry.Unit.Name, sample.Value)
}

func (w *world) wantServed(metric, want string) {
	w.t.Helper()
	if got := w.served(metric); got != want {
		w.t.Errorf("metric %s reads %q, want %q", metric, got, want)
	}
}

func (w *world) wantCondition(name, conditionType string, status metav1.ConditionStatus, reason, within string) {
	w.t.Helper()
	w.wantConditionOf(name, w.get(name).Status.Conditions, conditionType, status, reason, within)
}

func (w *world) wantConditionOf(name string, all []metav1.Condition, conditionType string, status metav1.ConditionStatus, reason, within string) {
	w.t.Helper()
	c := apimeta.FindStatusCondition(all, conditionType)
	if c == nil {
		w.t.Errorf("%s has no condition %s", name, conditionType)
		return
	}
	if c.Status != status || c.Reason != reason || !strings.Contains(c.Message, within) {
		w.t.Errorf("%s: %s is %s %s %q, want %s %s with %q", name, conditionType, c.Status, c.Reason, c.Message, status, reason, within)
	}
}

// hang has reads of Secrets answered or not.
func (w *world) hang(hung bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hung = hung
}

func (w *world) patched() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.patches
}
