package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	vpaclient "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/lab/resourcemetrics"
)

// recommenderPasses is where both recommenders tell how long their passes took.
const recommenderPasses = "vpa_recommender_execution_latency_seconds"

// The loads: 100,000 containers, and the size that upstream was once measured at.
var (
	vpaLarge = vpaLoad{vpas: 10_000, pods: 50_000}
	vpaSmall = vpaLoad{vpas: 2_000, pods: 5_000}
)

const (
	// vpaQuiet is how long is waited for a cluster to come to rest.
	vpaQuiet = 10 * time.Second
	// vpaUsageStep is how often the CPU usage of all containers changes.
	vpaUsageStep = 10 * time.Second
)

// vpaPlan is how a recommender is measured.
type vpaPlan struct {
	load  vpaLoad
	quiet time.Duration
	// passes are those measured, after the first.
	passes int
}

// Of upstream's recommender the time between passes is shorter than its default, only
// so that one follows the other: it does the same in each. Ours has its default, a
// minute, as it does not.
var (
	upstreamPasses = []string{"--recommender-interval=10s"}
	upstreamAmple  = append([]string{"--kube-api-qps=1000", "--kube-api-burst=1000"}, upstreamPasses...)
)

// ourPasses and theirPasses are how many are measured; of upstream's at its default
// flags, each of which takes longer than a minute, one.
const (
	ourPasses        = 2
	theirPasses      = 2
	theirSlowPasses  = 1
	theirLargePasses = 1
)

// Each load is measured once, however many figures are taken from it.
var (
	vpaAtLarge = once(func(ctx context.Context) (compared[vpaFigures], error) {
		runs, err := turns(ctx,
			turn[vpaFigures]{ourRecommender(1), vpaPlan{vpaLarge, vpaQuiet, ourPasses}.measure},
			turn[vpaFigures]{upstreamRecommender("upstream with 1,000 requests a second", upstreamAmple...), vpaPlan{vpaLarge, vpaQuiet, theirLargePasses}.measure})
		return against(runs, 1), err
	})
	vpaSmallRuns = once(func(ctx context.Context) ([][]vpaFigures, error) {
		return turns(ctx,
			turn[vpaFigures]{ourRecommender(0), vpaPlan{vpaSmall, vpaQuiet, ourPasses}.measure},
			turn[vpaFigures]{upstreamRecommender("upstream with 1,000 requests a second", upstreamAmple...), vpaPlan{vpaSmall, vpaQuiet, theirPasses}.measure},
			turn[vpaFigures]{upstreamRecommender("upstream at its defaults", upstreamPasses...), vpaPlan{vpaSmall, vpaQuiet, theirSlowPasses}.measure})
	})
	vpaAtSmall        = vpaAgainst(1)
	vpaAtSmallDefault = vpaAgainst(2)
)

func vpaAgainst(theirs int) func(context.Context) (compared[vpaFigures], error) {
	return func(ctx context.Context) (compared[vpaFigures], error) {
		runs, err := vpaSmallRuns(ctx)
		return against(runs, theirs), err
	}
}

// vpaFigures are what one run showed.
type vpaFigures struct {
	first    float64 // seconds of the first pass, which reads all history
	pass     float64 // seconds of a later one, on average
	cpu      float64 // seconds of processor time from one pass to the next
	requests float64 // from one pass to the next
	peak     float64 // MiB of memory in RAM, at the most
}

func (f vpaFigures) String() string {
	return fmt.Sprintf("first pass %.2f s, then %.2f s each, with %.2f s of CPU and %.0f requests; %.0f MiB at the most",
		f.first, f.pass, f.cpu, f.requests, f.peak)
}

// measure starts a lab, loads it, and runs one recommender in it.
func (p vpaPlan) measure(ctx context.Context, c contender) (f vpaFigures, err error) {
	l, err := startVPALab(ctx)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, l.Stop()) }()
	if err := p.load.into(ctx, l); err != nil {
		return f, err
	}
	if err := pause(ctx, p.quiet); err != nil {
		return f, err
	}
	moving, stop := context.WithCancel(ctx)
	defer stop()
	go moveVPAUsage(moving, l.ResourceMetrics())
	process, err := c.start(ctx, l)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, process.stop()) }()
	g, err := newVPAGauge(l, process)
	if err != nil {
		return f, err
	}
	if f, err = g.figures(ctx, p.passes); err != nil {
		return f, err
	}
	say("%s: %s", c.name, f)
	return f, p.load.recommended(ctx, l)
}

// startVPALab starts a control plane with nothing but what loading needs, and
// upstream's custom resources.
func startVPALab(ctx context.Context) (*lab.Lab, error) {
	l, err := lab.Start(ctx, lab.Options{
		Name: "bench", NoKwok: true, NoScheduler: true, ResourceMetrics: true, Controllers: []string{"serviceaccount-controller"},
	})
	if err != nil {
		return nil, err
	}
	if err := l.InstallUpstreamVPA(ctx); err != nil {
		return nil, errors.Join(err, l.Stop())
	}
	return l, nil
}

// moveVPAUsage changes the CPU usage of every container until the context ends.
func moveVPAUsage(ctx context.Context, metrics *resourcemetrics.Server) {
	for step := int64(1); pause(ctx, vpaUsageStep) == nil; step++ {
		metrics.SetUsage("", labels.Everything(), resourcemetrics.Usage{
			MilliCPU: vpaCPU + (7*step)%(2*vpaCPUSpread+1) - vpaCPUSpread, MemoryBytes: vpaMemory,
		})
	}
}

// vpaGauge reads what one recommender does in one lab.
type vpaGauge struct {
	lab      *lab.Lab
	process  running
	api, own *scraper
}

func newVPAGauge(l *lab.Lab, process running) (*vpaGauge, error) {
	api, err := newScraper(l.Config(), "")
	if err != nil {
		return nil, err
	}
	own, err := newScraper(l.Config(), process.url)
	return &vpaGauge{lab: l, process: process, api: api, own: own}, err
}

// vpaReading is all that is counted.
type vpaReading struct {
	passes, seconds, cpu float64
	api                  counts
	metrics              resourcemetrics.Requests
}

// figures takes all of them, from the end of the first pass to that of a later one.
func (g *vpaGauge) figures(ctx context.Context, passes int) (f vpaFigures, err error) {
	before, err := g.after(ctx, 1)
	if err != nil {
		return f, err
	}
	f.first = before.seconds / before.passes
	after, err := g.after(ctx, before.passes+float64(passes))
	if err != nil {
		return f, err
	}
	n := after.passes - before.passes
	counted := after.api.since(before.api)
	maps.DeleteFunc(counted, notOfControllers)
	asked := float64(after.metrics.Lists + after.metrics.Gets - before.metrics.Lists - before.metrics.Gets)
	say("%.0f passes, %.0f requests of metrics, %s", n, asked, most(counted))
	f.pass, f.cpu = (after.seconds-before.seconds)/n, (after.cpu-before.cpu)/n
	f.requests = (counted.sum() + asked) / n
	f.peak, err = peakMiB(g.process.pid)
	return f, err
}

// after reads once so many passes have ended.
func (g *vpaGauge) after(ctx context.Context, passes float64) (r vpaReading, err error) {
	deadline := time.Now().Add(passLimit)
	for {
		if r.passes, err = g.total(ctx, "_count"); err != nil {
			return r, err
		}
		if r.passes >= passes {
			break
		}
		if time.Now().After(deadline) {
			return r, fmt.Errorf("%.0f of %.0f passes ended within %s", r.passes, passes, passLimit)
		}
		if err := pause(ctx, 250*time.Millisecond); err != nil {
			return r, err
		}
	}
	if r.seconds, err = g.total(ctx, "_sum"); err != nil {
		return r, err
	}
	times, err := timesOf(g.process.pid)
	if err != nil {
		return r, err
	}
	r.cpu, r.metrics = times.cpu, g.lab.ResourceMetrics().Requests()
	r.api, err = g.api.read(ctx, apiRequests)
	return r, err
}

// total is what the recommender tells of whole passes.
func (g *vpaGauge) total(ctx context.Context, suffix string) (float64, error) {
	series, err := g.own.read(ctx, recommenderPasses+suffix)
	if err != nil {
		return 0, err
	}
	maps.DeleteFunc(series, func(labels string, _ float64) bool { return label(labels, "step") != "total" })
	return series.sum(), nil
}

// recommended fails unless every VPA has a recommendation that fits the usage, and
// not the one that it was loaded with: figures of a recommender that does nothing are
// worth nothing.
func (v vpaLoad) recommended(ctx context.Context, l *lab.Lab) error {
	client, err := vpaclient.NewForConfig(l.Config())
	if err != nil {
		return fmt.Errorf("set up a client of VerticalPodAutoscalers: %w", err)
	}
	list, err := client.AutoscalingV1().VerticalPodAutoscalers(metav1.NamespaceAll).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return fmt.Errorf("list VerticalPodAutoscalers: %w", err)
	}
	if len(list.Items) != v.vpas {
		return fmt.Errorf("%d VPAs instead of %d", len(list.Items), v.vpas)
	}
	for i := range list.Items {
		if err := fits(&list.Items[i]); err != nil {
			return fmt.Errorf("%s/%s: %w", list.Items[i].Namespace, list.Items[i].Name, err)
		}
	}
	return nil
}

// fits holds the targets against the usage: the margin and a bucket's width more.
func fits(vpa *vpav1.VerticalPodAutoscaler) error {
	r := vpa.Status.Recommendation
	if r == nil || len(r.ContainerRecommendations) != len(vpaContainers) {
		return errors.New("not every container has a recommendation")
	}
	for _, c := range r.ContainerRecommendations {
		cpu, memory := c.Target.Cpu().MilliValue(), c.Target.Memory().Value()
		if cpu < vpaCPU || cpu > vpaCPU+3*vpaCPUSpread || memory < vpaMemory || memory > vpaMemory*3/2 {
			return fmt.Errorf("container %s is recommended %dm and %d bytes for a usage of about %dm and %d", c.ContainerName, cpu, memory, vpaCPU, vpaMemory)
		}
	}
	for _, c := range vpa.Status.Conditions {
		if c.Type == vpav1.RecommendationProvided && c.Status != corev1.ConditionTrue {
			return fmt.Errorf("%s is %s: %s", c.Type, c.Status, c.Message)
		}
	}
	return nil
}
