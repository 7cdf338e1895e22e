// Command supervise runs processes for one parent and ends all of them when that parent goes, however it goes. The
// package supervisor one folder up is its client and says why it is a program of its own.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/quartet-autoscaling/quartet/test/lab/supervisor"
)

// heldFile is where a parent hands over a file to hold: the first one after the standard three.
const heldFile = 3

func init() {
	// Children get a parent-death signal for the case that this process itself is killed. It follows the thread
	// that started them, so that has to be one that lives as long as the process: the main one.
	runtime.LockOSThread()
}

func main() {
	dir := flag.String("dir", "", "working folder, removed at the end")
	flag.Parse()
	if err := run(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "supervise:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	syscall.CloseOnExec(heldFile)
	// Asking somebody to leave is the parent's business: a Ctrl-C in a terminal, or the parent's own service
	// manager, may reach this process as well. Catching a signal, unlike ignoring it, is not inherited by children.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
	if err := adoptOrphans(); err != nil {
		return fmt.Errorf("becoming the one that adopts orphans: %w", err)
	}
	children := newChildren(json.NewEncoder(os.Stdout))
	go children.reapOnSignal()

	keep, err := serve(bufio.NewReader(os.Stdin), children)
	return errors.Join(err, children.killAll(), clean(dir, keep))
}

// serve answers requests until the parent's end of the pipe closes.
func serve(requests *bufio.Reader, c *children) (*supervisor.Request, error) {
	var keep *supervisor.Request
	for {
		line, err := requests.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return keep, nil
		}
		if err != nil {
			return keep, fmt.Errorf("reading from the parent: %w", err)
		}
		var request supervisor.Request
		if err := json.Unmarshal(line, &request); err != nil {
			return keep, fmt.Errorf("decoding a request: %w", err)
		}
		switch request.Op {
		case supervisor.OpStart:
			c.start(request.ID, *request.Spec)
		case supervisor.OpSignal:
			c.signal(request.ID, syscall.Signal(request.Signal))
		case supervisor.OpKeep:
			keep = &request
		default:
			return keep, fmt.Errorf("unknown request %q", request.Op)
		}
	}
}

// clean removes the working folder, or of one that is to be kept the entries that nobody will read.
func clean(dir string, keep *supervisor.Request) error {
	if dir == "" {
		return nil
	}
	if keep == nil {
		return os.RemoveAll(dir)
	}
	var errs []error
	for _, name := range keep.Drop {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}
