package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/quartet-autoscaling/quartet/test/lab/supervisor"
)

const (
	// killLimit is how long the end waits for killed processes to be gone.
	killLimit = 25 * time.Second
	// killPause lies between two rounds of killing: a killed process needs a moment to vanish.
	killPause = 2 * time.Millisecond
)

// children are the processes that were started on request. One lock orders a start before the report of its end.
type children struct {
	mu     sync.Mutex
	events *json.Encoder
	pids   map[int]int // by request
	ids    map[int]int // by process
}

func newChildren(events *json.Encoder) *children {
	return &children{events: events, pids: map[int]int{}, ids: map[int]int{}}
}

// report sends an event. A parent that went away reads none, and the end of its pipe says so at once.
func (c *children) report(event supervisor.Event) { _ = c.events.Encode(event) }

func (c *children) start(id int, spec supervisor.Spec) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pid, err := spawn(spec)
	if err != nil {
		c.report(supervisor.Event{Kind: supervisor.Failed, ID: id, Error: err.Error()})
		return
	}
	c.pids[id], c.ids[pid] = pid, id
	c.report(supervisor.Event{Kind: supervisor.Started, ID: id, PID: pid})
}

// spawn starts a process in a process group of its own. It does without os/exec, which would want to wait for its
// children itself while reap waits for anybody's.
func spawn(spec supervisor.Spec) (int, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer func() { _ = null.Close() }()
	log, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return 0, err
	}
	defer func() { _ = log.Close() }()
	return syscall.ForkExec(spec.Path, append([]string{spec.Path}, spec.Args...), &syscall.ProcAttr{
		Dir:   spec.Dir,
		Env:   spec.Env,
		Files: []uintptr{null.Fd(), log.Fd(), log.Fd()},
		Sys:   childAttributes(),
	})
}

func (c *children) signal(id int, signal syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pid, ok := c.pids[id]; ok {
		_ = syscall.Kill(-pid, signal) // Its end is reported in any case.
	}
}

func (c *children) reapOnSignal() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	c.reap()
	for range ended {
		c.reap()
	}
}

// reap collects every child that ended, adopted ones too, and reports those that were asked for.
func (c *children) reap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		id, ok := c.ids[pid]
		if !ok {
			continue
		}
		delete(c.ids, pid)
		delete(c.pids, id)
		event := supervisor.Event{Kind: supervisor.Exited, ID: id, PID: pid}
		if status.Signaled() {
			event.Signal = int(status.Signal())
		} else {
			event.Code = status.ExitStatus()
		}
		c.report(event)
	}
}

// killAll kills every descendant, again and again until there is none: what a killed process forked meanwhile is
// adopted by this one and found in the next round.
func (c *children) killAll() error {
	for deadline := time.Now().Add(killLimit); ; time.Sleep(killPause) {
		pids, err := c.descendants()
		if err != nil {
			return fmt.Errorf("listing the processes to end: %w", err)
		}
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // It may have ended by itself.
		}
		c.reap()
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v did not end within %s", pids, killLimit)
		}
	}
}
