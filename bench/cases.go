package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

// benchmark is one named measurement.
type benchmark struct {
	name    string
	what    string
	measure func(ctx context.Context) (result, error)
}

// benchmarks are all there are, in the order in which they run. Names are
// component.case.
var benchmarks = []benchmark{
	{"adapter.decide", "one pure decision on a MetricSource", goBenchmark("./adapter/query", "BenchmarkDecide")},
	{"adapter.read_per_core", "reads of an external metric, in process, that one core serves (no aggregator); beside it the same server around custom-metrics-apiserver's own test provider, taking turns", readsPerCore},
	{"adapter.read_p99", "99th percentile of 1,000 reads a second of 5,000 distinct metrics through the aggregation layer, from the moment each was due", scaleFigure("ms", func(s adapterScale) float64 { return s.p99 })},
	{"adapter.read_p50", "the median of the same reads", scaleFigure("ms", func(s adapterScale) float64 { return s.p50 })},
	{"adapter.read_p99_direct", "99th percentile of as many reads at the same rate, asked of the adapter itself", scaleFigure("ms", func(s adapterScale) float64 { return s.direct99 })},
	{"adapter.rss", "memory of the adapter in RAM after that", scaleFigure("MiB", func(s adapterScale) float64 { return s.rss })},
	{"adapter.source_load", "polls of the source per second while nobody reads, at 5,000 queries polled each 15 s", scaleFigure("polls/s", func(s adapterScale) float64 { return s.sourceOff })},
	{"adapter.source_load_read", "the same under 1,000 reads a second", scaleFigure("polls/s", func(s adapterScale) float64 { return s.sourceOn })},
	{"adapter.freshness_poll", "from a message confirmed by the broker (NATS) to a read through the aggregation layer that sees it, at a poll each second, median of 60", freshness("nats", time.Second, nil)},
	{"adapter.freshness_push", "the same with Redis, whose keyspace events are followed, at a poll every 30 s", freshness("redis", 30*time.Second, func(s *v1alpha1.Source) { s.Redis.KeyspaceEvents = true })},
	{"hpa.decide", "one pure decision on an HPA with a CPU metric and 5 pods", goBenchmark("./hpa/replicas", "BenchmarkDecide/pods=5")},
	{"hpa.decide_50", "the same with 50 pods", goBenchmark("./hpa/replicas", "BenchmarkDecide/pods=50")},
	{"hpa.decide_500", "the same with 500 pods", goBenchmark("./hpa/replicas", "BenchmarkDecide/pods=500")},
	{"hpa.decide_allocs", "allocations of one pure decision on an HPA with a CPU metric and 5 pods", goAllocations("./hpa/replicas", "BenchmarkDecide/pods=5")},
	{"hpa.decide_50_allocs", "the same with 50 pods", goAllocations("./hpa/replicas", "BenchmarkDecide/pods=50")},
	{"hpa.decide_500_allocs", "the same with 500 pods", goAllocations("./hpa/replicas", "BenchmarkDecide/pods=500")},
	{"hpa.pass_10k", "from the start of the controller until each of 10,000 HPAs with a CPU metric and 5 pods was evaluated, and its status written, once; ours at its default flags, upstream's with ample requests", figureOf(hpaAtScale, "s", func(f hpaFigures) float64 { return f.pass })},
	{"hpa.interval_p50", "from one evaluation of an HPA to the next, median of the same 10,000, while usage changes and every evaluation writes a status", figureOf(hpaAtScale, "s", func(f hpaFigures) float64 { return f.middle })},
	{"hpa.interval_max", "the longest of them", figureOf(hpaAtScale, "s", func(f hpaFigures) float64 { return f.longest })},
	{"hpa.requests_per_sync", "requests to the API server and through it to the metrics API for one evaluation, while nothing changes", figureOf(hpaAtScale, "requests", func(f hpaFigures) float64 { return f.rest.requests })},
	{"hpa.requests_per_sync_moving", "the same while usage changes and every evaluation writes a status", figureOf(hpaAtScale, "requests", func(f hpaFigures) float64 { return f.moving.requests })},
	{"hpa.cpu_per_sync", "processor time of the controller for one evaluation, while nothing changes", figureOf(hpaAtScale, "ms", func(f hpaFigures) float64 { return f.rest.cpu })},
	{"hpa.cpu_per_sync_moving", "the same while usage changes and every evaluation writes a status", figureOf(hpaAtScale, "ms", func(f hpaFigures) float64 { return f.moving.cpu })},
	{"hpa.rss", "memory of the controller in RAM after that", figureOf(hpaAtScale, "MiB", func(f hpaFigures) float64 { return f.rss })},
	{"hpa.pass_2k", "as hpa.pass_10k with 2,000 HPAs, upstream's at its default flags too", figureOf(hpaAtDefaults, "s", func(f hpaFigures) float64 { return f.pass })},
	{"hpa.interval_2k_max", "as hpa.interval_max with 2,000 HPAs, upstream's at its default flags too", figureOf(hpaAtDefaults, "s", func(f hpaFigures) float64 { return f.longest })},
	{"hpa.rss_2k", "memory of the controller in RAM after that", figureOf(hpaAtDefaults, "MiB", func(f hpaFigures) float64 { return f.rss })},
	{"hpa.reaction_p50", "from a change of a queue, confirmed by its broker (Redis, whose keyspace events are followed), to the scale write, at 1,000 HPAs with a queue each, median; upstream's with ample requests, reading the same adapter", figureOf(reactions, "s", func(f reactionFigures) float64 { return f.p50 })},
	{"hpa.reaction_p99", "99th percentile of the same", figureOf(reactions, "s", func(f reactionFigures) float64 { return f.p99 })},
	{"hpa.reaction_default_p99", "the same, upstream's at its default flags too", figureOf(reactionsDefault, "s", func(f reactionFigures) float64 { return f.p99 })},
	{"vpa.recommender_pass_100k", "one pass of the recommender over 10,000 VPAs with 100,000 containers, each with a new sample, by its own execution_latency_seconds; ours on one processor, upstream's on all, with 1,000 requests a second", figureOf(vpaAtLarge, "s", func(f vpaFigures) float64 { return f.pass })},
	{"vpa.recommender_cpu_100k", "processor time of the recommender from one of these passes to the next", figureOf(vpaAtLarge, "s", func(f vpaFigures) float64 { return f.cpu })},
	{"vpa.recommender_rss", "the most memory that the recommender had in RAM until then", figureOf(vpaAtLarge, "MiB", func(f vpaFigures) float64 { return f.peak })},
	{"vpa.recommender_pass_10k", "as vpa.recommender_pass_100k with 2,000 VPAs, 5,000 pods and 10,000 containers; upstream's with 1,000 requests a second", figureOf(vpaAtSmall, "s", func(f vpaFigures) float64 { return f.pass })},
	{"vpa.recommender_pass_10k_default", "the same, upstream's at its default flags", figureOf(vpaAtSmallDefault, "s", func(f vpaFigures) float64 { return f.pass })},
	{"vpa.recommender_cpu_10k", "processor time of the recommender from one of these passes to the next; upstream's with 1,000 requests a second", figureOf(vpaAtSmall, "s", func(f vpaFigures) float64 { return f.cpu })},
	{"vpa.recommender_rss_10k", "the most memory that the recommender had in RAM until then; upstream's with 1,000 requests a second", figureOf(vpaAtSmall, "MiB", func(f vpaFigures) float64 { return f.peak })},
	{"vpa.requests_per_pass", "requests to the API server and through it to the metrics API from one of these passes to the next; upstream's with 1,000 a second", figureOf(vpaAtSmall, "requests", func(f vpaFigures) float64 { return f.requests })},
	{"vpa.admission_p99", "99th percentile of the admission webhook's answers to 8 reviews at once, over its own TLS port, with 2,000 VPAs", figureOf(admissions, "ms", func(f admissionFigures) float64 { return f.together.p99 })},
	{"vpa.admission_rate", "reviews a second that the admission webhook answers one after the other", rateOf(admissions, func(f admissionFigures) float64 { return f.alone.rate })},
	{"vpa.admission_rate_8", "the same, 8 at once", rateOf(admissions, func(f admissionFigures) float64 { return f.together.rate })},
	{"vpa.week_growth", "growth of what the recommender remembers, in a day of a simulated week in which 100 workloads are each rolled out every 30 s; upstream's model over an eighth of a day", weekGrowth},
	{"ledger.record", "one decision appended to the ledger", goBenchmark("./internal/ledger", "BenchmarkRecord")},
	{"lab.start", "from nothing to a control plane with 3 ready nodes, binaries built, median of 5", labStart},
	{"demo.reaction_p50", "from the publish that changes the pure target to the observed scale write, at a poll and a sync each second, median of a demo's scale-ups", demoReaction},
}

const (
	labStarts    = 5
	goRuns       = 5
	demoDuration = "3m"
)

// once runs a measurement when it is first asked for, and gives the same to all who
// ask later: several figures come from it.
func once[T any](run func(context.Context) (T, error)) func(context.Context) (T, error) {
	var (
		first sync.Once
		got   T
		err   error
	)
	return func(ctx context.Context) (T, error) {
		first.Do(func() { got, err = run(ctx) })
		return got, err
	}
}

func labStart(ctx context.Context) (result, error) {
	var took []float64
	for range labStarts {
		begin := time.Now()
		l, err := lab.Start(ctx, lab.Options{Name: "bench", Nodes: 3, Progress: io.Discard})
		if err != nil {
			return result{}, err
		}
		took = append(took, time.Since(begin).Seconds())
		if err := l.Stop(); err != nil {
			return result{}, err
		}
	}
	return result{Value: median(took), Unit: "s"}, nil
}

func demoReaction(ctx context.Context) (result, error) {
	dir, err := os.MkdirTemp("", "quartet-bench-")
	if err != nil {
		return result{}, fmt.Errorf("make a folder for the report: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "demo.json")
	if _, err := command(ctx, "go", "run", "./test/demo", "--headless", "--duration", demoDuration, "--json", path); err != nil {
		return result{}, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return result{}, fmt.Errorf("read the demo's report: %w", err)
	}
	var report struct {
		Reaction struct {
			Median float64 `json:"median"`
		} `json:"reaction_seconds"`
	}
	if err := json.Unmarshal(raw, &report); err != nil {
		return result{}, fmt.Errorf("decode the demo's report: %w", err)
	}
	return result{Value: report.Reaction.Median, Unit: "s"}, nil
}

// goBenchmark runs one benchmark of a package several times and takes the median
// time of one operation.
func goBenchmark(pkg, name string) func(context.Context) (result, error) {
	return goFigure(pkg, name, "ns")
}

// goAllocations is as goBenchmark, for the number of allocations.
func goAllocations(pkg, name string) func(context.Context) (result, error) {
	return goFigure(pkg, name, "allocs")
}

func goFigure(pkg, name, unit string) func(context.Context) (result, error) {
	return func(ctx context.Context) (result, error) {
		pattern := "^" + strings.ReplaceAll(name, "/", "$/^") + "$"
		out, err := command(ctx, "go", "test", "-run", "^$", "-bench", pattern, "-benchmem", "-count", strconv.Itoa(goRuns), pkg)
		if err != nil {
			return result{}, err
		}
		figures, err := perOperation(out, name, unit)
		if err != nil {
			return result{}, err
		}
		return result{Value: median(figures), Unit: unit}, nil
	}
}

// suffixed is the number of processors that go test appends to a name.
var suffixed = regexp.MustCompile(`^-[0-9]+$`)

// perOperation reads one figure of a benchmark out of what go test prints: lines of
// the form "BenchmarkName-2   1000   1234 ns/op   56 B/op   7 allocs/op".
func perOperation(output, name, unit string) ([]float64, error) {
	var out []float64
	for line := range strings.Lines(output) {
		f := strings.Fields(line)
		at := slices.Index(f, unit+"/op")
		if at < 3 || f[0] != name && !suffixed.MatchString(strings.TrimPrefix(f[0], name)) {
			continue
		}
		v, err := strconv.ParseFloat(f[at-1], 64)
		if err != nil {
			return nil, fmt.Errorf("read %q: %w", line, err)
		}
		out = append(out, v)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no %s/op of %s in what go test printed:\n%s", unit, name, output)
	}
	return out, nil
}

func command(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// median of an even number is the lower of the two middle ones.
func median(v []float64) float64 {
	sorted := slices.Sorted(slices.Values(v))
	return sorted[(len(sorted)-1)/2]
}

// readsPerCore compares reads in process, on one core, with the same server around
// custom-metrics-apiserver's own test provider. The two take turns, and each has
// the best of its rounds: what is shared with others only ever slows a round down.
func readsPerCore(ctx context.Context) (result, error) {
	const rounds = 5
	best := map[string]float64{}
	for range rounds {
		for _, name := range []string{"BenchmarkRead", "BenchmarkReadTestProvider"} {
			out, err := command(ctx, "go", "test", "-run", "^$", "-bench", "^"+name+"$/^external$", "-cpu", "1", "./adapter/server")
			if err != nil {
				return result{}, err
			}
			times, err := perOperation(out, name+"/external", "ns")
			if err != nil {
				return result{}, err
			}
			if best[name] == 0 || times[0] < best[name] {
				best[name] = times[0]
			}
		}
	}
	perSecond := func(nanoseconds float64) float64 { return float64(time.Second) / nanoseconds }
	ours, theirs := perSecond(best["BenchmarkRead"]), perSecond(best["BenchmarkReadTestProvider"])
	ratio := ours / theirs
	return result{Value: ours, Unit: "reads/s", Upstream: &theirs, Ratio: &ratio}, nil
}
