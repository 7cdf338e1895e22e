package conformance

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"
)

var (
	scenarios = flag.Int("scenarios", 200, "how many scenarios to play")
	turns     = flag.Int("turns", 0, "how many turns a scenario has; 0 for what its seed says")
	firstSeed = flag.Uint64("first-seed", 1, "the seed of the first scenario; the others follow")
	oneSeed   = flag.Uint64("seed", 0, "play the scenario of this seed only, as it is")
	skip      = flag.Int("skip", 0, "with -seed: in how many turns the controllers do not run yet")
	trace     = flag.Bool("trace", false, "print what both show after each turn")
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Errors are inputs here. Upstream's handlers would log them, and wait, which
	// moves the time of one controller and not of the other.
	utilruntime.ErrorHandlers = nil
	klog.SetLogger(logr.Discard())
	// Trying again takes no time: how long it would take is drawn by lot, and what
	// falls into a window would depend on that.
	retry.DefaultRetry.Duration, retry.DefaultRetry.Jitter = 0, 0
	os.Exit(m.Run())
}

// TestHPA plays random scenarios and wants no difference that is not listed.
func TestHPA(t *testing.T) {
	if *oneSeed != 0 {
		s := scenario{seed: *oneSeed, skip: *skip, turns: length(*oneSeed)}
		r := judge(t, s)
		if len(r.differences) > 0 {
			t.Fatal(report(s, r))
		}
		t.Logf("seed %d: %d turns without an unexplained difference", s.seed, r.turns)
		return
	}
	var mu sync.Mutex
	var total result
	played, different := 0, 0
	t.Run("scenarios", func(t *testing.T) {
		workers := runtime.GOMAXPROCS(0)
		for worker := range workers {
			t.Run(fmt.Sprint(worker), func(t *testing.T) {
				t.Parallel()
				for i := worker; i < *scenarios; i += workers {
					seed := *firstSeed + uint64(i)
					s := scenario{seed: seed, turns: length(seed)}
					r := judge(t, s)
					mu.Lock()
					played++
					total.add(r)
					enough := different >= 5
					if len(r.differences) > 0 {
						different++
					}
					mu.Unlock()
					if len(r.differences) > 0 && !enough {
						t.Error(report(shorten(t, s, r)))
					}
				}
			})
		}
	})
	total.table(t, played)
	t.Logf("seeds %d to %d", *firstSeed, *firstSeed+uint64(*scenarios)-1)
	t.Logf("hpa: %d scenarios, %d steps, %d unexplained differences", played, total.turns, different)
}

// length is how many turns the scenario of a seed has: some are long enough for
// the longest windows to end.
func length(seed uint64) int {
	switch {
	case *turns > 0:
		return *turns
	case seed%8 == 0:
		return 100
	}
	return 25
}

// TestHeadingsAreListed holds what is explained here to docs/differences.md.
func TestHeadingsAreListed(t *testing.T) {
	raw, err := os.ReadFile("../../docs/differences.md")
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
