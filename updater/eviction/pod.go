package eviction

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
)

// judged is a pod and what was found of it.
type judged struct {
	name  string
	pod   Pod
	group *group
	// wanted tells that the pod needs an update, whatever then blocks it.
	wanted      bool
	reason, why string
	fitted      []resourcepolicy.Recommendation
	difference
	plan
	care
}

// difference is how far a pod's requests are from its targets.
type difference struct {
	// outside tells that a request is outside its bounds, and what says which.
	outside bool
	what    string
	// grows tells that any target is above its request.
	grows bool
	// relative is the sum over resources of the difference to the requests.
	relative float64
}

// key tells a pod from its namesake after a deletion.
func (p *judged) key() string { return podKey(p.name, p.pod) }

func podKey(name string, pod Pod) string { return name + "/" + pod.UID }

// byNeed orders pods that grow before others, then by difference, then by name.
func byNeed(a, b *judged) int {
	if a.grows != b.grows {
		if a.grows {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(b.relative, a.relative), strings.Compare(a.name, b.name))
}

// observes tells whether a container was there when the pod was admitted: what
// others injected later is not ours to update.
func observes(pod Pod, container string) bool {
	return len(pod.Observed) == 0 || slices.Contains(pod.Observed, container)
}

// need finds out whether the pod is to be updated, and why.
func need(t *turn, p *judged) bool {
	for _, f := range resourcepolicy.Fit(resourcepolicy.Pod{
		Containers: p.pod.Containers, Policy: t.s.VPA.Policy, Limits: t.s.Limits,
	}, t.s.VPA.Recommendations) {
		p.fitted = append(p.fitted, f.Recommendation)
	}
	p.difference = compare(p.pod, p.fitted)
	killed := quickOOM(t.s, p.pod)
	switch {
	case killed != "" && p.relative == 0:
		t.step(0, "NothingWouldChange", fmt.Sprintf("%s: container %s was killed for lack of memory, and its requests would not change", p.name, killed))
		return false
	case p.outside:
		p.reason, p.why = "OutsideBounds", p.what
	case killed != "":
		p.reason, p.why = "QuickOOM", fmt.Sprintf("container %s was killed for lack of memory within %s of its start", killed, oomThreshold(t.s))
	default:
		return t.old(p)
	}
	p.wanted = true
	return true
}

// old judges a pod whose requests are within bounds.
func (t *turn) old(p *judged) bool {
	due := p.pod.Started.Add(t.s.Config.PodLifetime)
	switch {
	case p.relative < t.s.Config.UpdateThreshold:
		t.step(0, "CloseToTarget", fmt.Sprintf("%s: within bounds, and %.3g from its targets is below %g", p.name, p.relative, t.s.Config.UpdateThreshold))
	case p.pod.Started.IsZero():
		t.step(0, "NotStarted", p.name+": within bounds, and not started yet")
	case t.s.Now.Before(due):
		p.next = due
		t.step(0, "YoungWithinBounds", fmt.Sprintf("%s: within bounds; for its difference of %.3g it may be updated from %s on",
			p.name, p.relative, due.Format("2006-01-02T15:04:05Z")))
	default:
		p.wanted, p.reason = true, "LongLived"
		p.why = fmt.Sprintf("runs for %s or longer, and is %.3g from its targets", t.s.Config.PodLifetime, p.relative)
		return true
	}
	return false
}

// compare sums requests and targets over the containers that are observed.
func compare(pod Pod, fitted []resourcepolicy.Recommendation) difference {
	var d difference
	var outside []string
	requested, targeted := map[corev1.ResourceName]int64{}, map[corev1.ResourceName]int64{}
	for _, c := range pod.Containers {
		r := resourcepolicy.Find(fitted, c.Name)
		if r == nil || !observes(pod, c.Name) {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(r.Target)) {
			target := r.Target[name]
			targeted[name] += target.MilliValue()
			request, set := c.Requests[name]
			requested[name] += request.MilliValue()
			d.grows = d.grows || !set || target.MilliValue() > request.MilliValue()
			if text := beyond(c, r, name); text != "" {
				outside = append(outside, text)
			}
		}
	}
	d.outside, d.what = len(outside) > 0, strings.Join(outside, "; ")
	for _, name := range slices.Sorted(maps.Keys(targeted)) {
		base := math.Max(float64(requested[name]), 1)
		d.relative += math.Abs(base-float64(targeted[name])) / base
	}
	return d
}

// beyond tells how a request is outside its bounds, or "".
func beyond(c resourcepolicy.Container, r *resourcepolicy.Recommendation, name corev1.ResourceName) string {
	request, set := c.Requests[name]
	target := r.Target[name]
	if !set {
		return fmt.Sprintf("container %s requests no %s, the target is %s", c.Name, name, target.String())
	}
	if least, ok := r.LowerBound[name]; ok && request.Cmp(least) < 0 {
		return fmt.Sprintf("container %s requests %s %s, below the lower bound %s, the target is %s", c.Name, request.String(), name, least.String(), target.String())
	}
	if most, ok := r.UpperBound[name]; ok && request.Cmp(most) > 0 {
		return fmt.Sprintf("container %s requests %s %s, above the upper bound %s, the target is %s", c.Name, request.String(), name, most.String(), target.String())
	}
	return ""
}

// quickOOM names a container that was killed for lack of memory soon after its
// start, and not long ago.
func quickOOM(s *Snapshot, pod Pod) string {
	soon := oomThreshold(s)
	for _, name := range slices.Sorted(maps.Keys(pod.OOMs)) {
		if !observes(pod, name) || resourcepolicy.Off(s.VPA.Policy, name) {
			continue
		}
		o := pod.OOMs[name]
		if o.Finished.Sub(o.Started) < soon && s.Now.Sub(o.Finished) < soon {
			return name
		}
	}
	return ""
}

// oomThreshold is the object's own where it may have one.
func oomThreshold(s *Snapshot) time.Duration {
	if own := s.VPA.EvictAfterOOM; own != nil && s.Config.Gates.PerVPAConfig {
		return time.Duration(*own) * time.Second
	}
	return s.Config.OOMThreshold
}

// requirements hold for a pod where one of its containers meets them all. Where
// there are none it is enough that something is recommended for a container.
func requirements(t *turn, p *judged) bool {
	reason, message := "NothingRecommended", "nothing is recommended for any container"
	for _, c := range p.pod.Containers {
		r := resourcepolicy.Find(p.fitted, c.Name)
		if r == nil {
			continue
		}
		if len(t.s.VPA.Requirements) == 0 || meetsAll(c, r.Target, t.s.VPA.Requirements) {
			return true
		}
		reason, message = "RequirementsNotMet", "no container meets all evictionRequirements"
	}
	t.step(0, reason, fmt.Sprintf("%s: %s; %s", p.name, p.why, message))
	return false
}

func meetsAll(c resourcepolicy.Container, target corev1.ResourceList, all []Requirement) bool {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if _, set := c.Requests[name]; !set {
			return true
		}
	}
	for _, r := range all {
		if !slices.ContainsFunc(r.Resources, func(name corev1.ResourceName) bool {
			from, to := c.Requests[name], target[name]
			switch r.Change {
			case vpav1.TargetHigherThanRequests:
				return to.MilliValue() > from.MilliValue()
			case vpav1.TargetLowerThanRequests:
				return to.MilliValue() < from.MilliValue()
			}
			return false
		}) {
			return false
		}
	}
	return true
}

func controlled(t *turn, p *judged) bool {
	switch {
	case p.pod.Group == "":
		t.step(0, "NoController", fmt.Sprintf("%s: %s; no controller would make it anew", p.name, p.why))
	case p.group.err != "":
		t.fault(p.pod.Group, "ReplicasUnknown", p.group.err)
		t.step(0, "ReplicasUnknown", fmt.Sprintf("%s: %s; how many pods %s wants is not known: %s", p.name, p.why, p.pod.Group, p.group.err))
	default:
		return true
	}
	return false
}

func minReplicas(t *turn, p *judged) bool {
	p.below = p.group.live < leastReplicas(t.s)
	if !p.below || t.surging(p) || Resizes(t.s.VPA.UpdateMode) && t.s.Config.SkipBudget {
		return true
	}
	t.tooFew(p)
	return false
}

func (t *turn) tooFew(p *judged) {
	t.step(0, "TooFewReplicas", fmt.Sprintf("%s: %s; %s has %s, and %d are the least to update one of",
		p.name, p.why, p.pod.Group, count(p.group.live, "live pod"), leastReplicas(t.s)))
}

// leastReplicas is the object's own where it has one.
func leastReplicas(s *Snapshot) int {
	if own := s.VPA.MinReplicas; own != nil {
		return int(*own)
	}
	return s.Config.MinReplicas
}
