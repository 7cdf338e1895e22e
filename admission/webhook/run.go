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

	"k8s.io/apimachinery/pkg/types"
	vpaclient "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/admission/certificate"
	"github.com/quartet-autoscaling/quartet/admission/patch"
	"github.com/quartet-autoscaling/quartet/internal/component"
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
	"github.com/quartet-autoscaling/quartet/internal/vertical/policies"
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
	options := NewOptions()
	return component.NewCommand(component.Config{
		Name: name, Kind: runtimeflags.Serving, Options: options,
		Short:     "sets the requests and limits of new pods to what their VerticalPodAutoscaler recommends, and validates VerticalPodAutoscalers",
		Decisions: decisionapi.StoreConfig{Component: apiComponent, Kind: patch.Kind},
		Build: func(ctx context.Context, frame *component.Frame) (component.Work, error) {
			w, err := build(ctx, frame, settings{flags: frame.Flags, port: frame.Port, options: options, clock: clock.RealClock{}})
			if err != nil {
				return component.Work{}, err
			}
			return w.work(), nil
		},
	})
}

// settings are the parsed flags.
type settings struct {
	flags   *runtimeflags.Flags
	port    *serving.Options
	options *Options
	clock   clock.WithTicker
}

// webhook is what runs besides the secure port.
type webhook struct {
	listener    net.Listener
	tls         *tls.Config
	vpas        *vertical.Objects
	controllers *vertical.Controllers
	limits      *vertical.LimitRanges
	policies    *policies.Cache
	keeper      *certificate.Keeper
	standing    *standing
	reviewer    *reviewer
	publisher   *publisher
	projections *projections
	// ledger is nil without --ledger-dir.
	ledger *writer

	mu sync.Mutex
	// units are the objects that pods were decided on for.
	units map[decision.Unit]bool
}

func build(ctx context.Context, frame *component.Frame, s settings) (*webhook, error) {
	client, err := kube.NewClient(frame.REST)
	if err != nil {
		return nil, err
	}
	vpas, err := vpaclient.NewForConfig(frame.REST)
	if err != nil {
		return nil, fmt.Errorf("make a client of VerticalPodAutoscalers: %w", err)
	}
	own, err := policies.NewClient(frame.REST)
	if err != nil {
		return nil, err
	}
	w := &webhook{units: map[decision.Unit]bool{}, limits: vertical.NewLimitRanges(client)}
	if w.vpas, err = vertical.NewObjects(vpas); err != nil {
		return nil, err
	}
	if w.controllers, err = vertical.NewControllers(client, false); err != nil {
		return nil, err
	}
	if w.policies, err = policies.New(own); err != nil {
		return nil, err
	}
	if err := w.stand(s, client); err != nil {
		return nil, err
	}
	if w.ledger, err = component.OpenLedger[patch.Snapshot, patch.State, patch.Decision](frame); err != nil {
		return nil, err
	}
	w.publisher = &publisher{recorder: kube.NewRecorder(ctx, client, name), store: frame.Decisions}
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
		Validity: o.Validity, CAValidity: caValidity, Interval: certificateInterval, Clock: s.clock,
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
		client: client, clock: s.clock, interval: o.LeaseInterval, lease: lease, identity: host, configuration: o.Configuration,
		patching: func(ctx context.Context) error {
			if !mode.Acts() {
				return fmt.Errorf("mode %s patches nothing", mode)
			}
			_, err := w.keeper.Check(ctx)
			return errors.Join(w.listed().Synced(), err)
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
	w.projections = newProjections()
	config := loop.Config[patch.Snapshot, patch.State, patch.Decision]{
		Rules: patch.Rules(), Actuator: handing{}, Publisher: w.publisher,
		Observer: &observer{
			mode: string(s.flags.Mode), vpas: w.vpas, limits: w.limits, policies: w.policies, projections: w.projections, rival: w.standing.rival, asked: s.options.asked(),
		},
	}
	turning, err := component.NewLoop(ctx, config, w.ledger)
	if err != nil {
		return err
	}
	w.tls = s.options.tls()
	w.reviewer = &reviewer{
		serves: s.options.serves,
		mode:   s.flags.Mode, gates: s.options.Features.Gates(),
		vpas: w.vpas, controllers: w.controllers, loop: turning, metrics: m, seen: w.see,
	}
	return nil
}

// serve answers reviews until the context ends and those that run are done.
func (w *webhook) serve(ctx context.Context) error {
	// Before the first pod is patched it is known whether another webhook does.
	w.standing.look(ctx)
	config := w.tls.Clone()
	config.GetCertificate = w.keeper.GetCertificate
	server := &http.Server{
		Handler: w.reviewer.handler(), TLSConfig: config,
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
		w.projections.forget(unit)
	}
}

// listed are the caches that the work waits for.
func (w *webhook) listed() component.Caches {
	return component.Caches{
		{Objects: "VerticalPodAutoscalers", Synced: w.vpas.Synced},
		{Objects: "ReplicaSets and Jobs", Synced: w.controllers.Synced},
		{Objects: "LimitRanges", Synced: w.limits.Synced},
		{Objects: "VerticalScalingPolicies", Synced: w.policies.Synced},
	}
}

// work is what the frame runs. Its checks tell whether reviews can be answered, and what is left alone.
func (w *webhook) work() component.Work {
	return component.Work{
		Background: []func(context.Context){w.vpas.Run, w.controllers.Run, w.limits.Run, w.policies.Run, w.keeper.Run, w.standing.run, w.sweep},
		Run:        w.serve,
		Checks: []health.Check{
			w.listed().Check(),
			{Name: "certificate", Func: w.keeper.Check},
			{Name: "other-writers", Func: w.standing.otherWriters},
			{Name: "lease", Func: w.standing.leaseDetail},
			w.policies.Check(),
		},
	}
}
