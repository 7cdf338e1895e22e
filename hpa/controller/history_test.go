package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	typedv2 "k8s.io/client-go/kubernetes/typed/autoscaling/v2"
	scalefake "k8s.io/client-go/scale/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/hpa/behavior"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/ledger"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/shards"
	"github.com/quartet-autoscaling/quartet/internal/shards/shardstest"
)

// town is what outlives a process: the objects, the count, the load, the shards.
type town struct {
	client *fake.Clientset
	shards shardstest.Server
	folder string

	mu    sync.Mutex
	depth int64
	count int32
	// writes are the counts that were set.
	writes []write
}

type write struct {
	at    time.Time
	count int32
}

func newTown(t *testing.T, rules *autoscalingv2.HorizontalPodAutoscalerBehavior) *town {
	hpa := webHPA()
	hpa.Spec.MaxReplicas, hpa.Spec.Behavior = 100, rules
	return &town{client: fake.NewClientset(hpa), folder: t.TempDir(), depth: 20_000, count: 2}
}

func (w *town) sample(context.Context, string, replicas.Metric, labels.Selector) replicas.Samples {
	w.mu.Lock()
	defer w.mu.Unlock()
	return replicas.Samples{At: utc(time.Now()), Values: []int64{w.depth}}
}

func (w *town) ask(depth int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.depth = depth
}

func (w *town) written() []write {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.writes)
}

// process is one controller with its history. Once it is killed nothing of what it
// goes on to do reaches the town.
type process struct {
	*town
	cancel  context.CancelFunc
	c       *controller
	running sync.WaitGroup
	ended   error

	dying sync.Mutex
	dead  bool
	// fatal is the instruction at which it is killed; empty for none.
	fatal string
}

var errKilled = errors.New("killed")

// at is called at each instruction that reaches out.
func (p *process) at(instruction string) error {
	p.dying.Lock()
	defer p.dying.Unlock()
	if instruction != "" && p.fatal == instruction {
		p.dead = true
		p.cancel()
	}
	if p.dead {
		return errKilled
	}
	return nil
}

// kill is kill -9.
func (p *process) kill() {
	p.dying.Lock()
	p.dead = true
	p.dying.Unlock()
	p.cancel()
	p.running.Wait()
}

func (p *process) die(instruction string) {
	p.dying.Lock()
	defer p.dying.Unlock()
	p.fatal = instruction
}

// The instructions of a turn that changes a count, in their order.
const (
	beforeShard  = "before the shard is written"
	afterShard   = "after the shard is written"
	beforeScale  = "before the scale is written"
	afterScale   = "after the scale is written"
	beforeStatus = "before the status is written"
	afterStatus  = "after the status is written"
)

// List is the process' view of the shards.
func (p *process) List(ctx context.Context) ([]v1alpha1.StateShard, error) {
	if err := p.at(""); err != nil {
		return nil, err
	}
	return p.shards.List(ctx)
}

// Write names the instruction where a change is about to be made.
func (p *process) Write(ctx context.Context, o *v1alpha1.StateShard) (string, error) {
	before, after := "", ""
	if records, err := shards.Decode(o.Spec.Data); err == nil && len(records) == 1 {
		if s, err := replicas.DecodeState(records[0].State); err == nil && s.Resume != nil && s.Resume.Intent != nil {
			before, after = beforeShard, afterShard
		}
	}
	if err := p.at(before); err != nil {
		return "", err
	}
	version, err := p.shards.Write(ctx, o)
	return version, errors.Join(err, p.at(after))
}

// Delete is the process' view of the shards.
func (p *process) Delete(ctx context.Context, name, version string) error {
	if err := p.at(""); err != nil {
		return err
	}
	return p.shards.Delete(ctx, name, version)
}

func (p *process) scales() *kube.Scales {
	client := &scalefake.FakeScaleClient{}
	read := func() *autoscalingv1.Scale {
		p.mu.Lock()
		defer p.mu.Unlock()
		return &autoscalingv1.Scale{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
			Spec:       autoscalingv1.ScaleSpec{Replicas: p.count},
			Status:     autoscalingv1.ScaleStatus{Replicas: p.count, Selector: "app=web"},
		}
	}
	client.AddReactor("get", "deployments", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, read(), p.at("")
	})
	client.AddReactor("update", "deployments", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if err := p.at(beforeScale); err != nil {
			return true, nil, err
		}
		p.mu.Lock()
		p.count = a.(clienttesting.UpdateAction).GetObject().(*autoscalingv1.Scale).Spec.Replicas
		p.writes = append(p.writes, write{time.Now(), p.count})
		p.mu.Unlock()
		return true, read(), p.at(afterScale)
	})
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Group: "apps", Version: "v1"}})
	mapper.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, meta.RESTScopeNamespace)
	return kube.ScalesFor(client, mapper)
}

// mortal writes a status as long as the process lives.
type mortal struct {
	typedv2.HorizontalPodAutoscalerInterface
	p *process
}

func (m mortal) UpdateStatus(ctx context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler, o metav1.UpdateOptions) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	// The condition tells the write after a change from others.
	scaled := false
	for _, c := range hpa.Status.Conditions {
		scaled = scaled || c.Reason == "SucceededRescale"
	}
	before, after := "", ""
	if scaled {
		before, after = beforeStatus, afterStatus
	}
	if err := m.p.at(before); err != nil {
		return nil, err
	}
	out, err := m.HorizontalPodAutoscalerInterface.UpdateStatus(ctx, hpa, o)
	return out, errors.Join(err, m.p.at(after))
}

type mortals struct{ p *process }

func (m mortals) HorizontalPodAutoscalers(namespace string) typedv2.HorizontalPodAutoscalerInterface {
	return mortal{m.p.client.AutoscalingV2().HorizontalPodAutoscalers(namespace), m.p}
}

// begin starts a process that leads.
func (w *town) begin(t *testing.T, identity string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &process{town: w, cancel: cancel}
	registry := prometheus.NewRegistry()
	c := &controller{objects: &objects{}}
	var err error
	if c.objects.hpas, err = newHPACache(w.client); err != nil {
		t.Fatal(err)
	}
	if c.pods, err = kube.NewPods(w.client); err != nil {
		t.Fatal(err)
	}
	told, err := newMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	c.publisher = &publisher{outlets: outlets{
		statuses: statuses{hpas: mortals{p}}, recorder: record.NewFakeRecorder(10_000), metrics: told,
		store: decisionapi.NewStore(decisionapi.StoreConfig{Component: apiComponent, Kind: replicas.Kind}),
	}}
	c.history = p.history(t, identity, registry)
	c.ledger, err = ledger.Open[replicas.Snapshot, replicas.State, replicas.Decision](ledger.Config{Dir: w.folder, Component: identity})
	if err != nil {
		t.Fatal(err)
	}
	options := NewOptions()
	flags := runtimeflags.New(runtimeflags.Acting)
	flags.Mode = runtimeflags.ModeAuto
	err = c.assemble(ctx, settings{flags: flags, options: options}, &observer{
		mode: replicas.ModeAuto, config: options.Rules, hpas: c.objects.get, pods: c.pods,
		scales: p.scales(), metrics: w, rivals: newRivals(),
	})
	if err != nil {
		t.Fatal(err)
	}
	p.c = c
	p.running.Go(func() { c.objects.run(ctx) })
	p.running.Go(func() { c.pods.Run(ctx) })
	p.running.Go(func() {
		cache.WaitForCacheSync(ctx.Done(), c.objects.hpas.synced, c.pods.Synced)
		p.ended = c.history.lead(ctx, c.workers)
	})
	t.Cleanup(func() { p.kill(); _ = c.ledger.Close() })
	time.Sleep(time.Second)
	synctest.Wait()
	return p
}

func (p *process) history(t *testing.T, identity string, registry prometheus.Registerer) *history {
	t.Helper()
	metrics, err := shards.NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	store, err := shards.New(shards.Config{Component: name, Writer: identity, Objects: p, Period: NewOptions().Rules.SyncPeriod, Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	return &history{store: store}
}

// replayed runs every recorded decision again.
func (w *town) replayed(t *testing.T) {
	t.Helper()
	decisions := 0
	for _, identity := range []string{"a", "b"} {
		files, err := ledger.Files(w.folder, identity)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			report, err := ledger.Replay(f, replicas.Rules())
			_ = f.Close()
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Differences) > 0 {
				t.Errorf("%s differs: %v", identity, report.Differences[0])
			}
			decisions += report.Decisions
		}
	}
	if decisions < 10 {
		t.Errorf("%d decisions replayed", decisions)
	}
}

const (
	ratePeriod = 10 * time.Minute
	rateChange = 2
	turnPeriod = 15 * time.Second
)

// slowly allows two pods in ten minutes either way, and has no windows.
func slowly() *autoscalingv2.HorizontalPodAutoscalerBehavior {
	rules := func() *autoscalingv2.HPAScalingRules {
		none := int32(0)
		return &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: &none, Policies: []autoscalingv2.HPAScalingPolicy{
			{Type: autoscalingv2.PodsScalingPolicy, Value: rateChange, PeriodSeconds: int32(ratePeriod.Seconds())},
		}}
	}
	return &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: rules(), ScaleDown: rules()}
}

// TestKilledAtEachInstruction kills the controller at each instruction of a turn
// that changes a count. The next one takes no step that the policy forbids, and
// none later than it allows: a change that was not made does not count.
func TestKilledAtEachInstruction(t *testing.T) {
	loads := map[string]struct {
		count  int32
		depth  int64
		counts []int32
	}{
		behavior.Up:   {2, 300_000, []int32{4, 6, 8}},
		behavior.Down: {20, 30_000, []int32{18, 16, 14}},
	}
	for direction, load := range loads {
		for _, instruction := range []string{beforeShard, afterShard, beforeScale, afterScale, beforeStatus, afterStatus} {
			t.Run(direction+" "+instruction, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newTown(t, slowly())
					w.count = load.count
					w.ask(int64(load.count) * 10_000)
					a := w.begin(t, "a")
					time.Sleep(time.Minute)
					a.die(instruction)
					w.ask(load.depth)
					time.Sleep(turnPeriod + time.Second)
					synctest.Wait()
					if !a.dead {
						t.Fatalf("it never came to the instruction; writes %v", w.written())
					}
					a.kill()
					time.Sleep(20 * time.Second)
					w.begin(t, "b")
					time.Sleep(2*ratePeriod + 2*turnPeriod)
					synctest.Wait()
					held(t, w.written(), load.counts)
					w.replayed(t)
				})
			})
		}
	}
}

// held compares the counts that were written, and wants one period between two,
// and no more than two turns beyond that.
func held(t *testing.T, writes []write, want []int32) {
	t.Helper()
	var counts []int32
	for i, w := range writes {
		counts = append(counts, w.count)
		if i == 0 {
			continue
		}
		if pause := w.at.Sub(writes[i-1].at); pause < ratePeriod || pause > ratePeriod+2*turnPeriod {
			t.Errorf("%d came %s after the one before, want %s and little more", w.count, pause, ratePeriod)
		}
	}
	if !slices.Equal(counts, want) {
		t.Errorf("counts %v, want %v", counts, want)
	}
}

// within gives windows of five minutes both ways and no limit of the rate.
func within() *autoscalingv2.HorizontalPodAutoscalerBehavior {
	rules := func() *autoscalingv2.HPAScalingRules {
		seconds := int32(300)
		return &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: &seconds, Policies: []autoscalingv2.HPAScalingPolicy{
			{Type: autoscalingv2.PodsScalingPolicy, Value: 1000, PeriodSeconds: 15},
		}}
	}
	return &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: rules(), ScaleDown: rules()}
}

// TestWindowsGoOnAfterAKill kills the controller in the middle of a window: the
// next one changes the count when the window allows it, not before and not a
// window later.
func TestWindowsGoOnAfterAKill(t *testing.T) {
	const window = 5 * time.Minute
	for name, load := range map[string]struct{ before, after int32 }{
		"up": {2, 12}, "down": {12, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t, within())
				w.count = load.before
				w.ask(int64(load.before) * 10_000)
				a := w.begin(t, "a")
				time.Sleep(6 * time.Minute)
				w.ask(int64(load.after) * 10_000)
				changed := time.Now()
				time.Sleep(200 * time.Second)
				a.kill()
				if len(w.written()) != 0 {
					t.Fatalf("the window did not hold: %v", w.written())
				}
				time.Sleep(20 * time.Second)
				w.begin(t, "b")
				time.Sleep(window)
				synctest.Wait()
				writes := w.written()
				if len(writes) != 1 || writes[0].count != load.after {
					t.Fatalf("writes %v, want one of %d", writes, load.after)
				}
				// Of the last pass before the load changed, at the most, nothing is known.
				if after := writes[0].at.Sub(changed); after < window-2*turnPeriod || after > window+2*turnPeriod {
					t.Errorf("changed %s after the load did, want %s", after, window)
				}
				w.replayed(t)
			})
		})
	}
}

// TestADeposedControllerActsNoMore: one that still believes to lead changes
// nothing once another has taken the state over.
func TestADeposedControllerActsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, slowly())
		a := w.begin(t, "a")
		b := w.begin(t, "b")
		b.kill()
		w.ask(300_000)
		time.Sleep(time.Minute)
		synctest.Wait()
		if !errors.Is(a.ended, shards.ErrDeposed) {
			t.Errorf("it ended with %v", a.ended)
		}
		if got := w.written(); len(got) != 0 {
			t.Errorf("it wrote %v", got)
		}
	})
}

// TestWithoutShardsItActsAsUpstreamDoes: where the API does not take them.
func TestWithoutShardsItActsAsUpstreamDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, slowly())
		w.shards.Before = func(context.Context, string, string) error { return errors.New("no role") }
		a := w.begin(t, "a")
		w.ask(300_000)
		time.Sleep(turnPeriod + 5*time.Second)
		synctest.Wait()
		if got := w.written(); len(got) != 1 || got[0].count != 4 {
			t.Errorf("writes %v, want one of 4", got)
		}
		if text, err := a.c.history.check().Func(t.Context()); err != nil || text != "not kept, a restart would forget it: no role" {
			t.Errorf("readiness says %q, %v", text, err)
		}
	})
}

// TestOnlyWhatIsThereIsRestored: not the state of an object whose name another has
// now.
func TestOnlyWhatIsThereIsRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, slowly())
		a := w.begin(t, "a")
		time.Sleep(turnPeriod)
		a.kill()
		hpas := w.client.AutoscalingV2().HorizontalPodAutoscalers("shop")
		if err := hpas.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		another := webHPA()
		another.UID = "u2"
		if _, err := hpas.Create(t.Context(), another, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		b := w.begin(t, "b")
		b.cancel()
		b.running.Wait()
		if got := fmt.Sprint(slices.Collect(maps.Keys(w.kept(t)))); got != fmt.Sprint([]decision.Unit{{Kind: replicas.Kind, Namespace: "shop", Name: "web", UID: "u2"}}) {
			t.Errorf("kept are %s", got)
		}
	})
}

// kept reads the states in the shards.
func (w *town) kept(t *testing.T) map[decision.Unit]replicas.State {
	t.Helper()
	items, err := w.shards.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[decision.Unit]replicas.State{}
	for i := range items {
		records, err := shards.Decode(items[i].Spec.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if out[r.Unit], err = replicas.DecodeState(r.State); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}
