package patch

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
)

// podNote begins the part of the annotation that is about the pod as a whole.
const podNote = "; pod: "

// patchPod keeps what the pod as a whole requests and is limited to (spec.resources)
// in keeping with its containers after their patch. The API server refuses a pod
// whose containers request more in sum than the pod, or of which one has a higher
// limit.
func patchPod(t *turn) bool {
	level := t.s.Pod.Level
	if level == nil || !t.changed() {
		return true
	}
	requests, limits := corev1.ResourceList{}, corev1.ResourceList{}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		now := bounds{}
		now.request, now.requested = level.Requests[name]
		now.limit, now.limited = level.Limits[name]
		want := now.room(t.sums(name), t.s.FollowPodLevel)
		if now.requested && want.request.Cmp(now.request) != 0 {
			requests[name] = want.request
		}
		if now.limited && want.limit.Cmp(now.limit) != 0 {
			limits[name] = want.limit
		}
	}
	if len(requests)+len(limits) == 0 {
		return true
	}
	notes := t.set(list{kind: "requests", path: "/spec", has: true, now: level.Requests, want: requests})
	notes = append(notes, t.set(list{kind: "limits", path: "/spec", has: true, now: level.Limits, want: limits})...)
	t.updates = append(t.updates, strings.TrimPrefix(podNote, "; ")+strings.Join(notes, ", "))
	t.step(resources(level.Requests, level.Limits), resources(over(level.Requests, requests), over(level.Limits, limits)),
		"Patched", "the pod as a whole: "+strings.Join(notes, ", "))
	return true
}

// changed tells whether a container's resources are patched.
func (t *turn) changed() bool {
	for i := range t.parts {
		p := &t.parts[i]
		if changes(p.Requests, p.requests)+changes(p.Limits, p.limits) > 0 {
			return true
		}
	}
	return false
}

// bounds are what a pod as a whole requests and is limited to, of one resource.
type bounds struct {
	request, limit     resource.Quantity
	requested, limited bool
}

// sums are what the containers of a pod come to: what they request together
// before and after the patch, and the highest limit after it.
type sums struct {
	name                   corev1.ResourceName
	before, after, highest resource.Quantity
}

// room gives bounds that hold the containers. They are raised only as far as they
// must be; where follow, they first keep their proportion to the containers' sum.
// A request that equals its limit does so afterwards, since the pod's class of
// service depends on it.
func (b bounds) room(s sums, follow bool) bounds {
	out := b
	equal := b.requested && b.limited && b.request.Cmp(b.limit) == 0
	if follow && b.requested && !s.before.IsZero() {
		was := resourcepolicy.Container{
			Requests: corev1.ResourceList{s.name: s.before},
			Limits:   corev1.ResourceList{s.name: b.request},
		}
		out.request = inProportion(s, was, b.request)
		was.Limits[s.name] = b.limit
		out.limit = inProportion(s, was, b.limit)
	}
	if out.requested && s.after.Cmp(out.request) > 0 {
		out.request = s.after
	}
	if out.limited && s.highest.Cmp(out.limit) > 0 {
		out.limit = s.highest
	}
	if out.requested && out.limited && (equal || out.request.Cmp(out.limit) > 0) {
		if out.request.Cmp(out.limit) > 0 {
			out.limit = out.request
		} else {
			out.request = out.limit
		}
	}
	return out
}

// inProportion is a bound after the containers' sum moved.
func inProportion(s sums, was resourcepolicy.Container, otherwise resource.Quantity) resource.Quantity {
	limits, _ := resourcepolicy.ProportionalLimits(was, corev1.ResourceList{s.name: s.after}, nil)
	if q, ok := limits[s.name]; ok {
		return q
	}
	return otherwise
}

// sums adds up one resource over the pod's containers.
func (t *turn) sums(name corev1.ResourceName) sums {
	out := sums{name: name}
	before, after := peak{name: name}, peak{name: name}
	next := 0
	for i := range t.s.Pod.Containers {
		c := &t.s.Pod.Containers[i]
		before.run(c.Requests)
		after.run(t.parts[next].requests)
		if q := t.parts[next].limits[name]; q.Cmp(out.highest) > 0 {
			out.highest = q
		}
		next++
	}
	for i := range t.s.Pod.Init {
		c, requests := &t.s.Pod.Init[i], t.s.Pod.Init[i].Requests
		if t.s.Sidecars && c.Sidecar {
			requests = t.parts[next].requests
			next++
		}
		before.start(c.Requests, c.Sidecar)
		after.start(requests, c.Sidecar)
	}
	out.before, out.after = before.most(), after.most()
	return out
}

// peak adds up what a pod requests at most of one resource: while all of its
// containers run, or while one of its init containers does.
type peak struct {
	name corev1.ResourceName
	// running is that of the containers and sidecars, sidecars that of the sidecars
	// which started so far, and starting the most of any moment before.
	running, sidecars, starting resource.Quantity
}

func (p *peak) run(requests corev1.ResourceList) { p.running.Add(requests[p.name]) }

func (p *peak) start(requests corev1.ResourceList, sidecar bool) {
	q := requests[p.name].DeepCopy()
	q.Add(p.sidecars)
	if sidecar {
		p.running.Add(requests[p.name])
		p.sidecars = q.DeepCopy()
	}
	if q.Cmp(p.starting) > 0 {
		p.starting = q
	}
}

func (p *peak) most() resource.Quantity {
	if p.starting.Cmp(p.running) > 0 {
		return p.starting
	}
	return p.running
}
