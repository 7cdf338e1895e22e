package server

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/table"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/metricchanges"
	changesv1alpha1 "github.com/quartet-autoscaling/quartet/internal/metricchanges/v1alpha1"
)

// judgeChangesEvery is how often the metrics are judged anew: a sample becomes too
// old by time alone.
const judgeChangesEvery = time.Second

// changeFeed tells those who watch metricchanges what reads of external metrics
// are answered with, as it changes.
type changeFeed struct {
	table *table.Table
	clock clock.WithTicker
	store *metricchanges.Store

	// mu orders looking a metric up and telling of it, since changes of the table
	// are told in any order.
	mu sync.Mutex
}

func newChangeFeed(t *table.Table, c clock.WithTicker) *changeFeed {
	return &changeFeed{table: t, clock: c, store: metricchanges.NewStore(c)}
}

// beside is the resource, to be served beside the last decisions.
func (f *changeFeed) beside() decisionapi.Beside {
	return decisionapi.Beside{
		Resource: changesv1alpha1.Resource, Storage: metricchanges.NewStorage(f.store), AddToScheme: changesv1alpha1.AddToScheme,
	}
}

// run follows the table until the context ends, and then ends all watches.
func (f *changeFeed) run(ctx context.Context) error {
	defer f.store.Close()
	stop := f.table.WatchAll(func(c table.Changed) { f.refresh(c.Namespace, c.Metric) })
	defer stop()
	ticker := f.clock.NewTicker(judgeChangesEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			for _, key := range f.store.Keys() {
				f.refresh(key.Namespace, key.Name)
			}
		}
	}
}

func (f *changeFeed) refresh(namespace, metric string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := metricchanges.Key{Namespace: namespace, Name: metric}
	entry, ok := f.table.Get(namespace, metric)
	if !ok || entry.Unit.Namespace != namespace {
		// What an object of the whole cluster serves is told once, without a namespace.
		f.store.Delete(key)
		return
	}
	f.store.Set(key, stateOf(entry, f.clock.Now()))
}

func stateOf(e table.Entry, now time.Time) metricchanges.State {
	state := metricchanges.State{SourceRef: changesv1alpha1.SourceRef{Kind: e.Unit.Kind, Name: e.Unit.Name}}
	if !e.Facts.SampledAt.IsZero() {
		at := metav1.NewMicroTime(e.Facts.SampledAt)
		state.SampledAt = &at
	}
	sample, fault := query.Serve(e.Sample, *e.Facts, now)
	if fault != nil {
		state.Reason = fault.Reason
		return state
	}
	value := query.Quantity(sample.Value)
	state.Value = &value
	return state
}
