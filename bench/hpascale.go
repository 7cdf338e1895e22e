package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/lab/resourcemetrics"
)

const (
	// hpaObjects is the load that both sides are compared at, and hpaObjectsDefault
	// that for upstream at its default flags, at which it sends 20 requests a second.
	hpaObjects        = 10_000
	hpaObjectsDefault = 2_000
	// usageStep is how often usage changes while it does.
	usageStep = 250 * time.Millisecond
	// usageSpread is how many values usage takes then: a prime, within what calls for
	// no other count. No two evaluations within 199 s see the same.
	usageSpread = 797
	passLimit   = 20 * time.Minute
	reconciles  = "horizontal_pod_autoscaler_controller_reconciliations_total"
	apiRequests = "apiserver_request_total"
)

// hpaPlan is how one side is measured.
type hpaPlan struct {
	hpas int
	// quiet is how long is waited for a cluster to come to rest, and for a controller.
	quiet time.Duration
	// window is what is measured, at the least; two passes are.
	window time.Duration
}

var (
	planAtScale  = hpaPlan{hpas: hpaObjects, quiet: 30 * time.Second, window: time.Minute}
	planDefaults = hpaPlan{hpas: hpaObjectsDefault, quiet: 30 * time.Second, window: time.Minute}
)

// hpaFigures are what one run showed.
type hpaFigures struct {
	// pass is the time from the start of the process to the end of the first pass,
	// in seconds: every status was written once.
	pass float64
	// middle and longest are the time between two evaluations of one object while
	// usage changes, in seconds.
	middle, longest float64
	// rest is while nothing changes, moving while the usage of all pods does.
	rest, moving hpaPhase
	rss          float64 // MiB
}

// hpaPhase are figures of one evaluation.
type hpaPhase struct {
	requests float64
	cpu      float64 // milliseconds
}

// measure starts a lab, loads it, and runs one side in it.
func (p hpaPlan) measure(ctx context.Context, side contender) (f hpaFigures, err error) {
	l, err := startHPALab(ctx)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, l.Stop()) }()
	begin := time.Now()
	if err := resourceLoad(p.hpas).into(ctx, l); err != nil {
		return f, err
	}
	say("%s: %d HPAs loaded in %.1f s", side.name, p.hpas, time.Since(begin).Seconds())
	seen, err := watchHPAs(ctx, l.Config())
	if err != nil {
		return f, err
	}
	defer seen.close()
	g := &hpaGauge{plan: p, lab: l, watch: seen}
	if err := g.start(ctx, side); err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, g.process.stop()) }()
	if f, err = g.figures(ctx); err == nil {
		say("%s: %s", side.name, f)
	}
	return f, err
}

// startHPALab starts a control plane with nothing but what loading needs.
func startHPALab(ctx context.Context) (*lab.Lab, error) {
	return lab.Start(ctx, lab.Options{
		Name: "bench", NoKwok: true, NoScheduler: true, ResourceMetrics: true, Controllers: []string{"serviceaccount-controller"},
	})
}

// hpaGauge reads what one controller does in one lab.
type hpaGauge struct {
	plan     hpaPlan
	lab      *lab.Lab
	watch    *hpaWatch
	process  running
	whole    <-chan struct{} // the first pass
	api, own *scraper
}

// start waits until the cluster is at rest, and starts the controller.
func (g *hpaGauge) start(ctx context.Context, side contender) (err error) {
	if g.api, err = newScraper(g.lab.Config(), ""); err != nil {
		return err
	}
	if err := pause(ctx, g.plan.quiet); err != nil {
		return err
	}
	g.whole = g.watch.expect(g.plan.hpas)
	if g.process, err = side.start(ctx, g.lab); err != nil {
		return err
	}
	g.own, err = newScraper(g.lab.Config(), g.process.url)
	return err
}

// figures takes all of them in turn.
func (g *hpaGauge) figures(ctx context.Context) (f hpaFigures, err error) {
	times, err := timesOf(g.process.pid)
	if err != nil {
		return f, err
	}
	done, err := g.watch.await(ctx, g.whole, passLimit)
	if err != nil {
		return f, err
	}
	pass := done.Sub(times.started)
	f.pass = pass.Seconds()
	window := max(g.plan.window, 2*pass)
	if err := pause(ctx, max(g.plan.quiet, pass)); err != nil {
		return f, err
	}
	if err := g.watch.settled(ctx, g.plan.hpas); err != nil {
		return f, err
	}
	if f.rest, err = g.during(ctx, window); err != nil {
		return f, err
	}
	moving, stop := context.WithCancel(ctx)
	defer stop()
	whole := g.watch.expect(g.plan.hpas)
	go moveUsage(moving, g.lab.ResourceMetrics())
	if _, err := g.watch.await(ctx, whole, passLimit); err != nil {
		return f, err
	}
	f.middle, f.longest, err = g.watch.collect(ctx, func(ctx context.Context) error {
		f.moving, err = g.during(ctx, window)
		return err
	})
	if err != nil {
		return f, err
	}
	if err := g.watch.settled(ctx, g.plan.hpas); err != nil {
		return f, err
	}
	f.rss, err = residentMiB(g.process.pid)
	return f, err
}

// moveUsage changes the usage of every pod until the context ends, by little enough
// that no count changes.
func moveUsage(ctx context.Context, metrics *resourcemetrics.Server) {
	for step := int64(1); pause(ctx, usageStep) == nil; step++ {
		metrics.SetUsage("", labels.Everything(), resourcemetrics.Usage{
			MilliCPU: loadUsage + (7*step)%usageSpread - usageSpread/2, MemoryBytes: loadMemory,
		})
	}
}

// hpaReading is all that is counted.
type hpaReading struct {
	at      time.Time
	syncs   float64
	cpu     float64
	api     counts
	metrics resourcemetrics.Requests
}

func (g *hpaGauge) read(ctx context.Context) (r hpaReading, err error) {
	syncs, err := g.own.read(ctx, reconciles)
	if err != nil {
		return r, err
	}
	times, err := timesOf(g.process.pid)
	if err != nil {
		return r, err
	}
	r.at, r.syncs, r.cpu, r.metrics = time.Now(), syncs.sum(), times.cpu, g.lab.ResourceMetrics().Requests()
	r.api, err = g.api.read(ctx, apiRequests)
	return r, err
}

// during gives the cost of an evaluation over a while. Requests are those that the
// API server counts and those that it passes on to the metrics API, which it does
// not count.
func (g *hpaGauge) during(ctx context.Context, window time.Duration) (p hpaPhase, err error) {
	before, err := g.read(ctx)
	if err != nil {
		return p, err
	}
	if err := pause(ctx, window); err != nil {
		return p, err
	}
	after, err := g.read(ctx)
	if err != nil {
		return p, err
	}
	syncs := after.syncs - before.syncs
	if syncs <= 0 {
		return p, errors.New("the controller evaluated nothing")
	}
	counted := after.api.since(before.api)
	maps.DeleteFunc(counted, notOfControllers)
	asked := float64(after.metrics.Lists + after.metrics.Gets - before.metrics.Lists - before.metrics.Gets)
	say("%.0f evaluations in %.1f s, %.0f requests of metrics, %s", syncs, after.at.Sub(before.at).Seconds(), asked, most(counted))
	p.requests = (counted.sum() + asked) / syncs
	p.cpu = 1000 * (after.cpu - before.cpu) / syncs
	return p, nil
}

// notOfControllers tells of requests that no controller of HPAs makes: the API
// server's own, those for documents of the API, and those for Secrets, which are of
// the lab that plays the chart's kubelet.
func notOfControllers(series string, _ float64) bool {
	resource := label(series, "resource")
	return label(series, "component") == "apiserver" && resource == "leases" || resource == "" || resource == "secrets"
}

// most names the most frequent requests.
func most(c counts) string {
	by := map[string]float64{}
	for series, n := range c {
		resource := label(series, "resource")
		if sub := label(series, "subresource"); sub != "" {
			resource += "/" + sub
		}
		by[label(series, "verb")+" "+resource] += n
	}
	var names []string
	for name := range by {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(by[b] - by[a]) })
	var text []string
	for _, name := range names[:min(6, len(names))] {
		text = append(text, fmt.Sprintf("%.0f %s", by[name], name))
	}
	return strings.Join(text, ", ")
}

func (f hpaFigures) String() string {
	return fmt.Sprintf("first pass %.1f s; evaluated each %.1f s, %.1f s at the longest; at rest %.4f requests and %.3f ms of CPU, moving %.4f and %.3f; %.0f MiB",
		f.pass, f.middle, f.longest, f.rest.requests, f.rest.cpu, f.moving.requests, f.moving.cpu, f.rss)
}

// Both loads are measured once, however many figures are taken from them.
var (
	hpaAtScale = once(func(ctx context.Context) (compared[hpaFigures], error) {
		return takeTurns(ctx, planAtScale.measure, ourHPA(), upstreamHPA("upstream with ample requests", ampleRequests...))
	})
	hpaAtDefaults = once(func(ctx context.Context) (compared[hpaFigures], error) {
		return takeTurns(ctx, planDefaults.measure, ourHPA(), upstreamHPA("upstream at its defaults"))
	})
)
