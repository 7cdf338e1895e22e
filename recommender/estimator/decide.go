package estimator

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// rule looks at the turn and takes it a step further.
type rule struct {
	name  string
	apply func(*turn)
}

// rules are asked in this order, all of them: what one cannot do leaves the
// others to hold what there is.
func rules() []rule {
	return []rule{
		// A policy may say more than the flags, and be more cautious.
		{"policy/attached", attachPolicy},
		// Two writers never: what another recommender writes is learned and shown,
		// and not written.
		{"guard/writer", guardWriter},
		// Without the target's pods nothing new is learned.
		{"target/pods", findPods},
		// Without what was learned before nothing is learned or recommended: it would
		// be lost.
		{"history/fetch", fetchHistory},
		// A new container may begin from the history of another.
		{"start", startCold},
		// Usage becomes history, and so do kills for memory.
		{"history/samples", learnSamples},
		{"history/kills", learnKills},
		// What is gone for good is forgotten.
		{"history/forget", forget},
		// What scales the target by the same requests is told of.
		{"conflict/horizontal", tellConflict},
		// History becomes amounts: percentile, margin, confidence, floor, policy.
		{"estimate", estimate},
		// History is kept where a restart finds it.
		{"checkpoint/due", checkpoint},
	}
}

// turn is one decision in the making.
type turn struct {
	s     *Snapshot
	state State
	// after is the state with what this turn learned.
	after State
	d     Decision
	// rule is the name of the rule that is asked.
	rule string
	// matched tells that the target has pods.
	matched bool
	// flags are the configuration without the policy that is attached.
	flags Config
	// off tells that the policy leaves the object alone.
	off bool
	// withheld tells that another recommender is at work, and why then.
	withheld bool
	why      string
	// conflict is the condition Conflict; its type is empty where there is none.
	conflict decision.Condition
	// fetching tells that what was learned before is not at hand.
	fetching bool
	// young are containers whose history is short, sorted.
	young []string
	// kills are remembered, by container.
	kills map[string]killed
	// atMaximum says of containers that they were killed with all that is allowed.
	atMaximum []string
}

// Decide says what to recommend for one object. It is pure: the same snapshot
// and state give the same decision, byte for byte.
func Decide(s Snapshot, state State) Decision {
	t := &turn{s: &s, state: state, after: state}
	t.d.Component = Component
	t.d.Unit = decision.Unit{Kind: Kind, Namespace: s.VPA.Namespace, Name: s.VPA.Name, UID: s.VPA.UID}
	t.d.At = s.Now
	t.d.Target = s.VPA.Target
	t.d.From, t.d.To = s.VPA.Recommended, s.VPA.Recommended
	t.d.Status = Status{Scope: ScopeAll, ObservedGeneration: s.VPA.Generation}
	for _, r := range rules() {
		t.rule = r.name
		r.apply(t)
		if t.fetching {
			break
		}
	}
	t.conclude()
	t.show()
	t.settle()
	return t.d
}

func guardWriter(t *turn) {
	w := otherWriter(t.s)
	if w == nil {
		return
	}
	message := w.Name + " writes the status of this object: the recommender of Quartet learns and leaves the object alone until that stops"
	if w.Lease {
		message = w.Name + " is held by another recommender: the recommender of Quartet learns and leaves the object alone until that stops"
	}
	if t.s.Mode != ModeAuto {
		t.step(ReasonOtherWriter, w.Name+" is at work; mode "+t.s.Mode+" only watches")
		return
	}
	t.withheld, t.why = true, message
	t.step(ReasonOtherWriter, message)
	t.condition(Acting, decision.False, ReasonOtherWriter, message)
	t.d.Events = append(t.d.Events, Event{Type: Warning, Reason: ReasonOtherWriter, Message: message})
}

const (
	// quiet is how long another recommender must not have written before an
	// object is taken over: it writes where its recommendation changes, which is
	// mostly once a minute.
	quiet = 10 * time.Minute
	// contested is the same where it wrote after we had: it is alive.
	contested = time.Hour
)

func otherWriter(s *Snapshot) *Writer {
	w := s.Writer
	if w == nil || w.Lease {
		return w
	}
	patience := quiet
	if w.AfterUs {
		patience = contested
	}
	if s.Now.Sub(w.At) >= patience {
		return nil
	}
	return w
}

func findPods(t *turn) {
	if e := t.s.TargetError; e != "" {
		t.fault("target "+t.s.VPA.Target.Kind+" "+t.s.VPA.Target.Name, ConfigUnsupported, e)
		t.step(ConfigUnsupported, e)
		t.condition(ConfigUnsupported, decision.True, "", e)
	}
	t.matched = len(t.s.Pods) > 0
	if !t.matched {
		t.condition(NoPodsMatched, decision.True, NoPodsMatched, "No pods match this VPA object")
		t.step(NoPodsMatched, "no started pod matches the target's selector")
	}
	if e := t.s.UsageError; e != "" {
		t.fault("resource metrics", "NoUsage", e)
	}
}

func fetchHistory(t *turn) {
	if t.fetching = t.s.Fetching != ""; t.fetching {
		t.step(FetchingHistory, t.s.Fetching)
		t.condition(FetchingHistory, decision.True, FetchingHistory, t.s.Fetching)
	}
}

func learnSamples(t *turn) {
	samples := map[string]Samples{}
	count := 0
	for name, pod := range t.s.Pods {
		taken := map[string]Amounts{}
		for container, c := range pod.Containers {
			w := t.state.Windows[name][container]
			var usage Amounts
			if pod.Sampled.After(w.LastCPU) {
				usage.CPU = c.Usage.CPU
			}
			if pod.Sampled.After(w.LastMemory) {
				usage.Memory = c.Usage.Memory
			}
			if usage.CPU != nil || usage.Memory != nil {
				taken[container] = usage
				count++
			}
		}
		if len(taken) > 0 {
			samples[name] = Samples{At: pod.Sampled, Containers: taken}
		}
	}
	if count == 0 {
		return
	}
	t.learn(func(d *Delta) { d.Samples = samples })
	t.step("Learned", fmt.Sprintf("%s of %s", plural(count, "new sample"), plural(len(samples), "pod")))
}

// learn adds to the delta and folds it anew, so that what is shown is made from
// just the state that Commit makes.
func (t *turn) learn(add func(*Delta)) {
	learning := t.learning()
	t.d.Observed.Learning = &learning
	add(&t.d.Observed)
	t.after = Apply(t.state, t.d.Observed)
}

func forget(t *turn) {
	// Pods that cannot be seen now may well be there.
	if t.s.TargetError == "" {
		for _, pod := range slices.Sorted(maps.Keys(t.state.Windows)) {
			if _, there := t.s.Pods[pod]; !there {
				t.d.Observed.Ended = append(t.d.Observed.Ended, pod)
			}
		}
	}
	for _, container := range slices.Sorted(maps.Keys(t.after.Learned)) {
		last, kept := t.after.Learned[container].seen(), t.kept(container)
		if !last.IsZero() && t.s.Now.Sub(last) >= kept {
			t.d.Observed.Expired = append(t.d.Observed.Expired, container)
			t.step("Expired", fmt.Sprintf("%s: its last sample is older than %s: its history is dropped", container, kept))
		}
	}
	if len(t.d.Observed.Ended)+len(t.d.Observed.Expired) > 0 {
		t.after = Apply(t.state, t.d.Observed)
	}
}

func (t *turn) fault(source, reason, message string) {
	t.d.Faults = append(t.d.Faults, decision.Fault{Source: source, Reason: reason, Message: message})
}

// step notes what a rule saw, without a value.
func (t *turn) step(reason, message string) {
	t.d.Steps = append(t.d.Steps, decision.Step{Rule: t.rule, Reason: reason, Message: message})
}

func (t *turn) condition(kind string, status decision.Status, reason, message string) {
	t.d.Conditions = append(t.d.Conditions, decision.Condition{Type: kind, Status: status, Reason: reason, Message: message})
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func clockTime(at time.Time) string { return at.UTC().Format("15:04:05Z") }

func list(names []string) string { return strings.Join(names, ", ") }
