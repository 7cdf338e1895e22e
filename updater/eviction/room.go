package eviction

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
	"github.com/quartet-autoscaling/quartet/updater/fit"
)

// hasRoom asks whether the pod will be admitted and find room afterwards, where
// that is required.
func hasRoom(t *turn, p *judged) *bar {
	if !t.requiresFit() {
		return nil
	}
	manner := fit.Replace
	switch {
	case len(p.changes) > 0:
		manner = fit.InPlace
	case p.surges:
		manner = fit.Surge
	}
	change := t.change(p, manner)
	if waits := t.withoutNode(); waits != "" && manner != fit.InPlace && change.Node != "" {
		return &bar{reason: "PodWaits", object: "Pod " + waits, message: waits + " waits for a node, and what there is goes to it first"}
	}
	place, blocks := t.kind.room.Ask(change)
	if len(blocks) == 0 {
		p.place, p.reserved = place, &change
		return nil
	}
	said := make([]string, 0, len(blocks))
	for _, b := range blocks {
		said = append(said, b.Message)
	}
	return &bar{reason: blocks[0].Reason, object: blocks[0].Object, message: strings.Join(said, "; ")}
}

// withoutNode is the first of the object's pods that waits for a node; "" for none.
func (t *turn) withoutNode() string {
	for _, name := range slices.Sorted(maps.Keys(t.s.Pods)) {
		if place := t.s.Pods[name].Place; place != nil && place.Node == "" {
			return name
		}
	}
	return ""
}

// requiresFit tells whether pods must fit, and opens the room that there is.
func (t *turn) requiresFit() bool {
	if !t.s.Config.Kindness.RequireFit && (t.s.Policy == nil || !t.s.Policy.RequireFit) {
		return false
	}
	if t.kind.room == nil {
		cluster := fit.Cluster{Unknown: "whether it would fit is not known: vpa-updater reads no nodes and quotas: start it with --fit=Policy or --fit=Require"}
		if t.s.Room != nil {
			cluster = *t.s.Room
		}
		t.kind.room = fit.NewRoom(cluster)
	}
	return true
}

// change is the pod before and after.
func (t *turn) change(p *judged, manner fit.Manner) fit.Change {
	c := fit.Change{Manner: manner, Before: p.pod.Containers}
	if p.pod.Place != nil {
		c.Pod = *p.pod.Place
	}
	c.After = t.after(p)
	return c
}

// qosNote tells where an eviction would give the pod another QoS class. Nothing is
// told where the class does not follow from what is known of its containers.
func (t *turn) qosNote(p *judged) {
	if len(p.changes) > 0 || p.pod.QOS == "" || fit.QoS(p.pod.Containers) != p.pod.QOS {
		return
	}
	if after := fit.QoS(t.after(p)); after != p.pod.QOS {
		t.rule = "pod/qos"
		t.step(0, "QoSChanges", fmt.Sprintf("%s: its QoS class becomes %s and was %s", p.name, after, p.pod.QOS))
	}
}

// after are the pod's containers as the admission webhook would make them.
func (t *turn) after(p *judged) []resourcepolicy.Container {
	requestsOnly := func(container string) bool { return resourcepolicy.RequestsOnly(t.s.VPA.Policy, container) }
	return fit.Updated(p.pod.Containers, p.fitted, requestsOnly, t.s.Limits.Defaults())
}

// fitsInPlace has a pod evicted that cannot be resized where it is, as far as that
// is known and must be, and that may be evicted; what holds for evictions is asked
// of it then.
func fitsInPlace(t *turn, p *judged) bool {
	if len(p.changes) == 0 || !p.orEvict || !t.requiresFit() {
		return true
	}
	if _, blocks := t.kind.room.Ask(t.change(p, fit.InPlace)); len(blocks) > 0 {
		p.why = fmt.Sprintf("%s; it does not fit where it is: %s", p.why, blocks[0].Message)
		p.changes, p.orEvict, p.unbounded = nil, false, false
	}
	return true
}
