package eviction

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The kinds of controllers that have rules of their own.
const (
	kindJob         = "Job"
	kindStatefulSet = "StatefulSet"
	kindDaemonSet   = "DaemonSet"
)

// kindOf is the kind of a pod's controller.
func kindOf(group string) string {
	kind, _, _ := strings.Cut(group, "/")
	return kind
}

// ownerJob leaves a Job's pods to run to their end: one that comes in their place
// begins anew. What the runs showed is for the next run's pods.
func ownerJob(t *turn, p *judged) *bar {
	if kindOf(p.pod.Group) != kindJob || !t.respects() {
		return nil
	}
	return &bar{reason: "RunsToItsEnd", object: p.pod.Group, message: "the next run's pods come with what is recommended"}
}

// ownerOrder updates a StatefulSet's pods from the highest ordinal down, as many at
// a time as the policy's maxUnavailable says, else one, and the next only when the
// others are Ready.
func ownerOrder(t *turn, p *judged) *bar {
	if kindOf(p.pod.Group) != kindStatefulSet || !t.respects() {
		return nil
	}
	most := 1
	if own := t.disruption().MaxUnavailable; own != nil {
		most = share(own, p.group.wanted, false)
	}
	away := max(p.group.wanted-t.readyIn(p.pod.Group), 0)
	if p.pod.Ready && away >= most {
		return &bar{reason: "OthersNotReady", object: p.pod.Group,
			message: fmt.Sprintf("%d of %d pods of %s are not Ready, and the next is updated when they are", away, p.group.wanted, p.pod.Group)}
	}
	before := t.before(p)
	if p.pod.Ready && len(before)+away >= most || !p.pod.Ready && len(before) >= most {
		return &bar{reason: "InOrder", object: p.pod.Group, message: fmt.Sprintf("%s is updated before it", before[0])}
	}
	return nil
}

// readyIn counts the Ready pods of a group.
func (t *turn) readyIn(group string) int {
	n := 0
	for _, pod := range t.s.Pods {
		if pod.Group == group && pod.Ready {
			n++
		}
	}
	return n
}

// before are the pods in need of the same group that are updated first: those that
// are not Ready, and of those that are alike the ones with a higher ordinal.
func (t *turn) before(p *judged) []string {
	var first []*judged
	for _, other := range t.kind.wanting {
		if other.pod.Group == p.pod.Group && other != p && byOrdinal(other, p) < 0 {
			first = append(first, other)
		}
	}
	slices.SortFunc(first, byOrdinal)
	names := make([]string, 0, len(first))
	for _, other := range first {
		names = append(names, other.name)
	}
	return names
}

func byOrdinal(a, b *judged) int {
	if a.pod.Ready != b.pod.Ready {
		if b.pod.Ready {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(ordinal(b.name), ordinal(a.name)), strings.Compare(b.name, a.name))
}

// ordinal is the number at the end of a StatefulSet's pod's name; -1 for none.
func ordinal(pod string) int {
	n, err := strconv.Atoi(pod[strings.LastIndex(pod, "-")+1:])
	if err != nil {
		return -1
	}
	return n
}

// ownerDaemonSet keeps to the maxUnavailable of a DaemonSet's rolling update, which
// is rounded up as the DaemonSet's controller does.
func ownerDaemonSet(t *turn, p *judged) *bar {
	own := t.s.Groups[p.pod.Group].MaxUnavailable
	if own == nil || kindOf(p.pod.Group) != kindDaemonSet || !t.respects() || !p.pod.Ready {
		return nil
	}
	most, away := share(own, p.group.wanted, true), max(p.group.wanted-t.readyIn(p.pod.Group), 0)
	if going := t.going(p.pod.Group); away+going >= most {
		return &bar{reason: "OwnerBudgetReached", object: p.pod.Group,
			message: fmt.Sprintf("the rolling update of %s lets %d of %d be away, and %d are, with %d that go now", p.pod.Group, most, p.group.wanted, away, going)}
	}
	return nil
}

// going counts the Ready pods of a group that are evicted now.
func (t *turn) going(group string) int {
	n := 0
	for _, p := range t.kind.wanting {
		if p.pod.Group == group && p.pod.Ready && p.goes {
			n++
		}
	}
	return n
}
