package vpa

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/features"
	"k8s.io/component-base/featuregate"
	"k8s.io/klog/v2"

	"github.com/quartet-autoscaling/quartet/internal/vertical/featureflag"
)

var (
	scenarios = flag.Int("scenarios", 360, "how many scenarios to play")
	turns     = flag.Int("turns", 0, "how many turns a scenario has; 0 for what its seed says")
	firstSeed = flag.Uint64("first-seed", 1, "the seed of the first scenario; the others follow")
	oneSeed   = flag.Uint64("seed", 0, "play the scenario of this seed only")
	trace     = flag.Bool("trace", false, "print what both say in each turn")
)

func TestMain(m *testing.M) {
	flag.Parse()
	// What upstream logs of its inputs is no result here.
	klog.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// scenario is a world by its seed.
type scenario struct {
	seed  uint64
	turns int
	// gates tells that upstream's feature gates are on.
	gates bool
}

// worlds are played in turn: the seed says which.
var worlds = []struct {
	name string
	play func(*testing.T, scenario) result
}{
	{"recommender", playRecommender},
	{"admission", playAdmission},
	{"updater", playUpdater},
}

func (s scenario) world() int { return int(s.seed % uint64(len(worlds))) }

// ofSeed is the scenario as its seed says: one in four has the gates on.
func ofSeed(seed uint64) scenario {
	return scenario{seed: seed, turns: *turns, gates: seed/uint64(len(worlds))%4 == 3}
}

// TestVPA plays random scenarios and wants no difference that is not listed.
func TestVPA(t *testing.T) {
	var seeds []uint64
	for i := range *scenarios {
		seeds = append(seeds, *firstSeed+uint64(i))
	}
	if *oneSeed != 0 {
		seeds = []uint64{*oneSeed}
	}
	var total tally
	// Upstream's gates and how it aggregates are the process's: scenarios that
	// share both are played together.
	for _, gates := range []bool{false, true} {
		for i := range aggregations {
			group := slices.DeleteFunc(slices.Clone(seeds), func(seed uint64) bool {
				return ofSeed(seed).gates != gates || aggregationOf(seed) != i
			})
			setGates(t, gates)
			aggregations[i].initialize()
			t.Run(fmt.Sprintf("gates=%v/aggregation=%d", gates, i), func(t *testing.T) { playAll(t, group, &total) })
		}
	}
	setGates(t, false)
	aggregations[0].initialize()
	total.table(t, len(seeds))
	t.Logf("vpa: %d scenarios, %d steps, %d unexplained differences", total.played, total.turns, total.different)
}

func playAll(t *testing.T, seeds []uint64, total *tally) {
	workers := runtime.GOMAXPROCS(0)
	for worker := range workers {
		t.Run(fmt.Sprint(worker), func(t *testing.T) {
			t.Parallel()
			for i := worker; i < len(seeds); i += workers {
				s := ofSeed(seeds[i])
				r := worlds[s.world()].play(t, s)
				if total.add(worlds[s.world()].name, r) {
					t.Errorf("seed %d (%s, gates %v) differs in turn %d; again: -seed %d\n%s- upstream, + ours:\n%s",
						s.seed, worlds[s.world()].name, s.gates, r.turns, s.seed, r.world, strings.Join(r.differences, "\n"))
				}
			}
		})
	}
}

// setGates switches all of upstream's gates on or off.
func setGates(t *testing.T, on bool) {
	t.Helper()
	for _, gate := range []featuregate.Feature{features.CPUStartupBoost, features.InPlace, features.PerVPAConfig} {
		if err := features.MutableFeatureGate.SetFromMap(map[string]bool{string(gate): on}); err != nil {
			t.Fatal(err)
		}
	}
}

// switchOn switches all gates of ours on.
func switchOn(t *testing.T, o featureflag.Options) {
	t.Helper()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.AddFlags(flags)
	if err := flags.Set(featureflag.Name, "AllAlpha=true"); err != nil {
		t.Fatal(err)
	}
}

// result is what came of a scenario.
type result struct {
	turns int
	// explained are the headings of what differed, seen what happened, and
	// skipped what could not be compared, each with how often.
	explained, seen, skipped map[string]int
	// differences are those of the last turn, none where all were equal.
	differences []string
	world       string
}

func newResult() result {
	return result{explained: map[string]int{}, seen: map[string]int{}, skipped: map[string]int{}}
}

// tally sums up results. It may be used by several goroutines.
type tally struct {
	mu                       sync.Mutex
	played, turns, different int
	explained, seen, skipped map[string]int
}

// add counts a result, and tells whether it differs and is to be shown: the
// first few are.
func (a *tally) add(world string, r result) bool {
	const most = 12
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen == nil {
		a.explained, a.seen, a.skipped = map[string]int{}, map[string]int{}, map[string]int{}
	}
	a.played++
	a.turns += r.turns
	for heading := range r.explained {
		a.explained[heading]++
	}
	for what, n := range r.seen {
		a.seen[world+": "+what] += n
	}
	for what, n := range r.skipped {
		a.skipped[world+": "+what] += n
	}
	if len(r.differences) == 0 {
		return false
	}
	a.different++
	return a.different <= most
}

// TestHeadingsAreListed holds what is explained here to docs/differences.md.
func TestHeadingsAreListed(t *testing.T) {
	raw, err := os.ReadFile("../../../docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.Join(strings.Fields(string(raw)), " ")
	for _, heading := range headings {
		if !strings.Contains(page, heading) {
			t.Errorf("docs/differences.md does not list %q", heading)
		}
	}
}
