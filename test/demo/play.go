package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quartet-autoscaling/quartet/test/budget"
	"github.com/quartet-autoscaling/quartet/test/fleet"
	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/queue"
	"github.com/quartet-autoscaling/quartet/test/reaction"
	"github.com/quartet-autoscaling/quartet/test/tool"
)

// settings are the demo's flags.
type settings struct {
	headless bool
	duration time.Duration
	json     string
	keepLogs bool
	queue    string
}

const (
	// evening is the part of a bounded run in which nothing arrives any more: the
	// queue drains, the stabilization window passes, and the workers go.
	evening = 50 * time.Second
	// grace is how much longer than asked for a run may take to come to rest.
	grace = 60 * time.Second
	// dayUnbounded is the length of a day where no duration is given; days repeat.
	dayUnbounded = 5 * time.Minute
	minDuration  = evening + 40*time.Second
	// noNodes: the pool brings them.
	noNodes = -1
)

// play is one run of the demo.
type play struct {
	lab     *lab.Lab
	release *lab.Release
	broker  queue.Broker
	ledgers string

	day      queue.Day
	tally    *queue.Tally
	meter    *reaction.Meter
	producer *queue.Producer
	fleet    *fleet.Fleet
	watcher  *watcher
	cluster  *clusterWatcher
	budgets  *budget.Watcher
	start    time.Time
	// whole is set once a run has ended by itself.
	whole bool
}

// prepare builds and starts everything but the arrivals.
func prepare(ctx context.Context, s settings, progress io.Writer) (*play, error) {
	l, err := lab.Start(ctx, lab.Options{Name: "demo", Nodes: noNodes, MetricsServer: true, Progress: progress})
	if err != nil {
		return nil, fmt.Errorf("start the control plane: %w", err)
	}
	if s.keepLogs {
		l.KeepLogs()
	}
	p := &play{lab: l, ledgers: filepath.Join(l.Dir(), "ledgers")}
	if err := p.furnish(ctx, s, progress); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *play) furnish(ctx context.Context, s settings, progress io.Writer) error {
	var err error
	_, _ = fmt.Fprintf(progress, "starting the queue (%s)\n", s.queue)
	if p.broker, err = queue.Start(ctx, s.queue, filepath.Join(p.lab.Dir(), "broker")); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(progress, "installing the chart: six binaries")
	if p.release, err = p.lab.InstallChart(ctx, lab.ChartOptions{Values: chartValues(p.ledgers)}); err != nil {
		return fmt.Errorf("install the chart: %w", err)
	}
	if err := p.release.WaitReady(ctx); err != nil {
		return fmt.Errorf("wait for the binaries: %w", err)
	}
	if err := apply(ctx, p.lab, p.broker); err != nil {
		return err
	}
	p.meter = reaction.NewMeter(averageValue, tolerance, maxReplicas)
	p.tally = queue.NewTally(func(depth int) { p.meter.Depth(depth, time.Now()) })
	length := dayUnbounded
	if s.duration > 0 {
		length = s.duration - evening
	}
	p.day = queue.Day{
		Length: length, Night: nightRate, Noon: noonRate,
		Bursts: burstsPerDay, BurstFactor: burstFactor, BurstLength: length / 30,
	}
	p.producer = &queue.Producer{Broker: p.broker, Tally: p.tally, Rate: p.day.Rate}
	p.fleet = fleet.New(fleet.Config{
		Cluster: p.lab.Config(), Namespace: namespace, Selector: podSelector,
		Broker: p.broker, Tally: p.tally, Rate: workerRate, Log: slog.New(slog.DiscardHandler),
	})
	return p.watch(ctx)
}

// watch makes the watchers, and waits until the first nodes are there: only then
// does the play begin.
func (p *play) watch(ctx context.Context) error {
	var err error
	if p.watcher, err = newWatcher(p.lab.Config(), p.meter); err != nil {
		return err
	}
	if p.cluster, err = newClusterWatcher(p.lab.Config()); err != nil {
		return err
	}
	if p.budgets, err = budget.Watch(ctx, p.lab.Config()); err != nil {
		return err
	}
	if _, err := p.lab.Kubectl(ctx, "rollout", "status", "--timeout=2m", "-n", namespace, "deployment/"+workload); err != nil {
		return fmt.Errorf("wait for the first node and worker: %w", err)
	}
	return nil
}

// run lets messages arrive for the given time (0: until the context ends), then
// waits until the loop is at rest. It returns early where the context ends.
func (p *play) run(ctx context.Context, duration time.Duration) error {
	p.start = time.Now()
	work, stop := context.WithCancel(ctx)
	defer stop()
	g, work := errgroup.WithContext(work)
	g.Go(func() error { return p.watcher.run(work) })
	g.Go(func() error { return p.fleet.Run(work) })
	g.Go(func() error { return p.cluster.run(work) })
	g.Go(func() error {
		defer stop()
		arrivals, end := work, context.CancelFunc(func() {})
		if duration > 0 {
			arrivals, end = context.WithTimeout(work, duration-evening)
		}
		defer end()
		if err := p.producer.Run(arrivals); err != nil {
			return err
		}
		p.awaitRest(work, duration+grace-time.Since(p.start))
		return nil
	})
	err := g.Wait()
	p.whole = err == nil && ctx.Err() == nil
	return err
}

// awaitRest waits until the queue is empty and the workers are back at their
// minimum. A loop that does not come to rest in time is the verdict's to judge.
func (p *play) awaitRest(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		cluster := p.cluster.seen()
		rest := p.tally.Counts().Depth() == 0 && p.watcher.seen().replicas.Final == minReplicas && p.fleet.Size() == minReplicas &&
			cluster.nodes.Final == minNodes && cluster.rightSized
		if rest {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// report sums the run up. The binaries are stopped first, so that their ledgers
// are whole; then every decision is replayed.
func (p *play) report(ctx context.Context) (*report, error) {
	r := &report{DurationSeconds: seconds(time.Since(p.start)), Replicas: p.watcher.seen().replicas}
	r.setMessages(p.tally.Counts())
	r.setReaction(p.meter.Summary())
	r.setCluster(p.cluster.seen())
	budgets := p.budgets.Report()
	r.PDBViolations, r.Evictions = len(budgets.Violations), budgets.Evictions
	if err := p.release.Uninstall(ctx); err != nil {
		return r, fmt.Errorf("stop the binaries: %w", err)
	}
	replayed, err := tool.Replay(ctx, p.ledgers)
	if err != nil {
		return r, err
	}
	r.Replay = replayReport{Decisions: replayed.Total(), Differences: len(replayed.Differences)}
	return r, nil
}

// close leaves no process and no folder.
func (p *play) close() error {
	if p.budgets != nil {
		p.budgets.Stop()
	}
	if p.broker != nil {
		p.broker.Close()
	}
	return p.lab.Stop()
}
