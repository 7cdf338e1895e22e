package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/component-base/metrics/legacyregistry"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	cmmetrics "sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver/metrics"

	"github.com/quartet-autoscaling/quartet/adapter/controller"
	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/table"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/buildinfo"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/leader"
	"github.com/quartet-autoscaling/quartet/internal/ledger"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/serving"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// run builds the adapter and works until the context ends.
func run(ctx context.Context, flags *runtimeflags.Flags, o options) error {
	connection, err := flags.RESTConfig(Name)
	if err != nil {
		return err
	}
	held := newMemory()
	objects, err := newInventory(connection)
	if err != nil {
		return err
	}
	peers, err := newPeers(o.others, connection)
	if err != nil {
		return err
	}
	if held.shared, err = newSharedPolls(o.shared, connection, flags, o.port.SecurePort); err != nil {
		return err
	}
	server, err := newAPI(
		serving.Config{Name: Name, Options: o.port, Kubeconfig: flags.Kubeconfig, Streams: held.shared.streams()}, providersOf(held, objects, peers), held.last, held.changes.beside())
	if err != nil {
		return err
	}
	if err := registerMetrics(held.metrics); err != nil {
		return err
	}
	if err := server.AddReadyChecks(peers.Check()); err != nil {
		return err
	}
	if !flags.Mode.Decides() {
		slog.Info("Mode is Off: no source is polled and no metric is served")
		return all(ctx, server.Run, held.changes.run, peers.Run)
	}
	work, err := newWork(connection, flags, held)
	if err != nil {
		return err
	}
	defer work.close()
	if err := o.others.refuseSelf(work.registration.own.Namespace); err != nil {
		return err
	}
	if err := server.AddReadyChecks(work.controller.ReadyCheck(), work.registration.check(), held.shared.check()); err != nil {
		return err
	}
	return all(ctx, server.Run, work.watch, work.registration.run, work.lead, objects.Run, peers.Run, held.changes.run, held.shared.run)
}

// memory is what the loop fills and the secure port reads.
type memory struct {
	table   *table.Table
	last    *decisionapi.Store
	metrics *ownMetrics
	changes *changeFeed
	shared  *sharedPolls // nil where nothing is shared
}

func newMemory() memory {
	served := table.New()
	return memory{
		table: served, metrics: newOwnMetrics(), changes: newChangeFeed(served, clock.RealClock{}),
		// Every replica decides, so every one of them answers.
		last: decisionapi.NewStore(decisionapi.StoreConfig{
			Component: apiComponent, Kind: "MetricSource", Shared: served.Serves,
		}),
	}
}

func registerMetrics(m *ownMetrics) error {
	err := cmmetrics.RegisterMetrics(legacyregistry.Register)
	for _, own := range m.all() {
		err = errors.Join(err, telemetry.Registry.Register(own))
	}
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// errEnded is that of a part that ended though nothing told it to.
var errEnded = errors.New("a part of the adapter ended by itself")

// all runs the functions until the context ends or one of them returns, ends the
// others, and gives the first error. A part that returns while it should work is
// an error, whatever it gives.
func all(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, len(parts))
	for _, part := range parts {
		go func() {
			err := part(ctx)
			if err == nil && ctx.Err() == nil {
				err = errEnded
			}
			ended <- err
		}()
	}
	var first error
	for range parts {
		if err := <-ended; err != nil && first == nil {
			first = err
		}
		stop()
	}
	return first
}

// work is everything but the secure port.
type work struct {
	controller   *controller.Controller
	objects      cache.Cache
	registration *registration
	election     leader.Config
	events       events.EventBroadcaster
	ledger       *ledger.Writer[query.Snapshot, query.State, query.Decision]
}

func newWork(connection *rest.Config, flags *runtimeflags.Flags, held memory) (*work, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	w := &work{election: leader.Config{
		Disabled: !flags.LeaderElect, REST: connection, Name: Name, Namespace: flags.LeaderElectResourceNamespace,
	}}
	if w.objects, err = cache.New(connection, cacheOptions(scheme)); err != nil {
		return nil, fmt.Errorf("set up the cache of MetricSources: %w", err)
	}
	direct, err := client.New(connection, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("set up the client: %w", err)
	}
	clientset, err := kubernetes.NewForConfig(connection)
	if err != nil {
		return nil, fmt.Errorf("set up the client of events: %w", err)
	}
	if w.registration, err = newRegistration(direct, flags); err != nil {
		return nil, err
	}
	w.events = events.NewBroadcaster(&events.EventSinkImpl{Interface: clientset.EventsV1()})
	config := controller.Config{
		Objects: w.objects, Secrets: direct, Status: direct,
		OwnNamespace: w.registration.own.Namespace,
		Events:       w.events.NewRecorder(scheme, Name),
		Builders:     builders(w.objects, direct.RESTMapper(), inputs{table: held.table, clock: clock.RealClock{}}),
		Table:        held.table, Last: held.last, PollObserver: held.metrics, Sharing: held.shared.sharing(),
		OtherAdapter: w.registration.Other, OtherCustomAdapter: w.registration.OtherCustom,
		Mode: query.Mode(flags.Mode), Clock: clock.RealClock{}, Log: slog.Default(),
	}
	if flags.LedgerDir != "" {
		w.ledger, err = ledger.Open[query.Snapshot, query.State, query.Decision](ledger.Config{
			Dir: flags.LedgerDir, Component: query.Component, Build: buildinfo.Get().Version,
		})
		if err != nil {
			return nil, fmt.Errorf("open the ledger: %w", err)
		}
		config.Recorder = w.ledger
	}
	if w.controller, err = controller.New(config); err != nil {
		return nil, err
	}
	w.registration.changed = w.controller.EnqueueAll
	held.shared.feeds(w.controller)
	return w, telemetry.Registry.Register(&stateMetrics{table: held.table, summarizer: w.controller, clock: config.Clock})
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme), apiregistrationv1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("set up the scheme: %w", err)
	}
	return scheme, nil
}

// watch keeps the cache of objects and runs the loop on them.
func (w *work) watch(ctx context.Context) error {
	if err := w.controller.Watch(ctx, w.objects); err != nil {
		return err
	}
	return all(ctx, w.objects.Start, func(ctx context.Context) error {
		if !w.objects.WaitForCacheSync(ctx) {
			return nil
		}
		present, err := controller.Present(ctx, w.objects)
		if err != nil {
			return err
		}
		return w.controller.Run(ctx, present)
	})
}

// lead writes status and events while this replica leads.
func (w *work) lead(ctx context.Context) error {
	stop := make(chan struct{})
	defer close(stop)
	w.events.StartRecordingToSink(stop)
	return lead(ctx, w.election, w.controller.RunStatus)
}

func (w *work) close() {
	w.events.Shutdown()
	if w.ledger == nil {
		return
	}
	if err := w.ledger.Close(); err != nil {
		slog.Error("Could not close the ledger", "error", err)
	}
}
