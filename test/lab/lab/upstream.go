package lab

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/quartet-autoscaling/quartet/test/lab/supervisor"
)

// upstreamStopLimit is how long it may take to leave after SIGTERM.
const upstreamStopLimit = 30 * time.Second

// Upstream is a controller of upstream's that runs by itself, to compare with and to take over from. It goes with
// the lab, or by Stop.
type Upstream struct {
	lab     *Lab
	process *supervisor.Process
	name    string // of its log
	url     string
	ready   func(ctx context.Context) error
}

// PID returns the number of the process.
func (u *Upstream) PID() int { return u.process.PID() }

// URL returns where it serves /metrics, to everybody.
func (u *Upstream) URL() string { return u.url }

// WaitReady waits until it says that it works.
func (u *Upstream) WaitReady(ctx context.Context) error {
	return u.lab.until(ctx, wait{what: u.name, limit: readyLimit, log: u.name}, u.ready)
}

// Stop ends it and waits for its end.
func (u *Upstream) Stop() error {
	if err := u.process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping %s: %w", u.name, err)
	}
	select {
	case <-u.process.Done():
		return nil
	case <-time.After(upstreamStopLimit):
	}
	if err := u.process.Signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("killing %s: %w", u.name, err)
	}
	<-u.process.Done()
	return nil
}

// runUpstream starts a program of upstream's. Where it serves, and how it says that it works, is for the caller to add.
func (l *Lab) runUpstream(name, program string, args []string) (*Upstream, error) {
	process, err := l.supervisor.Run(supervisor.Spec{
		Path: program, Args: args, Env: l.environment(), Dir: l.folder.path, Log: l.logPath(name),
	})
	if err != nil {
		return nil, err
	}
	return &Upstream{lab: l, process: process, name: name}, nil
}
