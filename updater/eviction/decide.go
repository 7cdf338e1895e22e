package eviction

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/updater/resize"
)

// rule looks at the object and tells whether its pods may be judged at all.
type rule struct {
	name  string
	apply func(*turn) (proceed bool)
}

// rules are asked in this order, before any pod is looked at.
func rules() []rule {
	return []rule{
		// Two writers never: beside another updater this one does nothing.
		{"guard/writer", guardWriter},
		// Of two objects on one target the older one scales.
		{"guard/older", guardOlder},
		// A policy may be more cautious than the binary.
		{"policy/attached", attachedPolicy},
		// What containers got to start with is given back, in every mode.
		{"boost/end", endBoosts},
		// The owner says whether pods that run may be updated, and how.
		{"mode/update", updateMode},
		// A pod that comes back unpatched would be evicted again and again.
		{"guard/admission", guardAdmission},
		// Without a recommendation there is nothing to update to.
		{"recommendation", recommended},
		// What was evicted must come back well before more is.
		{"guard/breaker", guardBreaker},
	}
}

// podRule tells whether a pod that may need an update can have it.
type podRule struct {
	name  string
	apply func(*turn, *judged) (proceed bool)
}

// podRules are asked for every pod in this order. Pods that pass them all are
// then taken by need, as many as their controllers can spare.
func podRules() []podRule {
	return []podRule{
		// A pod that is boosted while it starts is not as it will be.
		{"pod/boost", boosted},
		// Outside its bounds, killed for lack of memory soon after its start, or old
		// and different enough: one of these brings an update about.
		{"pod/need", need},
		// The owner may ask for changes in one direction only.
		{"pod/requirements", requirements},
		// A pod that no controller makes anew would be lost.
		{"pod/controller", controlled},
		// Too few pods of a controller are not touched.
		{"pod/min-replicas", minReplicas},
		// In the modes that resize a resize comes first, and while one is under way
		// the pod is not evicted.
		{"pod/resize", resizing},
		// Where pods must fit, one that cannot grow where it is may go elsewhere.
		{"fit/in-place", fitsInPlace},
	}
}

// turn is one decision in the making.
type turn struct {
	s      *Snapshot
	state  State
	d      Decision
	groups map[string]*group
	// rule is the name of the rule that is asked.
	rule string
	// updates counts those that are wanted so far: resized and evicted name them.
	updates          int
	resized, evicted []string
	// waiting counts the pods whose resize is waited for.
	waiting int
	// attempts and infeasible are what is known of resizes now.
	attempts   map[string]resize.Attempt
	infeasible map[string]Targets
	kind       kindTurn
}

// Decide says which pods of one object to resize and to evict. It is pure: the same snapshot
// and state give the same decision, byte for byte.
func Decide(s Snapshot, state State) Decision {
	t := &turn{s: &s, state: state}
	t.d.Component = Component
	t.d.Unit = decision.Unit{Kind: Kind, Namespace: s.VPA.Namespace, Name: s.VPA.Name, UID: s.VPA.UID}
	t.d.At = s.Now
	t.d.Target, t.d.UpdateMode, t.d.Pods = s.VPA.Target, s.VPA.UpdateMode, len(s.Pods)
	for _, r := range rules() {
		t.rule = r.name
		if !r.apply(t) {
			t.concludeStopped()
			return t.d
		}
	}
	t.judgeAll()
	t.concludeKind()
	return t.d
}

// judgeAll asks the rules of pods and takes of those that need an update as many
// as their groups allow, the most in need first.
func (t *turn) judgeAll() {
	t.groups = groupsOf(t.s)
	t.follow()
	t.planSurge()
	wanting := make([]*judged, 0, len(t.s.Pods))
	wanted := map[string]time.Time{}
	blocked := 0
	for _, name := range slices.Sorted(maps.Keys(t.s.Pods)) {
		pod := t.s.Pods[name]
		p := &judged{name: name, pod: pod, group: t.groups[pod.Group]}
		if !t.judge(p) {
			t.note(p)
			if p.wanted {
				blocked++
				wanted[p.key()] = t.since(p)
			}
			continue
		}
		wanted[p.key()] = t.since(p)
		wanting = append(wanting, p)
	}
	slices.SortFunc(wanting, byNeed)
	t.kind.wanting = wanting
	// As upstream, what can be resized is, before anything is evicted.
	for _, resizes := range []bool{true, false} {
		for _, p := range wanting {
			if (len(p.changes) > 0) == resizes && !t.take(p) {
				t.note(p)
				blocked++
			}
		}
	}
	for _, p := range wanting {
		if p.candidate != nil {
			t.d.Candidates = append(t.d.Candidates, *p.candidate)
		}
	}
	t.d.Observed.Judged, t.d.Observed.Attempts, t.d.Observed.Infeasible = true, t.attempts, t.infeasible
	if len(wanted) > 0 {
		t.d.Observed.Wanted = wanted
	}
	t.conclude(blocked)
}

func (t *turn) judge(p *judged) bool {
	for _, r := range podRules() {
		t.rule = r.name
		if !r.apply(t, p) {
			return false
		}
	}
	return true
}

// since is when the pod was first found to need an update.
func (t *turn) since(p *judged) time.Time {
	if at, known := t.state.Wanted[p.key()]; known {
		return at
	}
	return t.s.Now
}

// take makes the pod a candidate, and an update of now where its group's budget
// is not used up.
func (t *turn) take(p *judged) bool {
	if !t.spare(p) {
		return false
	}
	if p.surges {
		return t.rollOut(p)
	}
	c := &Candidate{
		Pod: p.name, UID: p.pod.UID, Group: p.pod.Group, Pending: p.pod.Pending, Reason: p.reason, Message: p.why,
		Resize: p.changes, Unbounded: p.unbounded, OrEvict: p.orEvict,
	}
	if len(p.changes) > 0 && !p.orEvict {
		c.Targets = targetsOf(t.s.VPA.Recommendations)
	}
	t.rule = "pod/tolerance"
	if !p.pod.Pending && !p.unbounded && p.group.budget == 0 {
		t.step(0, "GroupNotWhole", fmt.Sprintf("%s: %s; not %s: %s", p.name, p.why, p.done(), p.group.describe(t.s.Config.Tolerance)))
		return false
	}
	p.candidate = c
	if !p.pod.Pending {
		if t.d.Budgets == nil {
			t.d.Budgets = map[string]int{}
		}
		t.d.Budgets[p.pod.Group] = p.group.budget
		if !p.unbounded && p.group.taken >= p.group.budget {
			t.step(0, "ToleranceReached", fmt.Sprintf("%s: %s; waits: %s, and %d are updated before it",
				p.name, p.why, p.group.describe(t.s.Config.Tolerance), p.group.taken))
			p.candidate = t.standIn(p)
			return false
		}
		p.group.taken++
	}
	t.spend(p)
	c.Taken = p.taken
	if len(p.changes) > 0 {
		t.rule = "pod/resize"
		t.resized = append(t.resized, p.name)
		t.step(1, p.reason, fmt.Sprintf("%s: %s; to %s; wanted since %s", p.name, p.why, resize.Describe(p.changes), clockTime(t.since(p))))
		return true
	}
	t.rule = "pod/evict"
	t.evicted = append(t.evicted, p.name)
	t.step(1, p.reason, fmt.Sprintf("%s: %s; wanted since %s", p.name, p.why, clockTime(t.since(p))))
	t.qosNote(p)
	return true
}

// conclude sums the steps up.
func (t *turn) conclude(blocked int) {
	t.d.To = t.updates
	switch {
	case t.updates > 0:
		t.d.Reason, t.d.Message = t.summary()
	case blocked > 0 && blocked == t.waiting:
		t.d.Reason = ReasonResizing
		t.d.Message = fmt.Sprintf("the resize of %s is waited for", count(blocked, "pod"))
	case blocked > 0:
		t.d.Reason = ReasonBlocked
		t.d.Message = fmt.Sprintf("%s would be updated and cannot be now", count(blocked, "pod"))
	case len(t.s.Pods) == 0:
		t.d.Reason, t.d.Message = ReasonNoPods, "the target has no pods"
	default:
		t.d.Reason, t.d.Message = ReasonUpToDate, fmt.Sprintf("no update is needed for %s", count(len(t.s.Pods), "pod"))
	}
	t.act()
}

// concludeStopped sums up a decision in which pods were not judged: boosts end all
// the same.
func (t *turn) concludeStopped() {
	if len(t.d.Unboosts) == 0 {
		return
	}
	why := t.d.Message
	t.d.To = t.updates
	t.d.Reason, t.d.Message = t.summary()
	t.d.Message += "; else nothing: " + why
	t.act()
}

// act tells whether the decision is carried out.
func (t *turn) act() {
	t.d.Act = t.s.Mode == ModeAuto && t.updates > 0
	if t.s.Mode == ModeRecommend && t.updates > 0 {
		t.rule = "mode/recommend"
		t.step(0, "Withheld", "mode Recommend: the updates are shown and not made")
	}
}

// summary tells what is to be done.
func (t *turn) summary() (reason, message string) {
	var parts []string
	add := func(verb string, pods []string) {
		if len(pods) > 0 {
			parts = append(parts, fmt.Sprintf("%s %s: %s", verb, count(len(pods), "pod"), strings.Join(pods, ", ")))
		}
	}
	var unboosted []string
	for _, u := range t.d.Unboosts {
		unboosted = append(unboosted, u.Name)
	}
	add("end the startup boost of", unboosted)
	add("resize", t.resized)
	add("evict", t.evicted)
	switch {
	case len(t.evicted) > 0 && len(t.resized) > 0:
		reason = ReasonResizeAndEvict
	case len(t.evicted) > 0:
		reason = ReasonEvict
	case len(t.resized) > 0:
		reason = ReasonResize
	default:
		reason = ReasonEndBoost
	}
	return reason, strings.Join(parts, "; ")
}

// step notes what the current rule did to the number of updates.
func (t *turn) step(more int, reason, message string) {
	in := strconv.Itoa(t.updates)
	t.updates += more
	t.d.Steps = append(t.d.Steps, decision.Step{
		Rule: t.rule, In: in, Out: strconv.Itoa(t.updates), Reason: reason, Message: message,
	})
}

// stop ends the decision before any pod is looked at.
func (t *turn) stop(reason, message string) bool {
	t.d.Reason, t.d.Message = reason, message
	t.step(0, reason, message)
	return false
}

func (t *turn) fault(source, reason, message string) {
	t.d.Faults = append(t.d.Faults, decision.Fault{Source: source, Reason: reason, Message: message})
}

func guardWriter(t *turn) bool {
	if t.s.Rival == "" {
		return true
	}
	return t.stop(ReasonOtherWriter, t.s.Rival+" acts in this cluster: nothing is evicted beside it")
}

func guardOlder(t *turn) bool {
	if t.s.VPA.Older == "" {
		return true
	}
	return t.stop(ReasonOlder, fmt.Sprintf("%s scales %s and is older", t.s.VPA.Older, t.s.VPA.Target))
}

// modeAuto is upstream's deprecated name of Recreate.
const modeAuto vpav1.UpdateMode = "Auto"

func updateMode(t *turn) bool {
	switch mode := t.s.VPA.UpdateMode; mode {
	case vpav1.UpdateModeRecreate, vpav1.UpdateModeInPlaceOrRecreate:
		return true
	case modeAuto:
		t.step(0, "AutoIsDeprecated", "updateMode Auto is deprecated and evicts as Recreate does")
		return true
	case vpav1.UpdateModeInPlace:
		if t.s.Config.Gates.InPlace {
			return true
		}
		return t.stop(ReasonUpdateMode, "updateMode InPlace: the feature gate InPlace is off")
	default:
		return t.stop(ReasonUpdateMode, fmt.Sprintf("updateMode %s: pods that run are left alone", mode))
	}
}

func guardAdmission(t *turn) bool {
	if !t.s.Config.NeedsAdmission {
		return true
	}
	a := t.s.Admission
	if a.Error != "" {
		t.fault("lease "+a.Lease, "LeaseUnread", a.Error)
		return t.stop(ReasonAdmissionAway, fmt.Sprintf("whether vpa-admission works is not known: lease %s: %s", a.Lease, a.Error))
	}
	if age := t.s.Now.Sub(a.Renewed); age >= t.s.Config.LeaseTimeout {
		return t.stop(ReasonAdmissionAway, fmt.Sprintf("vpa-admission has not renewed lease %s since %s, more than %s ago: pods would come back unpatched",
			a.Lease, clockTime(a.Renewed), t.s.Config.LeaseTimeout))
	}
	return true
}

func recommended(t *turn) bool {
	if len(t.s.VPA.Recommendations) > 0 {
		return true
	}
	return t.stop(ReasonNoRecommendation, "there is no recommendation yet")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func clockTime(at time.Time) string { return at.Format("15:04:05Z") }
