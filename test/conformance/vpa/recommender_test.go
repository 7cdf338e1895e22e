package vpa

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// spared is what upstream is spared of what is listed.
type spared struct{ seenKill, lastKill bool }

// playRecommender plays a scenario. Where it differs it is played again, upstream
// spared what is listed: nothing may differ then. A heading explains it where it
// differs without that one.
func playRecommender(t *testing.T, s scenario) result {
	t.Helper()
	r := playRecommenders(t, s, spared{})
	if len(r.differences) == 0 {
		return r
	}
	again := playRecommenders(t, s, spared{seenKill: true, lastKill: true})
	if len(again.differences) > 0 {
		return again
	}
	if len(playRecommenders(t, s, spared{lastKill: true}).differences) > 0 {
		again.explained[headingSeenKill]++
	}
	if len(playRecommenders(t, s, spared{seenKill: true}).differences) > 0 {
		again.explained[headingLastKill]++
	}
	return again
}

// playRecommenders runs both recommenders, up to the first difference that is not
// explained.
func playRecommenders(t *testing.T, s scenario, of spared) result {
	t.Helper()
	r := newResult()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(s, time.Now())
		length := s.turns
		if length == 0 {
			length = 8 + int(s.seed/3%30)
		}
		d := &recommenders{t: t, c: c, spared: of, up: newTheirs(t, c), our: newOurs(t, c), r: &r, moved: map[string]bool{}}
		d.up.keeps = of.seenKill
		for r.turns < length && len(r.differences) == 0 && d.turn() {
			time.Sleep(c.wait())
		}
		for what, n := range c.seen {
			r.seen[what] += n
		}
		maps.Copy(r.skipped, c.skipped)
		r.world = strings.Join(c.log, "\n") + "\n"
	})
	return r
}

// recommenders are both on one cluster.
type recommenders struct {
	spared
	t   *testing.T
	c   *cluster
	up  *theirs
	our *ours
	r   *result
	// summed tells that upstream adds up several histories, in no order: of pods
	// with other labels, or of a checkpoint and what came after it.
	summed bool
	// restarted tells that both have read checkpoints.
	restarted bool
	// moved are the objects of which a listed difference moved the condition
	// RecommendationProvided at another time.
	moved map[string]bool
	// before are our statuses before the turn.
	before map[string]vpav1.VerticalPodAutoscalerStatus
}

// turn plays one and compares. It is false where nothing can be compared after.
func (d *recommenders) turn() bool {
	d.r.turns++
	for _, a := range d.c.apps {
		if a.lost == 1 {
			// It comes back now. What was used meanwhile, upstream has learned.
			return false
		}
	}
	d.c.step(time.Now())
	d.before = maps.Clone(d.our.status)
	d.restart()
	if d.lastKill {
		d.lastKillsOnly()
	}
	d.up.turn()
	d.our.turn()
	for _, v := range d.c.vpas {
		d.compare(v)
	}
	if d.r.turns%4 == 0 && !d.c.lost {
		d.checkpoints()
	}
	return true
}

// restart makes recommenders anew.
func (d *recommenders) restart() {
	if d.c.rolling {
		d.summed = true
	}
	switch d.c.restart {
	case noRestart:
		return
	case restartOurs:
		d.our.beginWhole()
		return
	case restartOwn:
		d.our.begin(d.our.checkpoints())
	case restartSwapped:
		mine := d.our.checkpoints()
		d.our.begin(d.up.checkpoints)
		d.up.checkpoints = mine
	}
	d.up.begin()
	d.summed, d.restarted = true, true
	if d.seenKill {
		d.killsAtTheStart()
	}
}

// killsAtTheStart lets upstream see the kills that ours learns at its start.
func (d *recommenders) killsAtTheStart() {
	d.c.updates = nil
	for _, pod := range d.c.pods() {
		before := pod.DeepCopy()
		told := false
		for i := range before.Status.ContainerStatuses {
			s := &before.Status.ContainerStatuses[i]
			end := s.State.Terminated
			if end == nil {
				end = s.LastTerminationState.Terminated
			}
			if end == nil || d.c.now.Sub(end.FinishedAt.Time) > d.c.options.Rules.PeakInterval {
				continue
			}
			s.RestartCount--
			s.State, s.LastTerminationState, told = running(d.c.start), corev1.ContainerState{}, true
		}
		if told {
			d.c.updates = append(d.c.updates, update{before, pod})
		}
	}
}

// lastKillsOnly spares upstream the kills of a container before its last one since
// the turn before: ours learns the last.
func (d *recommenders) lastKillsOnly() {
	var kept []update
	last := map[string]int{}
	for i, u := range d.c.updates {
		if kills(u) {
			last[u.after.Name] = i
		}
	}
	for i, u := range d.c.updates {
		if kills(u) && last[u.after.Name] != i {
			continue
		}
		kept = append(kept, u)
	}
	d.c.updates = kept
}

func kills(u update) bool {
	for i := range u.after.Status.ContainerStatuses {
		if u.after.Status.ContainerStatuses[i].RestartCount > u.before.Status.ContainerStatuses[i].RestartCount {
			return true
		}
	}
	return false
}

// compare holds one object's status against the other's.
func (d *recommenders) compare(v *vpav1.VerticalPodAutoscaler) {
	theirs, mine := d.up.status[v.Name], d.our.status[v.Name]
	up, our := theirs.DeepCopy(), mine.DeepCopy()
	d.note(our)
	d.youngExplained(v.Name, our)
	d.maximumExplained(our)
	d.missingExplained(v, up, our)
	d.unknownExplained(v.Name, up, our)
	d.provided(v.Name, up, our)
	d.orderExplained(v, up, our)
	if *trace {
		d.t.Logf("%s", d.histories(v.Name))
		d.t.Logf("turn %d at %s, %s\n%s\n  ours:\n%s", d.c.turn, d.c.now.Format(time.DateTime), v.Name, strings.Join(statusLines(up), "\n"), strings.Join(statusLines(our), "\n"))
	}
	if diff := cmp.Diff(statusLines(up), statusLines(our)); diff != "" {
		d.r.differences = append(d.r.differences, v.Name+":\n"+diff)
	}
}

// note counts what ours shows.
func (d *recommenders) note(s *vpav1.VerticalPodAutoscalerStatus) {
	for _, c := range s.Conditions {
		if c.Status == corev1.ConditionTrue {
			d.r.seen[string(c.Type)]++
		}
	}
	if s.Recommendation != nil && len(s.Recommendation.ContainerRecommendations) > 0 {
		d.r.seen["recommendation"]++
	}
}

// checkpoints holds what is written for each container against the other's.
func (d *recommenders) checkpoints() {
	for name, mine := range d.our.checkpoints() {
		theirs := d.up.checkpoints[name]
		if theirs == nil {
			d.r.differences = append(d.r.differences, "upstream has no checkpoint "+name)
			continue
		}
		d.r.seen["checkpoint"]++
		up, our := theirs.Status.DeepCopy(), mine.Status.DeepCopy()
		if d.summed {
			alike(&up.CPUHistogram, &our.CPUHistogram, d.c.options.Rules.CPU.HalfLife)
		}
		// Upstream takes the peaks that run out in the order of a map.
		alike(&up.MemoryHistogram, &our.MemoryHistogram, d.c.options.Rules.Memory.HalfLife)
		if diff := cmp.Diff(up, our, sameQuantity); diff != "" {
			d.r.differences = append(d.r.differences, "checkpoint "+name+":\n"+diff)
		}
	}
}

// alike levels what differs by the order of additions and by what upstream leaves
// out: weights by a few of 10,000, and a reference that is later by whole
// half-lives.
func alike(up, our *vpav1.HistogramCheckpoint, halfLife time.Duration) {
	const few = 25
	shift := our.ReferenceTimestamp.Sub(up.ReferenceTimestamp.Time)
	if shift%halfLife == 0 {
		total := our.TotalWeight * math.Exp2(float64(shift/halfLife))
		if math.Abs(total-up.TotalWeight) <= 1e-6*math.Abs(total)+1e-3 {
			up.TotalWeight, up.ReferenceTimestamp = our.TotalWeight, our.ReferenceTimestamp
		}
	}
	for bucket := range 200 {
		theirs, mine := up.BucketWeights[bucket], our.BucketWeights[bucket]
		if theirs == mine || max(theirs, mine)-min(theirs, mine) > few {
			continue
		}
		if up.BucketWeights[bucket] = mine; mine == 0 {
			delete(up.BucketWeights, bucket)
		}
	}
}

var sameQuantity = cmp.Comparer(func(a, b resource.Quantity) bool { return a.Cmp(b) == 0 })

// statusLines are what a status says, one thing a line.
func statusLines(s *vpav1.VerticalPodAutoscalerStatus) []string {
	var out []string
	if s.ObservedGeneration != nil {
		out = append(out, fmt.Sprintf("observedGeneration %d", *s.ObservedGeneration))
	}
	for _, c := range s.Conditions {
		out = append(out, fmt.Sprintf("%s=%s %q %q since %s", c.Type, c.Status, c.Reason, c.Message, c.LastTransitionTime.UTC().Format(time.DateTime)))
	}
	if s.Recommendation == nil {
		return append(out, "no recommendation")
	}
	for _, c := range s.Recommendation.ContainerRecommendations {
		for i, list := range lists(&c) {
			out = append(out, fmt.Sprintf("%s %s %s", c.ContainerName, []string{"target", "lower", "upper", "uncapped"}[i], listText(list)))
		}
	}
	return out
}

// listText is the values in order, as the API writes them.
func listText(list corev1.ResourceList) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(list)) {
		q := list[name]
		out = append(out, fmt.Sprintf("%s=%s", name, q.String()))
	}
	return strings.Join(out, " ")
}

// histories are the memory histories of an object on both sides, for the trace.
func (d *recommenders) histories(name string) string {
	var out strings.Builder
	for container, learned := range d.our.state[name].Learned {
		fmt.Fprintf(&out, "ours %s %+v\n", container, learned.Memory)
		for pod, w := range estimator.Running(d.our.state[name], container) {
			fmt.Fprintf(&out, "  %s %+v\n", pod, w)
		}
	}
	for container, learned := range d.up.state.VPAs()[modelID(name)].AggregateStateByContainerName() {
		fmt.Fprintf(&out, "upstream %s %s\n", container, learned.AggregateMemoryPeaks)
	}
	return out.String()
}
