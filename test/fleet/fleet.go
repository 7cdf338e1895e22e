// Package fleet gives every Running pod of a selector a real worker at the queue:
// the fake pods of the lab run no container, so the fleet works in their place,
// at a set rate, for just as long as they run.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/quartet-autoscaling/quartet/test/queue"
)

// Config is what a Fleet is made of.
type Config struct {
	// Cluster holds the pods of Namespace that Selector (a label selector) names.
	Cluster             *rest.Config
	Namespace, Selector string
	Broker              queue.Broker
	Tally               *queue.Tally
	// Rate is the messages per second that one worker does.
	Rate float64
	Log  *slog.Logger
}

// Fleet is the workers of all Running pods.
type Fleet struct {
	cfg Config

	mu      sync.Mutex
	workers map[types.UID]context.CancelFunc
	group   sync.WaitGroup
}

// New makes a Fleet; Run starts it.
func New(cfg Config) *Fleet { return &Fleet{cfg: cfg, workers: map[types.UID]context.CancelFunc{}} }

// Size is the number of workers at work.
func (f *Fleet) Size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.workers)
}

// Run follows the pods until the context ends; then every worker finishes the
// message in its hands.
func (f *Fleet) Run(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(f.cfg.Cluster)
	if err != nil {
		return fmt.Errorf("make a client for the fleet: %w", err)
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0,
		informers.WithNamespace(f.cfg.Namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = f.cfg.Selector }))
	informer := factory.Core().V1().Pods().Informer()
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { f.follow(ctx, o) },
		UpdateFunc: func(_, o any) { f.follow(ctx, o) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			if pod, ok := o.(*corev1.Pod); ok {
				f.stop(pod.UID)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("follow the pods: %w", err)
	}
	factory.Start(ctx.Done())
	<-ctx.Done()
	factory.Shutdown()
	f.group.Wait()
	return nil
}

func (f *Fleet) follow(ctx context.Context, o any) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return
	}
	if pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil {
		f.stop(pod.UID)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, working := f.workers[pod.UID]; working || ctx.Err() != nil {
		return
	}
	working, cancel := context.WithCancel(ctx)
	f.workers[pod.UID] = cancel
	f.group.Go(func() {
		if err := f.work(working, pod.Name); err != nil {
			f.cfg.Log.Error("a worker ended early", "pod", pod.Name, "error", err)
		}
	})
}

func (f *Fleet) stop(pod types.UID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if cancel, working := f.workers[pod]; working {
		cancel()
		delete(f.workers, pod)
	}
}

// work is one worker: it takes a message, works on it, says that it is done with,
// until its pod stops. It then finishes the message in its hands.
func (f *Fleet) work(ctx context.Context, name string) error {
	conn, err := f.cfg.Broker.Connect(name)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	pace := time.NewTicker(time.Duration(float64(time.Second) / f.cfg.Rate))
	defer pace.Stop()
	for ctx.Err() == nil {
		message, err := conn.Receive(ctx)
		switch {
		case errors.Is(err, queue.ErrNone):
			select {
			case <-ctx.Done():
			case <-pace.C:
			}
			continue
		case err != nil:
			return err
		}
		<-pace.C
		if err := f.finish(ctx, message); err != nil {
			f.cfg.Log.Debug("a message goes to another worker", "pod", name, "error", err)
		}
	}
	return nil
}

// finishFor is how long a worker goes on saying that a message is done with.
const finishFor = 30 * time.Second

// finish counts a message once the broker has confirmed that it is done with. A
// worker whose pod has stopped still finishes its last message. What the broker
// took without an answer is said again, so that no message is done with and
// uncounted.
func (f *Fleet) finish(ctx context.Context, message queue.Message) error {
	n, err := strconv.Atoi(message.Body())
	if err != nil {
		return fmt.Errorf("read the number of a message: %w", err)
	}
	all, cancelAll := context.WithTimeout(context.WithoutCancel(ctx), finishFor)
	defer cancelAll()
	for {
		try, cancel := context.WithTimeout(all, queue.AckWait/2)
		err := message.Done(try)
		cancel()
		switch {
		case err == nil:
			f.cfg.Tally.Consume(n)
			return nil
		case errors.Is(err, queue.ErrLost) || all.Err() != nil:
			return fmt.Errorf("finish message %d: %w", n, err)
		}
	}
}
