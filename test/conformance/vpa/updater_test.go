package vpa

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/updater/logic"
	vpautil "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/utils/vpa"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/updater/controller"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// playUpdater plays a scenario. Where it differs it is played again, upstream told
// when each attempt of a resize began: nothing may differ then.
func playUpdater(t *testing.T, s scenario) result {
	t.Helper()
	if _, err := prototype(); err != nil {
		t.Fatal(err)
	}
	r := playUpdaters(t, s, false)
	if len(r.differences) > 0 {
		if r = playUpdaters(t, s, true); len(r.differences) == 0 {
			r.explained[headingAttempt]++
		}
	}
	return r
}

// playUpdaters runs both updaters, up to the first difference that is not
// explained. told tells upstream of the attempts of ours.
func playUpdaters(t *testing.T, s scenario, told bool) result {
	t.Helper()
	r := newResult()
	synctest.Test(t, func(t *testing.T) {
		d := draw{Rand: rand.New(rand.NewPCG(s.seed, 23)), seen: r.seen, skipped: r.skipped, gates: s.gates}
		u := newUpdaters(t, newFleet(d, time.Now()), &r)
		u.told = told
		length := s.turns
		if length == 0 {
			length = 2 + d.IntN(10)
		}
		for r.turns < length && len(r.differences) == 0 && u.turn() {
			time.Sleep([]time.Duration{time.Minute, time.Minute, 4 * time.Minute, 20 * time.Minute, 2 * time.Hour}[d.IntN(5)])
		}
	})
	return r
}

// updaters are both on one fleet.
type updaters struct {
	t     *testing.T
	f     *fleet
	r     *result
	up    logic.Updater
	view  *controller.View
	state eviction.State
	// told tells that upstream is told of the attempts.
	told bool
	// theirs and mine are the calls of the turn, core is the client of ours.
	theirs, mine *calls
	core         *typedcorev1.CoreV1Client
}

func newUpdaters(t *testing.T, f *fleet, r *result) *updaters {
	t.Helper()
	u := &updaters{t: t, f: f, r: r, view: &controller.View{Options: f.options}, theirs: &calls{f: f}, mine: &calls{f: f}}
	if f.gates {
		switchOn(t, f.options.Features)
	}
	u.up = upstreamUpdater(t, f, u.theirs)
	var err error
	u.core, err = typedcorev1.NewForConfig(&rest.Config{Host: "http://localhost", Transport: u.mine, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// turn plays one and compares. It is false where nothing can be compared after.
func (u *updaters) turn() bool {
	u.t.Helper()
	u.r.turns++
	u.f.step(time.Now())
	for _, c := range []*calls{u.theirs, u.mine} {
		c.log, c.evicted, c.resized, c.empty = nil, nil, map[string][]corev1.Container{}, 0
	}
	d := u.runOurs()
	if u.told {
		for key, attempt := range u.state.Attempts {
			name, _, _ := strings.Cut(key, "/")
			attemptsOf(u.up)[namespace+"/"+name] = attempt.Since
		}
	}
	panicked := u.runTheirs()
	if panicked {
		switch {
		case u.limited():
			u.r.explained[headingPanic]++
		case u.f.vpa.Status.Recommendation == nil && u.f.options.Rules.UpdateThreshold == 0:
			u.r.explained[headingNone]++
		default:
			u.r.differences = append(u.r.differences, "upstream panics for another reason than listed")
		}
		return false
	}
	if *trace {
		u.t.Logf("turn %d, %s: %s\n  ours: %s\n%s", u.f.turn, vpautil.GetUpdateMode(u.f.vpa), strings.Join(u.theirs.log, "; "), strings.Join(u.mine.log, "; "), steps(d))
	}
	for _, call := range u.mine.log {
		u.r.seen[strings.Fields(call)[0]]++
	}
	if diff := cmp.Diff(u.theirs.log, u.mine.log); diff != "" {
		if heading := u.explained(); heading != "" {
			u.r.explained[heading]++
			return false
		}
		u.r.differences = append(u.r.differences, diff, steps(d))
		u.r.world = u.describe()
		return false
	}
	u.f.follow(u.theirs)
	return true
}

// explained is the heading of what differs, "" for none.
func (u *updaters) explained() string {
	switch {
	case slices.ContainsFunc(u.f.groups, func(g group) bool { return g.kind == "Fleet" }):
		return headingKind
	case u.theirs.empty > 0 && within(u.theirs.log, u.mine.log):
		// What upstream asks for in vain uses up some of its budget.
		return headingEmpty
	case vpautil.GetUpdateMode(u.f.vpa) == "InPlace" && u.infeasibleBefore():
		return headingInForce
	case u.limited():
		return headingPanic
	}
	return ""
}

// infeasibleBefore tells whether all that ours does more are resizes of pods that
// upstream keeps as infeasible.
func (u *updaters) infeasibleBefore() bool {
	known := infeasibleOf(u.up)
	more := slices.DeleteFunc(slices.Clone(u.mine.log), func(call string) bool { return slices.Contains(u.theirs.log, call) })
	return within(u.theirs.log, u.mine.log) && !slices.ContainsFunc(more, func(call string) bool {
		words := strings.Fields(strings.ReplaceAll(call, ":", ""))
		_, kept := known[u.f.pods[words[1]].UID]
		return words[0] != "resize" || !kept
	})
}

// within tells whether all of part is in the whole, in order.
func within(part, whole []string) bool {
	for _, call := range whole {
		if len(part) > 0 && part[0] == call {
			part = part[1:]
		}
	}
	return len(part) == 0
}

func (u *updaters) runTheirs() (panicked bool) {
	defer func() {
		if cause := recover(); cause != nil {
			panicked = true
			u.r.world = fmt.Sprintf("%v\n%s\n", cause, u.describe())
		}
	}()
	u.up.RunOnce(u.t.Context())
	return false
}

func (u *updaters) runOurs() eviction.Decision {
	u.t.Helper()
	c := controller.Cluster{Controllers: map[string]eviction.Group{}, LimitRanges: u.f.limits}
	for _, name := range u.f.names() {
		if p := u.f.pods[name]; len(p.OwnerReferences) > 0 {
			c.Pods = append(c.Pods, p)
		}
	}
	for _, g := range u.f.groups {
		c.Controllers[g.key()] = declared(g)
	}
	s, err := u.view.Snapshot(time.Now().UTC(), u.f.vpa.DeepCopy(), c)
	if err != nil {
		u.t.Fatal(err)
	}
	d := eviction.Decide(s, u.state)
	outcome := decision.Outcome{Result: decision.Unneeded}
	if d.Act {
		outcome = u.view.Act(u.t.Context(), u.core.RESTClient(), d)
	}
	u.state = eviction.Commit(u.state, d, outcome)
	return d
}

// declared is how many pods a controller says that it wants.
func declared(g group) eviction.Group {
	switch {
	case g.kind == "Job" || g.kind == "Fleet":
		return eviction.Group{}
	case g.replicas <= 0:
		return eviction.Group{Error: "not known"}
	}
	return eviction.Group{Replicas: g.replicas, Counted: true}
}

// limited tells whether there is a LimitRange for pods, and a container without all
// of a recommendation.
func (u *updaters) limited() bool {
	v := review{vpa: u.f.vpa, limits: u.f.limits}
	return v.limited() && slices.ContainsFunc(u.f.names(), func(name string) bool {
		v.pod = u.f.pods[name]
		return v.lacks()
	})
}

func steps(d eviction.Decision) string {
	var out []string
	for _, s := range d.Steps {
		out = append(out, fmt.Sprintf("    %s %s: %s", s.Rule, s.Reason, s.Message))
	}
	return strings.Join(out, "\n")
}

func (u *updaters) describe() string {
	raw, err := json.Marshal(map[string]any{"vpa": u.f.vpa, "limits": u.f.limits, "config": u.f.options.Rules})
	if err != nil {
		return err.Error()
	}
	out := string(raw) + "\n"
	for _, g := range u.f.groups {
		out += fmt.Sprintf("%s wants %d\n", g.key(), g.replicas)
	}
	for _, name := range u.f.names() {
		p := u.f.pods[name]
		owner := ""
		if len(p.OwnerReferences) > 0 {
			owner = p.OwnerReferences[0].Name
		}
		out += fmt.Sprintf("%s of %s, %s on %q, deleted %v, resize %v, refused %d, annotations %v: %s\n", name, owner, p.Status.Phase, p.Spec.NodeName,
			p.DeletionTimestamp != nil, p.Status.Conditions, u.f.refused[name], p.Annotations, resourcesText(p))
	}
	return out
}
