package brokers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/quartet-autoscaling/quartet/test/lab/supervisor"
	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

// Times that bound a server's start and its end.
const (
	startLimit = 60 * time.Second
	stopLimit  = 30 * time.Second
	askEvery   = 20 * time.Millisecond
	askLimit   = 5 * time.Second
	// logShown is how much of a server's log an error repeats, in bytes.
	logShown = 4 << 10
)

// Config says which server to run.
type Config struct {
	// Name is the server's, for messages and file names.
	Name string
	// Path of the program and its arguments.
	Path string
	Args []string
	// Env is added to a small environment (PATH, HOME, LANG).
	Env []string
	// User runs the program as another user of the system where this process is
	// root's; empty keeps the user. Dir then belongs to that user.
	User string
	// Dir is an empty folder for the server's data, removed by Close.
	Dir string
	// Ready gives nil once the server answers.
	Ready func(ctx context.Context) error
}

// Server is a running server.
type Server struct {
	cfg        Config
	supervisor *supervisor.Supervisor
	log        string

	mu      sync.Mutex
	process *supervisor.Process
}

// Folder makes a folder for a server's data, readable by others, since some
// servers refuse to run as root.
func Folder(name string) (string, error) {
	return FolderIn("", name)
}

// FolderIn makes such a folder in another one, which is made where it is missing;
// empty is the system's for temporary files.
func FolderIn(parent, name string) (string, error) {
	if parent != "" {
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return "", fmt.Errorf("making a folder for %s: %w", name, err)
		}
	}
	dir, err := os.MkdirTemp(parent, "quartet-"+name+"-")
	if err != nil {
		return "", fmt.Errorf("making a folder for %s: %w", name, err)
	}
	return dir, os.Chmod(dir, 0o755)
}

// Start runs a server and returns once it is ready.
func Start(ctx context.Context, c Config) (*Server, error) {
	program, err := toolchain.Supervise(ctx, io.Discard)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: c, log: filepath.Join(c.Dir, c.Name+".log")}
	s.supervisor, err = supervisor.New(supervisor.Config{Program: program, Dir: c.Dir, Log: filepath.Join(c.Dir, "supervise.log")})
	if err != nil {
		return nil, err
	}
	if err := s.Restart(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Restart runs the server again after Kill or Stop, and returns once it is ready.
func (s *Server) Restart(ctx context.Context) error {
	spec := supervisor.Spec{
		Path: s.cfg.Path, Args: s.cfg.Args, Dir: s.cfg.Dir, Log: s.log,
		Env: append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=" + s.cfg.Dir}, s.cfg.Env...),
	}
	if s.cfg.User != "" && os.Getuid() == 0 {
		// setpriv is part of util-linux, which every system has.
		spec.Args = append([]string{"--reuid", s.cfg.User, "--regid", s.cfg.User, "--clear-groups", "--", spec.Path}, spec.Args...)
		spec.Path = "/usr/bin/setpriv"
	}
	process, err := s.supervisor.Run(spec)
	if err != nil {
		return fmt.Errorf("starting %s: %w", s.cfg.Name, err)
	}
	s.mu.Lock()
	s.process = process
	s.mu.Unlock()
	return s.wait(ctx, process)
}

func (s *Server) wait(ctx context.Context, process *supervisor.Process) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var last error
	for {
		ask, done := context.WithTimeout(ctx, askLimit)
		last = s.cfg.Ready(ask)
		done()
		if last == nil {
			return nil
		}
		select {
		case <-process.Done():
			return fmt.Errorf("%s %s before it was ready; its log ends:\n%s", s.cfg.Name, process.Exit(), s.Log())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready in time: %w; its log ends:\n%s", s.cfg.Name, last, s.Log())
		case <-time.After(askEvery):
		}
	}
}

// Kill ends the server with SIGKILL and waits for its end.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

// Stop ends the server with SIGTERM and waits for its end.
func (s *Server) Stop() error { return s.end(syscall.SIGTERM) }

// Freeze stops the server from running, so that it accepts connections and
// answers nothing, until Thaw.
func (s *Server) Freeze() error { return s.signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() error { return s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.Signal(signal)
}

func (s *Server) end(signal syscall.Signal) error {
	s.mu.Lock()
	process := s.process
	s.mu.Unlock()
	if err := process.Signal(signal); err != nil {
		return fmt.Errorf("ending %s: %w", s.cfg.Name, err)
	}
	select {
	case <-process.Done():
		return nil
	case <-time.After(stopLimit):
		return fmt.Errorf("%s did not end within %s", s.cfg.Name, stopLimit)
	}
}

// Log is the end of what the server wrote.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-logShown):]))
}

// Close kills the server with all that it started and removes its folder.
func (s *Server) Close() error { return s.supervisor.Close() }

// FreePort gives a TCP port of loopback that nothing listens on.
func FreePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("finding a free port: %w", err)
	}
	address, _ := listener.Addr().(*net.TCPAddr) // what listening on tcp gives
	return address.Port, listener.Close()
}

// Listening gives nil once something listens on an address.
func Listening(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}
