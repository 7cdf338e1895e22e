package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// linesEvery is how often a run without a terminal says where it is.
const linesEvery = 5 * time.Second

// showLines runs the play and prints a line now and then.
func showLines(ctx context.Context, p *play, s settings, out io.Writer) error {
	_, _ = fmt.Fprintf(out, "running for %v\n", s.duration)
	ended := make(chan error, 1)
	go func() { ended <- p.run(ctx, s.duration) }()
	t := time.NewTicker(linesEvery)
	defer t.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-t.C:
			_, _ = fmt.Fprintln(out, line(p.frame()))
		}
	}
}

func line(f frame) string {
	return fmt.Sprintf("%5s  %4d msg/s  queue %5d  workers %2d of %2d  nodes %d  pending %2d  %s",
		f.elapsed.Round(time.Second), f.rate, f.depth, f.working, f.replicas, f.cluster.nodes.Final, f.cluster.pending, f.last.Message)
}
