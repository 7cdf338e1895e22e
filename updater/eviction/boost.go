package eviction

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
	"github.com/quartet-autoscaling/quartet/updater/resize"
)

// Boosts are what a pod shows of the CPU that its containers got to start with.
type Boosts struct {
	// Ready is when the pod became ready; zero while it is not.
	Ready time.Time `json:"ready,omitzero"`
	// Was is what each boosted container had before, as the admission webhook wrote
	// it: JSON with requests and limits.
	Was map[string]string `json:"was,omitempty"`
}

// Boosts tells whether the object asks for boosts at all.
func (v *VPA) Boosts() bool {
	if v.StartupBoost != nil {
		return true
	}
	return v.Policy != nil && slices.ContainsFunc(v.Policy.ContainerPolicies, func(p vpav1.ContainerResourcePolicy) bool { return p.StartupBoost != nil })
}

// Unboost is a pod whose containers give back what they got to start with.
type Unboost struct {
	PodRef
	// Containers are those whose boost ends.
	Containers []string        `json:"containers"`
	Resize     []resize.Change `json:"resize,omitempty"`
}

// endBoosts finds the boosts that end. It comes before the update modes, since a
// boost ends in all of them.
func endBoosts(t *turn) bool {
	groups := groupsOf(t.s)
	for _, name := range slices.Sorted(maps.Keys(t.s.Pods)) {
		if pod := t.s.Pods[name]; pod.Boosts != nil {
			t.endBoost(name, pod, groups[pod.Group])
		}
	}
	return true
}

// endBoost plans the end of one pod's boosts where it is time.
func (t *turn) endBoost(name string, pod Pod, g *group) {
	ended, next := t.endedBoosts(pod)
	say := func(reason, format string, args ...any) {
		t.step(0, reason, name+": "+fmt.Sprintf(format, args...))
	}
	switch {
	case pod.Boosts.Ready.IsZero():
		say("Boosted", "its startup boost lasts until it is ready, and then its time")
	case len(ended) == 0:
		say("Boosted", "its startup boost ends at %s", next.Format(time.RFC3339))
	case pod.Pending || pod.Resize != nil:
		say("BoostWaits", "its startup boost is over, and it is pending or being resized")
	case pod.Group == "" || g.err != "":
		say("BoostWaits", "its startup boost is over, and how many pods its controller wants is not known")
	case g.budget == 0:
		say("BoostWaits", "its startup boost is over; not resized: %s", g.describe(t.s.Config.Tolerance))
	default:
		u := Unboost{PodRef: PodRef{Name: name, UID: pod.UID}, Containers: ended, Resize: t.unboosted(pod, ended)}
		t.d.Unboosts = append(t.d.Unboosts, u)
		to := "its spec asks for what comes after"
		if len(u.Resize) > 0 {
			to = "to " + resize.Describe(u.Resize)
		}
		t.step(1, "BoostEnds", fmt.Sprintf("%s: the startup boost of %s is over; %s", name, strings.Join(ended, ", "), to))
	}
}

// endedBoosts are the containers whose boost is over, and when the next one ends.
func (t *turn) endedBoosts(pod Pod) (ended []string, next time.Time) {
	if pod.Boosts.Ready.IsZero() {
		return nil, time.Time{}
	}
	for _, container := range slices.Sorted(maps.Keys(pod.Boosts.Was)) {
		lasts := t.boostTime(container)
		until := pod.Boosts.Ready.Add(lasts)
		switch {
		case lasts == 0 || t.s.Now.After(until):
			ended = append(ended, container)
		case next.IsZero() || until.Before(next):
			next = until
		}
	}
	return ended, next
}

// boostTime is how long a container is boosted once its pod is ready: by its own
// policy, else by the object.
func (t *turn) boostTime(container string) time.Duration {
	lasts := int32(0)
	of := func(b *vpav1.StartupBoost) {
		if b != nil && b.CPU != nil && b.CPU.DurationSeconds != nil {
			lasts = *b.CPU.DurationSeconds
		}
	}
	of(t.s.VPA.StartupBoost)
	if p := resourcepolicy.ContainerPolicy(t.s.VPA.Policy, container); p != nil {
		of(p.StartupBoost)
	}
	return time.Duration(lasts) * time.Second
}

// unboosted are the changes that end boosts: containers get what is recommended,
// or where nothing is, what they had. Containers that stay boosted are left out,
// and in mode Off those that were not boosted.
func (t *turn) unboosted(pod Pod, ended []string) []resize.Change {
	off := t.s.VPA.UpdateMode == vpav1.UpdateModeOff
	w := resize.Wanted{Policy: t.s.VPA.Policy, Presets: t.s.Limits.Defaults()}
	if !off {
		for _, f := range resourcepolicy.Fit(resourcepolicy.Pod{Containers: pod.Containers, Policy: w.Policy, Limits: t.s.Limits}, t.s.VPA.Recommendations) {
			w.Fitted = append(w.Fitted, f.Recommendation)
		}
	}
	spec := resize.Spec{}
	if pod.Spec != nil {
		spec = *pod.Spec
	}
	var back, others []resourcepolicy.Container
	for _, c := range pod.Containers {
		_, boosted := pod.Boosts.Was[c.Name]
		over := slices.Contains(ended, c.Name)
		switch {
		case boosted && !over || off && !boosted:
		case over && !recommends(w.Fitted, c.Name):
			back = append(back, c)
		default:
			others = append(others, c)
		}
	}
	changes := w.Changes(others, spec)
	for _, c := range back {
		was := resourcepolicy.Container{}
		// What cannot be read was not written by the webhook: it is left.
		if json.Unmarshal([]byte(pod.Boosts.Was[c.Name]), &was) != nil {
			continue
		}
		if change := spec.To(c, was); len(change.Requests)+len(change.Limits) > 0 {
			changes = append(changes, change)
		}
	}
	return changes
}

func recommends(all []resourcepolicy.Recommendation, container string) bool {
	r := resourcepolicy.Find(all, container)
	return r != nil && len(r.Target) > 0
}

// boosted leaves pods alone while they are boosted.
func boosted(_ *turn, p *judged) bool { return p.pod.Boosts == nil }

// BoostAnnotation begins the annotations in which the admission webhook writes
// what a container had before its boost; its name follows.
const BoostAnnotation = "vpaCpuStartupBoost/"

// BoostsOf reads a pod's boosts; nil where it has none.
func BoostsOf(pod *corev1.Pod) *Boosts {
	var out *Boosts
	for key, was := range pod.Annotations {
		container, ok := strings.CutPrefix(key, BoostAnnotation)
		if !ok {
			continue
		}
		if out == nil {
			out = &Boosts{Was: map[string]string{}}
		}
		out.Was[container] = was
	}
	if out == nil {
		return nil
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			out.Ready = c.LastTransitionTime.UTC()
		}
	}
	return out
}
