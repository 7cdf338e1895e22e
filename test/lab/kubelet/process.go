package kubelet

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/quartet-autoscaling/quartet/test/lab/supervisor"
)

const (
	// firstPause and longestPause bound the pause before a restart, which doubles. A kubelet's go from 10 s to 5
	// minutes, which no test would wait for.
	firstPause   = 250 * time.Millisecond
	longestPause = 5 * time.Second
	// steadyAfter is how long a process has to run for the pause to begin small again.
	steadyAfter = 20 * time.Second
	// prepareRetry is the pause after something that the pod needs was not there.
	prepareRetry = 250 * time.Millisecond
	// defaultGrace is what Kubernetes gives a process between SIGTERM and SIGKILL.
	defaultGrace = 30 * time.Second
)

var errNotRunning = errors.New("it is not running")

// Kill kills the process with -9 and returns when it is gone. It is then restarted as a crashed container is.
func (p *Process) Kill() error {
	p.mu.Lock()
	current := p.current
	p.mu.Unlock()
	if current == nil {
		return fmt.Errorf("killing %s: %w", p.pod.name, errNotRunning)
	}
	if err := current.Signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("killing %s: %w", p.pod.name, err)
	}
	<-current.Done()
	p.clear(current)
	return nil
}

// Stop ends the process as the deletion of its pod would, with SIGTERM first, and leaves it ended until Start.
func (p *Process) Stop() error {
	p.mu.Lock()
	p.wanted = false
	current := p.current
	p.change()
	p.mu.Unlock()
	if current == nil {
		return nil
	}
	if err := p.terminate(current); err != nil {
		return fmt.Errorf("stopping %s: %w", p.pod.name, err)
	}
	p.clear(current)
	return nil
}

// Start runs the process again after Stop.
func (p *Process) Start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
	p.change()
}

// clear forgets a process that ended before keepRunning has seen it, so that nobody takes it for running.
func (p *Process) clear(ended *supervisor.Process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == ended {
		p.current = nil
		p.lastErr = errors.New("it " + ended.Exit().String())
	}
}

// terminate asks a process to leave, and makes it after its grace period.
func (p *Process) terminate(current *supervisor.Process) error {
	grace := defaultGrace
	if seconds := p.pod.spec.TerminationGracePeriodSeconds; seconds != nil {
		grace = time.Duration(*seconds) * time.Second
	}
	if err := current.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-current.Done():
		return nil
	case <-timer.C:
	}
	p.pod.config.Say("%s did not end within %s, killing it", p.pod.name, grace)
	if err := current.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-current.Done()
	return nil
}

// keepRunning starts the process whenever it is wanted and none runs, until the background ends.
func (p *Process) keepRunning() {
	ctx := p.pod.config.Background
	pause, first := firstPause, true
	for p.awaitWanted(ctx) {
		started := time.Now()
		process, err := p.launch(ctx, !first)
		if err != nil {
			p.note(err)
			sleep(ctx, prepareRetry)
			continue
		}
		first = false
		watching, stopWatching := context.WithCancel(ctx)
		p.pod.config.Go(func() { p.watchLiveness(watching, process) })
		select {
		case <-process.Done():
		case <-ctx.Done():
			stopWatching()
			return
		}
		stopWatching()
		p.clear(process)
		if !p.isWanted() {
			first = true // A start that was asked for is not a restart.
			pause = firstPause
			continue
		}
		if time.Since(started) > steadyAfter {
			pause = firstPause
		}
		p.pod.config.Say("%s %s, starting it again in %s", p.pod.name, process.Exit(), pause)
		sleep(ctx, pause)
		pause = min(2*pause, longestPause)
	}
}

// launch starts the process once.
func (p *Process) launch(ctx context.Context, again bool) (*supervisor.Process, error) {
	spec, err := p.pod.prepare(ctx)
	if err != nil {
		return nil, err
	}
	process, err := p.pod.config.Supervisor.Run(spec)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.current, p.lastErr = process, nil
	if again {
		p.restarts++
	}
	stopped := !p.wanted
	p.change()
	p.mu.Unlock()
	if stopped { // Stop came while the process was being started.
		return process, p.terminate(process)
	}
	return process, nil
}

// awaitWanted waits until the process is to run, and reports false when the background ends first.
func (p *Process) awaitWanted(ctx context.Context) bool {
	for {
		p.mu.Lock()
		wanted, changed := p.wanted, p.changed
		p.mu.Unlock()
		if ctx.Err() != nil {
			return false
		}
		if wanted {
			return true
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}

func (p *Process) isWanted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wanted
}

// note records why no process runs, and says it once.
func (p *Process) note(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lastErr == nil || p.lastErr.Error() != err.Error() {
		p.pod.config.Say("%s cannot start: %v", p.pod.name, err)
	}
	p.lastErr = err
	p.change()
}

// change wakes whoever waits for a change. The lock is held.
func (p *Process) change() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
