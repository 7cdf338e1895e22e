package lab

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/quartet-autoscaling/quartet/test/lab/supervisor"
	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

// upstreamStopLimit is how long it may take to leave after SIGTERM.
const upstreamStopLimit = 30 * time.Second

// UpstreamHPA is a controller manager with upstream's HPA controller and nothing else, to measure by itself.
type UpstreamHPA struct {
	lab     *Lab
	process *supervisor.Process
	port    int
	log     string
}

// RunUpstreamHPA starts one, at its own defaults but for the arguments, and returns at once. It goes with the lab, or
// by Stop.
func (l *Lab) RunUpstreamHPA(args ...string) (*UpstreamHPA, error) {
	port, err := l.ports.take()
	if err != nil {
		return nil, err
	}
	u := &UpstreamHPA{lab: l, port: port, log: hpaController}
	u.process, err = l.supervisor.Run(supervisor.Spec{
		Path: l.programs.Path(toolchain.ControllerManager),
		Args: append(append(l.credentials.delegated(l.credentials.controllers, port),
			"--controllers="+hpaController,
			"--leader-elect=false",
			"--use-service-account-credentials",
			"--authorization-always-allow-paths=/healthz,/metrics",
		), args...),
		Env: l.environment(),
		Dir: l.folder.path,
		Log: l.logPath(u.log),
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}

// PID returns the number of the process.
func (u *UpstreamHPA) PID() int { return u.process.PID() }

// URL returns where it serves /metrics, to everybody.
func (u *UpstreamHPA) URL() string { return localURL("https", u.port) }

// WaitReady waits until it says that it works.
func (u *UpstreamHPA) WaitReady(ctx context.Context) error {
	ready := wait{what: u.log, limit: readyLimit, log: u.log}
	return u.lab.until(ctx, ready, func(ctx context.Context) error { return healthy(ctx, u.URL()+"/healthz") })
}

// Stop ends it and waits for its end.
func (u *UpstreamHPA) Stop() error {
	if err := u.process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping %s: %w", u.log, err)
	}
	select {
	case <-u.process.Done():
		return nil
	case <-time.After(upstreamStopLimit):
	}
	if err := u.process.Signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("killing %s: %w", u.log, err)
	}
	<-u.process.Done()
	return nil
}
