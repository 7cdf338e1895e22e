package supervisor

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// closeLimit is how long Close waits for everything to be gone.
const closeLimit = 30 * time.Second

// ErrGone says that the supervisor has ended, and everything that it had started with it.
var ErrGone = errors.New("the supervisor of the processes is gone")

// Config says which supervisor to start.
type Config struct {
	Program string   // the built command of the folder supervise
	Dir     string   // the working folder, removed at the end; empty: none
	Log     string   // a file for the supervisor's own words
	Held    *os.File // held open for as long as the supervisor lives, for the sake of its flock; may be nil
}

// Supervisor is a running supervisor command. Its methods may be called from several goroutines.
type Supervisor struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	gone  chan struct{}

	mu        sync.Mutex
	nextID    int
	processes map[int]*Process
}

// New starts the supervisor command.
func New(c Config) (*Supervisor, error) {
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the supervisor's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(c.Program, "--dir", c.Dir)
	cmd.Dir = string(os.PathSeparator)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if c.Held != nil {
		cmd.ExtraFiles = []*os.File{c.Held}
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("making the supervisor's pipe: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("making the supervisor's pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the supervisor: %w", err)
	}
	s := &Supervisor{cmd: cmd, stdin: stdin, gone: make(chan struct{}), processes: map[int]*Process{}}
	go s.read(stdout)
	return s, nil
}

// Run starts a process and returns once it runs.
func (s *Supervisor) Run(spec Spec) (*Process, error) {
	p := &Process{supervisor: s, started: make(chan struct{}), done: make(chan struct{})}
	s.mu.Lock()
	s.nextID++
	p.id = s.nextID
	s.processes[p.id] = p
	s.mu.Unlock()
	if err := s.send(Request{Op: OpStart, ID: p.id, Spec: &spec}); err != nil {
		return nil, err
	}
	select {
	case <-p.started:
	case <-s.gone:
		return nil, ErrGone
	}
	if p.failure != "" {
		return nil, fmt.Errorf("starting %s: %s", spec.Path, p.failure)
	}
	return p, nil
}

// Keep leaves the working folder behind at the end, without the entries named by drop.
func (s *Supervisor) Keep(drop ...string) error {
	return s.send(Request{Op: OpKeep, Drop: drop})
}

// Gone is closed when the supervisor has ended.
func (s *Supervisor) Gone() <-chan struct{} { return s.gone }

// PID returns the supervisor's own process.
func (s *Supervisor) PID() int { return s.cmd.Process.Pid }

// Close ends everything that was started and everything that descends from it, removes the working folder, and
// returns when all of it is gone. It may be called again.
func (s *Supervisor) Close() error {
	s.mu.Lock()
	_ = s.stdin.Close()
	s.mu.Unlock()
	select {
	case <-s.gone:
		return nil
	case <-time.After(closeLimit):
		return fmt.Errorf("the supervisor (process %d) did not end within %s", s.cmd.Process.Pid, closeLimit)
	}
}

func (s *Supervisor) send(r Request) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding a request to the supervisor: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.stdin.Write(append(line, '\n')); err != nil {
		return errors.Join(ErrGone, err)
	}
	return nil
}

// read delivers events until the supervisor ends, and then ends every process that is still waited for.
func (s *Supervisor) read(events io.Reader) {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var event Event
		if err := json.Unmarshal(line, &event); err == nil {
			s.deliver(event)
		}
	}
	_ = s.cmd.Wait() // Its exit code says nothing that the end of its output did not.
	close(s.gone)
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, p := range s.processes {
		delete(s.processes, id)
		p.exit = Exit{Signal: syscall.SIGKILL}
		close(p.done)
	}
}

func (s *Supervisor) deliver(event Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.processes[event.ID]
	if p == nil {
		return
	}
	switch event.Kind {
	case Started:
		p.pid = event.PID
		close(p.started)
	case Failed:
		p.failure = event.Error
		delete(s.processes, event.ID)
		close(p.started)
		close(p.done)
	case Exited:
		p.exit = Exit{Code: event.Code, Signal: syscall.Signal(event.Signal)}
		delete(s.processes, event.ID)
		close(p.done)
	}
}

// Process is a process that a supervisor runs.
type Process struct {
	supervisor *Supervisor
	id         int
	started    chan struct{}
	done       chan struct{}

	// Written before started or done is closed.
	pid     int
	failure string
	exit    Exit
}

// PID returns the process's number.
func (p *Process) PID() int { return p.pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit says how the process ended. It waits for the end.
func (p *Process) Exit() Exit {
	<-p.done
	return p.exit
}

// Signal sends a signal to the process and to its process group.
func (p *Process) Signal(signal syscall.Signal) error {
	return p.supervisor.send(Request{Op: OpSignal, ID: p.id, Signal: int(signal)})
}

// Exit is how a process ended.
type Exit struct {
	Code   int            // the exit code, where no signal ended it
	Signal syscall.Signal // the signal that ended it, or 0
}

// String says it in words.
func (e Exit) String() string {
	if e.Signal != 0 {
		return fmt.Sprintf("was ended by signal %d (%s)", int(e.Signal), e.Signal)
	}
	return fmt.Sprintf("exited with code %d", e.Code)
}
