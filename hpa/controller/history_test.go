package controller

import (
	"context"
	"errors"
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
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
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
