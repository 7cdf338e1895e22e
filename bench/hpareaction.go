package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/test/brokers"
	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

const (
	reactionObjects = 1000
	// reactionOver is the time over which the queues change, one after the other in
	// a random order: twice upstream's period.
	reactionOver  = 30 * time.Second
	reactionLimit = 5 * time.Minute
	// queueTarget is what one pod is to have of its queue, which holds just that at
	// first; queueMore is what comes, for which 4 pods more are needed.
	queueTarget = 10
	queueMore   = 4 * queueTarget
	queuePoll   = 30 * time.Second
)

// reactionPlan is how reactions are measured.
type reactionPlan struct {
	hpas int
	over time.Duration
}

var planReaction = reactionPlan{hpas: reactionObjects, over: reactionOver}

// reactionFigures are the time from a change of a queue, confirmed by its broker,
// to the scale write as a watcher sees it, in seconds.
type reactionFigures struct{ p50, p99 float64 }

func queueName(i int) string { return "depth-" + strconv.Itoa(i) }

// queueLoad scales each object by a queue of its own.
func queueLoad(hpas int) hpaLoad {
	return hpaLoad{hpas: hpas, metric: func(i int) autoscalingv2.MetricSpec {
		return autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: queueName(i)},
			Target: autoscalingv2.MetricTarget{
				Type: autoscalingv2.AverageValueMetricType, AverageValue: resource.NewQuantity(queueTarget, resource.DecimalSI),
			},
		}}
	}}
}

// Both comparisons are run once, however many figures are taken from them.
var (
	reactions = once(func(ctx context.Context) (compared[reactionFigures], error) {
		return takeTurns(ctx, planReaction.measure, ourHPA(), upstreamHPA("upstream with ample requests", ampleRequests...))
	})
	reactionsDefault = once(func(ctx context.Context) (compared[reactionFigures], error) {
		return takeTurns(ctx, planReaction.measure, ourHPA(), upstreamHPA("upstream at its defaults"))
	})
)

// measure runs one side in a lab of its own, with the metrics adapter beside it.
func (p reactionPlan) measure(ctx context.Context, side contender) (f reactionFigures, err error) {
	l, err := startHPALab(ctx)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, l.Stop()) }()
	queues, err := startQueues(ctx, l.Dir())
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, queues.close()) }()
	if err := p.serve(ctx, l, queues); err != nil {
		return f, err
	}
	seen, err := watchHPAs(ctx, l.Config())
	if err != nil {
		return f, err
	}
	defer seen.close()
	whole := seen.expect(p.hpas)
	process, err := side.start(ctx, l)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, process.stop()) }()
	if _, err := seen.await(ctx, whole, passLimit); err != nil {
		return f, err
	}
	if err := seen.settled(ctx, p.hpas); err != nil {
		return f, err
	}
	took, err := p.change(ctx, l, queues)
	if err != nil {
		return f, err
	}
	slices.Sort(took)
	f = reactionFigures{p50: took[len(took)/2], p99: took[len(took)*99/100]}
	say("%s: a change is followed after %.3f s, 99%% of them within %.3f s", side.name, f.p50, f.p99)
	return f, nil
}

// serve loads the objects, and has the adapter serve the queues.
func (p reactionPlan) serve(ctx context.Context, l *lab.Lab, queues *queueServer) error {
	release, err := l.InstallChart(ctx, lab.ChartOptions{Values: map[string]any{
		"hpaController": map[string]any{"enabled": false},
	}})
	if err != nil {
		return err
	}
	if err := release.WaitReady(ctx); err != nil {
		return err
	}
	if err := queueLoad(p.hpas).into(ctx, l); err != nil {
		return err
	}
	g, creating := errgroup.WithContext(ctx)
	g.SetLimit(scaleReaders / 8)
	for i := range p.hpas {
		g.Go(func() error {
			if err := queues.add(creating, i, queueTarget*loadPods); err != nil {
				return err
			}
			return l.Client().Create(creating, queues.source(i))
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("create the queues: %w", err)
	}
	return (&adapterStage{lab: l}).awaitReady(ctx, p.hpas)
}

// change lets each queue grow once and waits for the write that follows.
func (p reactionPlan) change(ctx context.Context, l *lab.Lab, queues *queueServer) ([]float64, error) {
	scales, err := watchScales(ctx, l)
	if err != nil {
		return nil, err
	}
	defer scales.close()
	changed := make(map[string]time.Time, p.hpas)
	begin := time.Now()
	for n, i := range rand.New(rand.NewPCG(1, 2)).Perm(p.hpas) {
		if err := pause(ctx, time.Until(begin.Add(p.over*time.Duration(n)/time.Duration(p.hpas)))); err != nil {
			return nil, err
		}
		if err := queues.add(ctx, i, queueMore); err != nil {
			return nil, err
		}
		changed[loadName(i)] = time.Now()
	}
	written, err := scales.await(ctx, p.hpas)
	if err != nil {
		return nil, err
	}
	var took []float64
	for name, at := range changed {
		took = append(took, written[name].Sub(at).Seconds())
	}
	return took, nil
}

// queueServer is a Redis server with a list for each queue, which tells of changes.
type queueServer struct {
	server   *brokers.Server
	client   *redis.Client
	settings brokers.Redis
}

func startQueues(ctx context.Context, dir string) (*queueServer, error) {
	own, err := brokers.FolderIn(filepath.Join(dir, "queues"), "redis")
	if err != nil {
		return nil, err
	}
	settings, err := brokers.NewRedis(own)
	if err != nil {
		return nil, err
	}
	settings.Events = "Kl"
	config, err := settings.Config()
	if err != nil {
		return nil, err
	}
	server, err := brokers.Start(ctx, config)
	if err != nil {
		return nil, err
	}
	return &queueServer{server: server, settings: settings, client: redis.NewClient(&redis.Options{Addr: settings.Address()})}, nil
}

func (q *queueServer) close() error { return errors.Join(q.client.Close(), q.server.Close()) }

// add appends messages to a queue.
func (q *queueServer) add(ctx context.Context, i, messages int) error {
	if err := q.client.RPush(ctx, queueName(i), slices.Repeat([]any{"m"}, messages)...).Err(); err != nil {
		return fmt.Errorf("fill %s: %w", queueName(i), err)
	}
	return nil
}

// source is the object that makes a queue's depth a metric of its namespace.
func (q *queueServer) source(i int) *v1alpha1.MetricSource {
	return &v1alpha1.MetricSource{
		ObjectMeta: metav1.ObjectMeta{Namespace: loadSpace(i), Name: queueName(i)},
		Spec: v1alpha1.MetricSourceSpec{
			PollInterval: metav1.Duration{Duration: queuePoll},
			Source: v1alpha1.Source{Redis: &v1alpha1.RedisSource{
				Addresses: []string{q.settings.Address()}, Topology: "Single", List: queueName(i), KeyspaceEvents: true,
			}},
			Metrics: []v1alpha1.SourceMetric{{Name: queueName(i), Value: v1alpha1.ValueDepth}},
		},
	}
}

// scaleWatch sees when each Deployment's count is first written.
type scaleWatch struct {
	events watch.Interface

	mu      sync.Mutex
	written map[string]time.Time
}

func watchScales(ctx context.Context, l *lab.Lab) (*scaleWatch, error) {
	client, err := kube.NewClient(l.Config())
	if err != nil {
		return nil, err
	}
	deployments := client.AppsV1().Deployments(metav1.NamespaceAll)
	list, err := deployments.List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("list Deployments: %w", err)
	}
	w := &scaleWatch{written: map[string]time.Time{}}
	if w.events, err = deployments.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion}); err != nil {
		return nil, fmt.Errorf("watch Deployments: %w", err)
	}
	go func() {
		for e := range w.events.ResultChan() {
			d, ok := e.Object.(*appsv1.Deployment)
			if ok && d.Spec.Replicas != nil && *d.Spec.Replicas > loadPods {
				w.scaled(d.Name, time.Now())
			}
		}
	}()
	return w, nil
}

func (w *scaleWatch) close() { w.events.Stop() }

func (w *scaleWatch) scaled(name string, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.written[name]; !known {
		w.written[name] = at
	}
}

// await waits until so many were written, and gives when.
func (w *scaleWatch) await(ctx context.Context, want int) (map[string]time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, reactionLimit)
	defer cancel()
	for {
		w.mu.Lock()
		n := len(w.written)
		w.mu.Unlock()
		if n == want {
			return w.written, nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return nil, fmt.Errorf("%d of %d counts were written: %w", n, want, err)
		}
	}
}
