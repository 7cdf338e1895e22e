// Command demo shows the whole loop on one machine: a real control plane, the
// suite's binaries under the chart's RBAC, a real queue whose arrivals follow a
// day, and one real worker for every Running pod. It is started by `make demo`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/quartet-autoscaling/quartet/test/queue"
)

func main() {
	var s settings
	flag.BoolVar(&s.headless, "headless", false, "run without a terminal and end by itself")
	flag.DurationVar(&s.duration, "duration", 0, "how long the run takes, preparation not counted; 0 runs until interrupted, or 4m where headless")
	flag.StringVar(&s.json, "json", "", "`file` to write the run's figures to")
	flag.StringVar(&s.queue, "queue", "nats", "the broker that the queue lives in: one of "+strings.Join(queue.Systems(), ", "))
	flag.BoolVar(&s.keepLogs, "keep-logs", false, "keep the lab's folder with all logs and ledgers, and name it")
	flag.Parse()
	if err := s.complete(flag.Args(), term.IsTerminal(int(os.Stdout.Fd()))); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, s, os.Stdout)
	stop()
	switch {
	case errors.Is(err, context.Canceled):
		os.Exit(130)
	case err != nil:
		_, _ = fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// complete checks the flags and fills in what was not said.
func (s *settings) complete(args []string, terminal bool) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q", args[0])
	}
	if !slices.Contains(queue.Systems(), s.queue) {
		return fmt.Errorf("--queue %q is no broker that the demo has: give one of %s", s.queue, strings.Join(queue.Systems(), ", "))
	}
	if !terminal {
		s.headless = true
	}
	if s.headless && s.duration == 0 {
		s.duration = 4 * time.Minute
	}
	if s.duration != 0 && s.duration < minDuration {
		return fmt.Errorf("--duration %v is too short for a day and an evening: give %v or more", s.duration, minDuration)
	}
	return nil
}

// run is one demo from the first build to the verdict.
func run(ctx context.Context, s settings, out io.Writer) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go cancelWhenOrphaned(ctx, cancel)
	p, err := prepare(ctx, s, out)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, p.close())
		if s.keepLogs {
			_, _ = fmt.Fprintln(out, "logs and ledgers are kept in", p.lab.Dir())
		}
	}()

	show := showLines
	if !s.headless {
		show = showScreen
	}
	if err := show(ctx, p, s, out); err != nil {
		return err
	}
	r, err := p.report(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "\n%s\n", r)
	if s.json != "" {
		if err := r.write(s.json); err != nil {
			return err
		}
	}
	if !p.whole {
		return ctx.Err()
	}
	return r.verdict()
}

// cancelWhenOrphaned ends the run where the process that started it is gone, for
// example make killed with -9: nobody would be left to end it.
func cancelWhenOrphaned(ctx context.Context, cancel context.CancelFunc) {
	parent := os.Getppid()
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if os.Getppid() != parent {
				cancel()
				return
			}
		}
	}
}
