package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	vpaclient "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/admission/certificate"
	"github.com/quartet-autoscaling/quartet/admission/patch"
	"github.com/quartet-autoscaling/quartet/internal/buildinfo"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/health"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/leader"
	"github.com/quartet-autoscaling/quartet/internal/ledger"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/serving"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
	"github.com/quartet-autoscaling/quartet/internal/vertical"
)

const (
	name = patch.Component
	// apiComponent names the group of the last decisions.
	apiComponent = "admission"
	// certificateInterval is the time from one look at the certificate to the next,
	// and sweepInterval that between looks for objects that are gone.
	certificateInterval = 10 * time.Second
	sweepInterval       = time.Minute
	// drain is how long running reviews may take once the process is to end.
	drain = 5 * time.Second
)

type writer = ledger.Writer[patch.Snapshot, patch.State, patch.Decision]

// NewCommand makes the binary.
func NewCommand() *runtimeflags.Command {
	s := settings{flags: runtimeflags.New(runtimeflags.Serving), port: serving.NewOptions(), options: NewOptions()}
	return &runtimeflags.Command{
		Name:    name,
		Short:   "sets the requests and limits of new pods to what their VerticalPodAutoscaler recommends, and validates VerticalPodAutoscalers",
		Flags:   s.flags,
		Options: []runtimeflags.Options{s.port, s.options},
		Run:     func(ctx context.Context) error { return run(ctx, s) },
	}
}

// settings are the parsed flags.
type settings struct {
	flags   *runtimeflags.Flags
	port    *serving.Options
	options *Options
}

func run(ctx context.Context, s settings) error {
	config, err := s.flags.RESTConfig(name)
	if err != nil {
		return err
	}
	store := decisionapi.NewStore(decisionapi.StoreConfig{Component: apiComponent, Kind: patch.Kind})
	server, err := serving.New(serving.Config{Name: name, Options: s.port, Kubeconfig: s.flags.Kubeconfig})
	if err != nil {
		return err
	}
	if err := decisionapi.InstallGroup(server, decisionapi.GroupName(apiComponent), store); err != nil {
		return fmt.Errorf("serve decisions: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Run(ctx) })
	if !s.flags.Mode.Decides() {
		return group.Wait()
	}
	w, err := build(ctx, s, config, store)
	if err != nil {
		return err
	}
	if err := server.AddReadyChecks(w.checks()...); err != nil {
		return err
	}
	for _, work := range []func(context.Context){
		w.vpas.Run, w.controllers.Run, w.limits.Run, w.keeper.Run, w.standing.run, w.sweep,
	} {
		group.Go(func() error { work(ctx); return nil })
	}
	group.Go(func() error { return w.serve(ctx) })
	return errors.Join(group.Wait(), w.close())
}

// webhook is what runs besides the secure port.
type webhook struct {
	listener    net.Listener
	vpas        *vertical.Objects
	controllers *vertical.Controllers
	limits      *vertical.LimitRanges
	keeper      *certificate.Keeper
	standing    *standing
	reviewer    *reviewer
	publisher   *publisher
	// ledger is nil without --ledger-dir.
	ledger *writer

	mu sync.Mutex
	// units are the objects that pods were decided on for.
	units map[decision.Unit]bool
}

func build(ctx context.Context, s settings, config *rest.Config, store *decisionapi.Store) (*webhook, error) {
	typed := rest.CopyConfig(config)
	typed.ContentType = runtime.ContentTypeProtobuf
	typed.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(typed)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	vpas, err := vpaclient.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of VerticalPodAutoscalers: %w", err)
	}
	w := &webhook{units: map[decision.Unit]bool{}, limits: vertical.NewLimitRanges(client)}
	if w.vpas, err = vertical.NewObjects(vpas); err != nil {
		return nil, err
	}
	if w.controllers, err = vertical.NewControllers(client, false); err != nil {
		return nil, err
	}
	if err := w.stand(s, client); err != nil {
		return nil, err
	}
	if dir := s.flags.LedgerDir; dir != "" {
		w.ledger, err = ledger.Open[patch.Snapshot, patch.State, patch.Decision](ledger.Config{
			Dir: dir, Component: name, Build: buildinfo.Get().String(),
		})
		if err != nil {
			return nil, err
		}
	}
	w.publisher = &publisher{recorder: kube.NewRecorder(ctx, client, name), store: store}
	metrics, err := newMetrics(telemetry.Registry)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return w, w.assemble(ctx, s, metrics)
}

// stand makes what the webhook is known and trusted by, and opens its port.
func (w *webhook) stand(s settings, client kubernetes.Interface) error {
	o := s.options
	namespace := o.Namespace
	if namespace == "" {
		var err error
		if namespace, err = leader.PodNamespace(); err != nil {
			return fmt.Errorf("%w (or set --%s)", err, flagNamespace)
		}
	}
	var err error
	w.keeper, err = certificate.New(certificate.Config{
		Client: client, Secret: types.NamespacedName{Namespace: namespace, Name: o.Secret},
		DNSName:  o.Service + "." + namespace + ".svc",
		Mutating: o.Configuration, Validating: o.Configuration,
		Validity: o.Validity, CAValidity: caValidity, Interval: certificateInterval, Clock: clock.RealClock{},
	})
	if err != nil {
		return err
	}
	lease := types.NamespacedName{Namespace: o.LeaseNamespace, Name: o.LeaseName}
	if lease.Namespace == "" {
		lease.Namespace = namespace
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("name this replica: %w", err)
	}
	mode := s.flags.Mode
	w.standing = &standing{
		client: client, clock: clock.RealClock{}, interval: o.LeaseInterval, lease: lease, identity: host, configuration: o.Configuration,
		patching: func(ctx context.Context) error {
			if !mode.Acts() {
				return fmt.Errorf("mode %s patches nothing", mode)
			}
			_, err := w.keeper.Check(ctx)
			return errors.Join(w.synced(), err)
		},
	}
	address := net.JoinHostPort(s.port.BindAddress, strconv.Itoa(o.Port))
	if w.listener, err = net.Listen("tcp", address); err != nil {
		return fmt.Errorf("open --%s: %w", flagPort, err)
	}
	return nil
}

// assemble joins the parts to a loop with its reviewer.
func (w *webhook) assemble(ctx context.Context, s settings, m *metrics) error {
	config := loop.Config[patch.Snapshot, patch.State, patch.Decision]{
		Rules: patch.Rules(), Actuator: handing{}, Publisher: w.publisher, Clock: clock.RealClock{},
		Observer: &observer{mode: string(s.flags.Mode), vpas: w.vpas, limits: w.limits, rival: w.standing.rival},
		OnRecordError: func(err error) {
			telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not record", slog.Any("error", err))
		},
	}
	if w.ledger != nil {
		config.Recorder = w.ledger
	}
	turning, err := loop.New(config)
	if err != nil {
		return err
	}
	w.reviewer = &reviewer{
		mode: s.flags.Mode, vpas: w.vpas, controllers: w.controllers, loop: turning, metrics: m, seen: w.see,
	}
	return nil
}

// serve answers reviews until the context ends and those that run are done.
func (w *webhook) serve(ctx context.Context) error {
	// Before the first pod is patched it is known whether another webhook does.
	w.standing.look(ctx)
	server := &http.Server{
		Handler:           w.reviewer.handler(),
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: w.keeper.GetCertificate},
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ErrorLog:    slog.NewLogLogger(telemetry.Logger(ctx).Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	defer context.AfterFunc(ctx, func() {
		draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		ended <- server.Shutdown(draining)
	})()
	if err := server.ServeTLS(w.listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve reviews: %w", err)
	}
	return <-ended
}

func (w *webhook) see(unit decision.Unit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.units[unit] = true
}

// sweep forgets objects that are gone.
func (w *webhook) sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.forgetGone()
		}
	}
}

func (w *webhook) forgetGone() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for unit := range w.units {
		if vpa := w.vpas.Get(unit.Namespace, unit.Name); vpa != nil && string(vpa.UID) == unit.UID {
			continue
		}
		delete(w.units, unit)
		w.reviewer.loop.Forget(unit)
		w.publisher.forget(unit)
	}
}

// synced tells whether all caches are filled.
func (w *webhook) synced() error {
	switch {
	case !w.vpas.Synced():
		return errors.New("VerticalPodAutoscalers are not listed yet")
	case !w.controllers.Synced():
		return errors.New("ReplicaSets and Jobs are not listed yet")
	case !w.limits.Synced():
		return errors.New("LimitRanges are not listed yet")
	}
	return nil
}

func (w *webhook) close() error {
	if w.ledger == nil {
		return nil
	}
	return w.ledger.Close()
}

// checks tell whether reviews can be answered, and what is left alone.
func (w *webhook) checks() []health.Check {
	return []health.Check{
		{Name: "caches", Func: func(context.Context) (string, error) { return "", w.synced() }},
		{Name: "certificate", Func: w.keeper.Check},
		{Name: "other-writers", Func: w.standing.otherWriters},
		{Name: "lease", Func: w.standing.leaseDetail},
	}
}
