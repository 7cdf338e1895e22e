// Package follow hears of metrics that changed from the adapter, through the
// cluster's API server, for as long as it is asked to: it goes on where it was when
// a watch ends, and knows whether it hears at present. It brings news and no
// values to decide by: who is told reads the metrics API as ever.
package follow

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/internal/metricchanges/v1alpha1"
)

const (
	// pauseFirst is the pause before a watch is begun again, doubled up to pauseMax
	// while none of them lasts.
	pauseFirst = 500 * time.Millisecond
	pauseMax   = 15 * time.Second
	// held is how long a watch lasts that counts as one that worked.
	held = 10 * time.Second
	// silence ends a watch that is told nothing, not even how far it has come, which
	// the adapter tells every 30 s.
	silence = 95 * time.Second
)

// Watcher begins a watch of all namespaces.
type Watcher interface {
	Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
}

// client watches by REST.
type client struct{ rest rest.Interface }

// NewWatcher watches at a cluster's API server.
func NewWatcher(config *rest.Config) (Watcher, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.APIPath, config.GroupVersion = "/apis", &v1alpha1.GroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	config.Timeout = 0
	r, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for changes of metrics: %w", err)
	}
	return client{r}, nil
}

// Watch begins a watch.
func (c client) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	o.Watch = true
	return c.rest.Get().Resource(v1alpha1.Resource).VersionedParams(&o, metav1.ParameterCodec).Watch(ctx)
}

// Config is what a Follower is made of. All of it is required.
type Config struct {
	Watcher Watcher
	// Changed is told of each metric that changed; the namespace is empty for one
	// that an object of the whole cluster serves. It must not block.
	Changed func(namespace, metric string)
	// Log is told when news ceases to come, with why, and when it comes again, with
	// nil.
	Log   func(why error)
	Clock clock.WithTicker
}

// Follower follows all metrics of a cluster.
type Follower struct {
	cfg Config

	// version is where the next watch goes on; empty: anew. told is what was last
	// told of each metric, before what was told before the watch began anew.
	version      string
	told, before map[key]string

	mu      sync.Mutex
	hearing bool
	why     error
}

type key struct{ namespace, metric string }

// New makes a Follower.
func New(c Config) *Follower { return &Follower{cfg: c} }

// Hearing tells whether news comes at present, and why not where it does not; the
// error is nil before the first try has ended.
func (f *Follower) Hearing() (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hearing, f.why
}

func (f *Follower) set(hearing bool, why error) {
	f.mu.Lock()
	news := hearing != f.hearing || (why != nil && f.why == nil)
	f.hearing, f.why = hearing, why
	f.mu.Unlock()
	if news {
		f.cfg.Log(why)
	}
}

// Run follows until the context ends.
func (f *Follower) Run(ctx context.Context) {
	pause := pauseFirst
	for ctx.Err() == nil {
		began := f.cfg.Clock.Now()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		if lasted := f.cfg.Clock.Since(began) >= held; lasted && err == nil {
			pause = pauseFirst
			continue // the server ends a watch from time to time
		} else if lasted {
			pause = pauseFirst
		}
		if err == nil {
			err = errors.New("the watch ended at once")
		}
		f.set(false, err)
		//nolint:gosec // spreads requests in time and guards nothing
		timer := f.cfg.Clock.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
		case <-timer.C():
		}
		timer.Stop()
		pause = min(2*pause, pauseMax)
	}
	f.set(false, nil)
}

// follow runs one watch; nil where the server ended it as it may.
func (f *Follower) follow(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if f.version == "" {
		f.before, f.told = f.told, map[key]string{}
	}
	w, err := f.cfg.Watcher.Watch(ctx, metav1.ListOptions{ResourceVersion: f.version, AllowWatchBookmarks: true})
	if err != nil {
		return f.failed(err)
	}
	defer w.Stop()
	f.set(true, nil)
	for {
		timer := f.cfg.Clock.NewTimer(silence)
		select {
		case <-timer.C():
			return fmt.Errorf("nothing was heard for %s", silence)
		case e, ok := <-w.ResultChan():
			timer.Stop()
			if !ok {
				return nil
			}
			if e.Type == watch.Error {
				return f.failed(apierrors.FromObject(e.Object))
			}
			f.hear(e)
		}
	}
}

// failed gives the error, and has the next watch begin anew where the version is
// the cause.
func (f *Follower) failed(err error) error {
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsBadRequest(err) {
		f.version = ""
	}
	return err
}

func (f *Follower) hear(e watch.Event) {
	c, ok := e.Object.(*v1alpha1.MetricChange)
	if !ok {
		return
	}
	f.version = c.ResourceVersion
	k := key{c.Namespace, c.Name}
	switch e.Type {
	case watch.Deleted:
		delete(f.told, k)
		f.cfg.Changed(k.namespace, k.metric)
	case watch.Added, watch.Modified:
		is := c.Reason
		if c.Value != nil {
			is = "=" + c.Value.String()
		}
		was, known := f.told[k]
		if !known {
			was, known = f.before[k]
		}
		f.told[k] = is
		if !known || was != is {
			f.cfg.Changed(k.namespace, k.metric)
		}
	}
}
