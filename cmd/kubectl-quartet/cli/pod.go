package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/plan"
)

// podAnswer is what the cluster scaler says of a pod that waits for a node, and
// what vertical scaling does with it.
type podAnswer struct {
	Pod   string `json:"pod"`
	Phase string `json:"phase"`
	// Node is where the pod is bound, empty while it waits.
	Node string `json:"node,omitempty"`
	// Scheduler is what the scheduler says of a pod that waits.
	Scheduler string `json:"scheduler,omitempty"`
	// Plan is where the verdict comes from; a plan without one has none.
	Plan    *source          `json:"plan,omitempty"`
	Verdict *plan.PodVerdict `json:"verdict,omitempty"`
	// VPAs are those that scale the pod.
	VPAs    []podVPA `json:"vpas,omitempty"`
	Unknown unknowns `json:"unknown,omitempty"`

	pod  *corev1.Pod
	plan *clusterPlan
}

func explainPod(ctx context.Context, a *asker, name string) (answer, error) {
	p := &podAnswer{pod: &corev1.Pod{}, Unknown: unknowns{}}
	if err := a.object(ctx, objectPod, name, p.pod); err != nil {
		return nil, err
	}
	p.Pod, p.Phase, p.Node = a.namespace+"/"+name, string(p.pod.Status.Phase), p.pod.Spec.NodeName
	if p.waits() {
		p.Scheduler = scheduler(p.pod)
		p.askScaler(ctx, a)
	}
	if !p.ended() {
		p.askVPAs(ctx, a)
	}
	return p, nil
}

func (p *podAnswer) ended() bool {
	return p.pod.Status.Phase == corev1.PodSucceeded || p.pod.Status.Phase == corev1.PodFailed
}

// waits tells whether the pod is without a node, and is to have one.
func (p *podAnswer) waits() bool { return p.Node == "" && !p.ended() }

// scheduler is what the scheduler says, "" where it has said nothing.
func scheduler(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Reason + suffix(": ", c.Message)
		}
	}
	return ""
}

func (p *podAnswer) askScaler(ctx context.Context, a *asker) {
	last, err := a.clusterPlan(ctx)
	if err != nil {
		p.Unknown.note("whether a pool of nodes grows for it",
			fmt.Errorf("%w\nWhere %s runs, its events on the pod tell too: kubectl describe pod", err, clusterScaler.server))
		return
	}
	p.plan, p.Plan = last, sourceOf(last.d)
	if v, ok := last.Pods[p.Pod]; ok {
		p.Verdict = &v
	}
}

func (p *podAnswer) value() any { return p }

func (p *podAnswer) text(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", p.headline(now))
	if p.Scheduler != "" {
		fmt.Fprintf(&b, "The scheduler says: %s\n", p.Scheduler)
	}
	if p.plan != nil {
		p.scaling(&b, now)
	}
	if !p.ended() {
		p.requests(&b)
	}
	for _, v := range p.VPAs {
		v.write(&b, p.pod, now)
	}
	if len(p.VPAs) == 0 && !p.ended() && p.Unknown[unknownVPAs] == "" {
		fmt.Fprintf(&b, "\nNo VerticalPodAutoscaler scales it.\n")
	}
	p.Unknown.write(&b)
	return b.String()
}

func (p *podAnswer) headline(now time.Time) string {
	switch {
	case p.waits():
		return fmt.Sprintf("Pod %s waits for a node. It was made %s.", p.Pod, ago(p.pod.CreationTimestamp.Time, now))
	case p.ended():
		return fmt.Sprintf("Pod %s has ended: %s.", p.Pod, p.Phase)
	case p.pod.DeletionTimestamp != nil:
		return fmt.Sprintf("Pod %s ends on node %s.", p.Pod, p.Node)
	}
	return fmt.Sprintf("Pod %s is %s on node %s.", p.Pod, p.Phase, p.Node)
}

// scaling tells what the last plan does for the pod.
func (p *podAnswer) scaling(b *strings.Builder, now time.Time) {
	fmt.Fprintf(b, "\nNodes for it: %s\n%s\n", p.verdict(), decided(p.plan.d, now))
	v := p.Verdict
	if v == nil {
		return
	}
	facts(b, [2]string{"Pool", v.Pool}, [2]string{"Node", v.Node})
	rows := make([][]string, 0, len(v.Pools))
	for _, pool := range sorted(v.Pools) {
		rows = append(rows, []string{pool, v.Pools[pool].Rule, v.Pools[pool].Message})
	}
	table(b, "Why no pool grows for it", []string{"POOL", "RULE", "MESSAGE"}, rows)
	faults(b, p.plan.d)
}

func (p *podAnswer) verdict() string {
	switch {
	case p.Verdict != nil && len(p.Verdict.Pools) > 0:
		return fmt.Sprintf("%s: no pool grows for it", p.Verdict.Reason)
	case p.Verdict != nil:
		return p.Verdict.Reason + suffix(": ", p.Verdict.Message)
	case p.plan.d.Reason == plan.ReasonFailed:
		return "not known, since the last plan failed: " + p.plan.d.Message
	case !strings.HasPrefix(p.Scheduler, corev1.PodReasonUnschedulable):
		return "none are asked for: the scheduler has not declared it unschedulable"
	}
	return "the last plan does not have it yet"
}

// requests lists what the pod's containers request.
func (p *podAnswer) requests(b *strings.Builder) {
	var rows [][]string
	for _, c := range p.pod.Spec.Containers {
		amount := func(list corev1.ResourceList, name corev1.ResourceName) string {
			if q, ok := list[name]; ok {
				return q.String()
			}
			return "-"
		}
		rows = append(rows, []string{c.Name,
			amount(c.Resources.Requests, corev1.ResourceCPU), amount(c.Resources.Requests, corev1.ResourceMemory),
			amount(c.Resources.Limits, corev1.ResourceCPU), amount(c.Resources.Limits, corev1.ResourceMemory)})
	}
	table(b, "Containers", []string{"CONTAINER", "CPU REQUEST", "MEMORY REQUEST", "CPU LIMIT", "MEMORY LIMIT"}, rows)
}
