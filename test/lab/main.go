// Command lab starts a real Kubernetes control plane on this machine for a developer to play in, prints how to reach
// it, and waits. Ctrl-C, or the end of this program in any other way, takes all of it away again.
//
//	go run ./test/lab
//	go run ./test/lab --chart --metrics-server --nodes 10
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
	case ctx.Err() != nil:
		// Asked to leave, and left: what was interrupted has nothing to say.
	case err != nil:
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	options := lab.Options{Progress: os.Stderr}
	flags.IntVar(&options.Nodes, "nodes", 3, "number of fake nodes")
	flags.BoolVar(&options.UpstreamHPA, "upstream-hpa", false, "leave upstream's HPA controller on")
	flags.BoolVar(&options.MetricsServer, "metrics-server", false, "serve metrics.k8s.io with metrics-server")
	chart := flags.Bool("chart", false, "install the suite's chart and run its binaries")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if options.Nodes == 0 {
		options.Nodes = -1 // The library takes 0 for its default.
	}
	l, err := lab.Start(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Stop()) }()
	if *chart {
		if err := install(ctx, l); err != nil {
			return err
		}
	}
	fmt.Printf("export KUBECONFIG=%s\nalias kubectl=%s\n", l.Kubeconfig(), l.KubectlPath())
	fmt.Fprintf(os.Stderr, "lab: logs are in %s; Ctrl-C ends the lab\n", l.Logs())
	select {
	case <-ctx.Done():
		return nil
	case <-l.Failed():
		return l.Err()
	}
}

func install(ctx context.Context, l *lab.Lab) error {
	release, err := l.InstallChart(ctx, lab.ChartOptions{})
	if err != nil {
		return err
	}
	if err := release.WaitReady(ctx); err != nil {
		return err
	}
	for _, process := range release.Processes() {
		fmt.Fprintf(os.Stderr, "lab: %s runs as process %d, its log is %s\n", process.Name(), process.PID(), process.LogPath())
	}
	return nil
}
