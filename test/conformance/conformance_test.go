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
	for _, heading := range headings {
		t.Logf("explained in %d scenarios: %s", total.explained[heading], heading)
	}
	for _, what := range wanted {
		t.Logf("seen in %d turns: %s", total.seen[what], what)
		if played >= 200 && total.seen[what] == 0 {
			t.Errorf("no scenario had %q: what was compared is not all there is", what)
		}
	}
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

// wanted is what has to happen somewhere, or nothing was compared of it.
var wanted = []string{
	"Resource", "Resource utilization", "ContainerResource", "ContainerResource utilization", "Pods",
	"Object", "Object value", "External", "External value",
	"AbleToScale=False FailedGetScale", "AbleToScale=True SucceededGetScale", "AbleToScale=True ReadyForNewScale",
	"AbleToScale=True ScaleUpStabilized", "AbleToScale=True ScaleDownStabilized", "AbleToScale=True SucceededRescale",
	"AbleToScale=False FailedUpdateScale",
	"ScalingActive=True ValidMetricFound", "ScalingActive=False ScalingDisabled", "ScalingActive=False InvalidSelector",
	"ScalingActive=False FailedGetResourceMetric", "ScalingActive=False FailedGetContainerResourceMetric",
	"ScalingActive=False FailedGetPodsMetric", "ScalingActive=False FailedGetObjectMetric",
	"ScalingActive=False FailedGetExternalMetric", "ScalingActive=False InvalidMetricSourceType",
	"ScalingLimited=False DesiredWithinRange", "ScalingLimited=True TooFewReplicas", "ScalingLimited=True TooManyReplicas",
	"ScalingLimited=True ScaleUpLimit", "ScalingLimited=True ScaleDownLimit",
	"ScaledToZero=True ScaledToZero", "ScaledToZero=False NotScaledToZero",
	"event SuccessfulRescale", "event FailedRescale", "event FailedGetScale", "event FailedComputeMetricsReplicas",
	"event SelectorRequired", "event InvalidMetricSourceType",
	"scale written", "scale write refused", "edited",
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
