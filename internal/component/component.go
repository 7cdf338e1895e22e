// Package component is the frame of a binary that decides: it connects, elects
// a leader where the binary acts, serves its port with the last decisions,
// starts the work and ends it in order. What is observed, decided and acted on
// is the component's; no rule, flag or check of one component is known here.
package component

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/health"
	"github.com/quartet-autoscaling/quartet/internal/leader"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/serving"
)

// Config is what sets one component apart from another. All but Decisions'
// optional fields are required.
type Config struct {
	// Name is the binary's, its lease's and that of its ledger's files.
	Name string
	// Short says in one sentence what the binary does.
	Short string
	// Kind tells whether a leader is elected.
	Kind runtimeflags.Kind
	// Options are the component's own flags.
	Options runtimeflags.Options
	// Decisions says how the last decisions are served. Who leads is filled in
	// where a leader is elected.
	Decisions decisionapi.StoreConfig
	// Build makes the work. It is called once, where the mode decides at all, with
	// a context that ends with the process.
	Build func(ctx context.Context, frame *Frame) (Work, error)
}

// Frame is what the work is built on.
type Frame struct {
	Flags *runtimeflags.Flags
	Port  *serving.Options
	REST  *rest.Config
	// Decisions are what the port serves.
	Decisions *decisionapi.Store
	// Elector is nil where the component elects no leader.
	Elector *leader.Elector

	name    string
	server  *serving.Server
	closers []func() error
}

// Work is what runs besides the port.
type Work struct {
	// Background runs on every replica until its context ends.
	Background []func(context.Context)
	// Run works until its context ends, and returns nil then. Where a leader is
	// elected it is called once this replica leads, otherwise at once.
	Run func(context.Context) error
	// Checks are the readiness's, in the order in which they are shown.
	Checks []health.Check
}

// NewCommand makes the binary: its flags, and its run from start to end.
func NewCommand(c Config) *runtimeflags.Command {
	flags, port := runtimeflags.New(c.Kind), serving.NewOptions()
	return &runtimeflags.Command{
		Name: c.Name, Short: c.Short, Flags: flags, Options: []runtimeflags.Options{port, c.Options},
		Run: func(ctx context.Context) error {
			frame, err := newFrame(c, flags, port)
			if err != nil {
				return err
			}
			return frame.run(ctx, c.Build)
		},
	}
}

func newFrame(c Config, flags *runtimeflags.Flags, port *serving.Options) (*Frame, error) {
	f := &Frame{Flags: flags, Port: port, name: c.Name}
	var err error
	if f.REST, err = flags.RESTConfig(c.Name); err != nil {
		return nil, err
	}
	decisions := c.Decisions
	if c.Kind == runtimeflags.Acting {
		f.Elector, err = leader.New(leader.Config{
			Disabled: !flags.LeaderElect || !flags.Mode.Decides(), REST: f.REST,
			Name: c.Name, Namespace: flags.LeaderElectResourceNamespace,
		})
		if err != nil {
			return nil, err
		}
		decisions.Leading = f.Elector.Leading
	}
	f.Decisions = decisionapi.NewStore(decisions)
	f.server, err = serving.New(serving.Config{Name: c.Name, Options: port, Kubeconfig: flags.Kubeconfig})
	if err != nil {
		return nil, err
	}
	if err := decisionapi.InstallGroup(f.server, decisionapi.GroupName(decisions.Component), f.Decisions); err != nil {
		return nil, fmt.Errorf("serve decisions: %w", err)
	}
	return f, nil
}

// run serves, builds the work and runs it until the context ends or a part
// fails. What was opened is closed once all has ended.
func (f *Frame) run(ctx context.Context, build func(context.Context, *Frame) (Work, error)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return f.server.Run(ctx) })
	if !f.Flags.Mode.Decides() {
		return group.Wait()
	}
	work, err := build(ctx, f)
	if err != nil {
		return err
	}
	if err := f.server.AddReadyChecks(work.Checks...); err != nil {
		return err
	}
	for _, background := range work.Background {
		group.Go(func() error { background(ctx); return nil })
	}
	group.Go(func() error {
		if f.Elector == nil {
			return work.Run(ctx)
		}
		return f.Elector.Run(ctx, work.Run)
	})
	return errors.Join(group.Wait(), f.close())
}

func (f *Frame) close() error {
	var failed error
	for _, closer := range f.closers {
		failed = errors.Join(failed, closer())
	}
	return failed
}
