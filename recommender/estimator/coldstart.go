package estimator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
)

// ColdStart tells what a container began from that has no history of its own to
// speak of, and is absent where none has.
const ColdStart = "QuartetColdStart"

// Reasons of the condition ColdStart and of its steps.
const (
	ReasonFromWorkload = "FromWorkload"
	ReasonFromImage    = "FromImage"
	ReasonFromFloor    = "FromFloor"
	ReasonNothingFound = "NothingFound"
)

// The most that a history of the same image weighs, so that a container's own
// usage counts for more within a day or a few: two hours of samples of CPU, one
// peak of memory.
const (
	imageCPU    = 120 * cpuWeight
	imageMemory = peakWeight
)

// History is what was learned elsewhere and may be begun from.
type History struct {
	// Container is the new one, Source what makes it the other's kin:
	// verticalpolicy.StartWorkload or StartImage.
	Container string `json:"container"`
	Source    string `json:"source"`
	// Of says whose it is.
	Of      string  `json:"of"`
	Learned Learned `json:"learned"`
}

// Origin is what a container's history began from.
type Origin struct {
	// Source is one of verticalpolicy's, Of says whose history it was.
	Source string    `json:"source"`
	Of     string    `json:"of,omitempty"`
	At     time.Time `json:"at"`
}

// text tells it to the object's owner.
func (o Origin) text() string {
	if o.Source == verticalpolicy.StartFloor {
		return "the floor, since no other history was found"
	}
	return "the history of " + o.Of
}

func (o Origin) reason() string {
	switch o.Source {
	case verticalpolicy.StartWorkload:
		return ReasonFromWorkload
	case verticalpolicy.StartImage:
		return ReasonFromImage
	}
	return ReasonFromFloor
}

// startCold has new containers begin from what the policy says, in its order.
func startCold(t *turn) {
	p := t.s.Policy
	if p == nil || len(p.ColdStart) == 0 {
		return
	}
	begun := map[string]Learned{}
	for _, container := range t.cold() {
		learned, found := t.begin(container, p.ColdStart)
		if !found {
			t.rule = "start/none"
			t.step(ReasonNothingFound, container+": no history to begin from was found, so it waits for its first sample")
			continue
		}
		begun[container] = learned
		t.rule = "start/" + strings.ToLower(learned.From.Source)
		t.step(learned.From.reason(), fmt.Sprintf("%s: it has no history of its own and begins from %s", container, learned.From.text()))
	}
	if len(begun) > 0 {
		t.learn(func(d *Delta) { d.Begun = begun })
	}
}

// cold are the containers of pods, sorted, of which nothing is known nor shown.
func (t *turn) cold() []string {
	names := map[string]bool{}
	for _, pod := range t.s.Pods {
		for name := range pod.Containers {
			if t.s.Begins(t.state, name) && !t.policy(name).Off {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Begins tells whether nothing is known of a container, nor shown.
func (s *Snapshot) Begins(state State, container string) bool {
	_, shown := s.VPA.Recommended.of(container)
	return !shown && state.Learned[container].fresh()
}

// fresh tells that nothing was learned of a container, nor taken from elsewhere.
func (l Learned) fresh() bool {
	return l.From == nil && l.Samples == 0 && len(l.CPU.Weights) == 0 && len(l.Memory.Weights) == 0
}

// begin gives what a container begins from: the first of the sources that has
// anything.
func (t *turn) begin(container string, sources []string) (Learned, bool) {
	for _, source := range sources {
		if source == verticalpolicy.StartFloor {
			return Learned{From: &Origin{Source: source, At: t.s.Now}}, true
		}
		h, found := History{}, false
		if source == verticalpolicy.StartWorkload {
			h, found = t.kin(container)
		}
		if !found {
			i := slices.IndexFunc(t.s.Histories, func(h History) bool { return h.Container == container && h.Source == source })
			if i < 0 {
				continue
			}
			h = t.s.Histories[i]
		}
		return t.taken(h), true
	}
	return Learned{}, false
}

// kin finds the history of another container of the same object: one of the same
// image, else one that no pod has any more, as after a change of its name; of
// several the one that was seen last.
func (t *turn) kin(container string) (History, bool) {
	images := map[string]string{}
	for _, pod := range t.s.Pods {
		for name, c := range pod.Containers {
			images[name] = cmp.Or(c.Image, images[name])
		}
	}
	best, rank := "", 0
	for _, name := range slices.Sorted(maps.Keys(t.state.Learned)) {
		image, running := images[name]
		score := 0
		switch l := t.state.Learned[name]; {
		case l.Samples == 0 || name == container:
		case running && image != "" && image == images[container]:
			score = 2
		case !running:
			score = 1
		}
		if score > rank || score == rank && score > 0 && t.state.Learned[name].Last.After(t.state.Learned[best].Last) {
			best, rank = name, score
		}
	}
	if rank == 0 {
		return History{}, false
	}
	of := "container " + best + ", which no pod has any more"
	if rank == 2 {
		of = "container " + best + ", which has the same image"
	}
	return History{Container: container, Source: verticalpolicy.StartWorkload, Of: of, Learned: t.state.Learned[best]}, true
}

// taken is a history as another container begins from it: without its number of
// samples and their times, so that the bounds are wide until there are own ones.
func (t *turn) taken(h History) Learned {
	l := Learned{
		CPU: h.Learned.CPU.Clone(), Memory: h.Learned.Memory.Clone(),
		CPUHalfLife: h.Learned.CPUHalfLife, MemoryHalfLife: h.Learned.MemoryHalfLife,
		From: &Origin{Source: h.Source, Of: h.Of, At: t.s.Now},
	}
	if h.Source == verticalpolicy.StartImage {
		CPUScheme(cmp.Or(l.CPUHalfLife, t.flags.CPU.HalfLife)).Lighten(&l.CPU, imageCPU, t.s.Now)
		MemoryScheme(cmp.Or(l.MemoryHalfLife, t.flags.Memory.HalfLife)).Lighten(&l.Memory, imageMemory, t.s.Now)
	}
	return l
}

// seen is when the container last had a sample, or else began from elsewhere.
func (l Learned) seen() time.Time {
	if l.Last.IsZero() && l.From != nil {
		return l.From.At
	}
	return l.Last
}

// fromFloor recommends the least for a pod where the container begins from it: it
// has no sample. The upper bound is as wide as it can be, so that no pod is made
// smaller for it.
func (e *estimation) fromFloor(s series, out *ContainerRecommendation) bool {
	if from := e.learned.From; from == nil || from.Source != verticalpolicy.StartFloor {
		return false
	}
	least := e.cap(s.name, round(s.floor, s.config.Round))
	e.step(s.name, least, decision.Step{Rule: "start/floor", Reason: ReasonFromFloor,
		Message: "no sample yet: the floor for a pod, within the policy's bounds"})
	out.Target.set(s.name, least)
	out.Uncapped.set(s.name, round(s.floor, s.config.Round))
	out.Lower.set(s.name, least)
	out.Upper.set(s.name, e.cap(s.name, maxAmount))
	return true
}

// begun shows what containers began from, until each has full confidence in its
// own samples.
func (t *turn) begun() {
	reason := ""
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(t.after.Learned)) {
		l := t.after.Learned[name]
		if l.From == nil || t.policy(name).Off || Confidence(l, t.s.Config.CPU.Confidence) >= 1 {
			continue
		}
		reason = cmp.Or(reason, l.From.reason())
		parts = append(parts, name+" began from "+l.From.text())
	}
	if len(parts) > 0 {
		t.condition(ColdStart, decision.True, reason, strings.Join(parts, "; "))
	}
}

// begin adds the histories that containers begin from.
func begin(s State, begun map[string]Learned) State {
	if len(begun) > 0 {
		s.Learned = orEmpty(maps.Clone(s.Learned))
		maps.Copy(s.Learned, begun)
	}
	return s
}
