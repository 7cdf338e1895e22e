package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/plan"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/scaledown"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	decisions "github.com/quartet-autoscaling/quartet/internal/decisionapi/v1alpha1"
)

// clusterPlan is the scaler's last plan with its verdicts.
type clusterPlan struct {
	d *decisions.Decision
	planDetail
}

// planDetail is what the scaler adds to a decision.
type planDetail struct {
	Pools map[string]plan.PoolReport   `json:"pools"`
	Pods  map[string]plan.PodVerdict   `json:"pods"`
	Nodes map[string]scaledown.Verdict `json:"nodes"`
}

// source tells where an excerpt of a plan comes from.
type source struct {
	Component    string    `json:"component"`
	BuildVersion string    `json:"buildVersion"`
	At           time.Time `json:"at"`
	Reason       string    `json:"reason"`
	Message      string    `json:"message,omitempty"`
	// Outcome is that of the whole plan.
	Outcome decision.Outcome `json:"outcome"`
}

func sourceOf(d *decisions.Decision) *source {
	return &source{d.Component, d.BuildVersion, d.At.UTC(), d.Reason, d.Message, d.Outcome}
}

// clusterPlan asks for the last plan.
func (a *asker) clusterPlan(ctx context.Context) (*clusterPlan, error) {
	d, err := a.decision(ctx, clusterScaler, object{kind: "the plan of the", cluster: true}, plan.Name)
	if err != nil {
		return nil, err
	}
	p := &clusterPlan{d: d}
	unpack(d.Detail, &p.planDetail)
	return p, nil
}

// about are the plan's steps that end in the name of an object, and those that
// begin with "kind name " in words.
func (p *clusterPlan) about(kind, name string) []decision.Step {
	return slices.DeleteFunc(slices.Clone(p.d.Steps), func(s decision.Step) bool {
		return !strings.HasSuffix(s.Rule, "/"+name) && !strings.HasPrefix(s.Message, kind+" "+name+" ")
	})
}

// nodeAnswer is the plan's verdict on a node.
type nodeAnswer struct {
	Node    string             `json:"node"`
	Plan    *source            `json:"plan"`
	Verdict *scaledown.Verdict `json:"verdict,omitempty"`
	// Pool is what the plan says of the node's pool.
	Pool  *plan.PoolReport `json:"pool,omitempty"`
	Steps []decision.Step  `json:"steps,omitempty"`

	plan *clusterPlan
}

func explainNode(ctx context.Context, a *asker, name string) (answer, error) {
	var node corev1.Node
	if err := a.object(ctx, objectNode, name, &node); err != nil {
		return nil, err
	}
	p, err := a.clusterPlan(ctx)
	if err != nil {
		return nil, err
	}
	n := &nodeAnswer{Node: name, Plan: sourceOf(p.d), Steps: p.about("node", name), plan: p}
	if v, ok := p.Nodes[name]; ok {
		n.Verdict = &v
		if r, ok := p.Pools[v.Pool]; ok {
			n.Pool = &r
		}
	}
	return n, nil
}

func (n *nodeAnswer) value() any { return n }

func (n *nodeAnswer) text(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", n.headline(), decided(n.plan.d, now))
	if v := n.Verdict; v != nil {
		facts(&b,
			[2]string{"Pool", v.Pool},
			[2]string{"Requested", fmt.Sprintf("%d%% of what it offers", v.UtilizationPercent)},
			[2]string{"Unneeded", since(v.UnneededSince, now)},
			[2]string{"Draining", draining(*v, now)})
	}
	if n.Pool != nil {
		fmt.Fprintf(&b, "\nPool %s: %s\n", n.Verdict.Pool, n.Pool.Message)
	}
	steps(&b, "Steps", n.Steps)
	faults(&b, n.plan.d)
	return b.String()
}

func (n *nodeAnswer) headline() string {
	v := n.Verdict
	switch {
	case v == nil && n.plan.d.Reason == plan.ReasonFailed:
		return fmt.Sprintf("Node %s: nothing is known, since the last plan failed: %s.", n.Node, n.plan.d.Message)
	case v == nil:
		return fmt.Sprintf("Node %s is not in the last plan: it may have joined after it.", n.Node)
	}
	return fmt.Sprintf("Node %s %s: %s: %s.", n.Node, fate(*v), v.Reason, v.Message)
}

// fate is what becomes of a node, in a word or two.
func fate(v scaledown.Verdict) string {
	switch {
	case v.Removable && !v.DrainingSince.IsZero():
		return "is being removed"
	case v.Removable:
		return "is removable"
	}
	return "stays"
}

func draining(v scaledown.Verdict, now time.Time) string {
	if v.DrainingSince.IsZero() {
		return ""
	}
	return since(v.DrainingSince, now) + ", " + count(v.PodsLeft, "pod") + " left"
}

// since is "began 5m ago (2026-03-01T12:00:00Z)", empty for no time.
func since(at, now time.Time) string {
	if at.IsZero() {
		return ""
	}
	return "began " + ago(at, now)
}

// poolAnswer is what the plan says of a pool, of its nodes and of the pods that
// wait for it.
type poolAnswer struct {
	Pool string  `json:"pool"`
	Mode string  `json:"mode"`
	Min  int32   `json:"min"`
	Max  int32   `json:"max"`
	Plan *source `json:"plan"`
	// Report is nil where the pool is Off or newer than the plan.
	Report *plan.PoolReport             `json:"report,omitempty"`
	Nodes  map[string]scaledown.Verdict `json:"nodes,omitempty"`
	Pods   map[string]plan.PodVerdict   `json:"pods,omitempty"`
	Steps  []decision.Step              `json:"steps,omitempty"`

	plan *clusterPlan
}

func explainNodePool(ctx context.Context, a *asker, name string) (answer, error) {
	var pool v1alpha1.NodePool
	if err := a.object(ctx, objectNodePool, name, &pool); err != nil {
		return nil, err
	}
	p, err := a.clusterPlan(ctx)
	if err != nil {
		return nil, err
	}
	q := &poolAnswer{
		Pool: name, Mode: string(pool.Spec.Mode), Min: pool.Spec.Min, Max: pool.Spec.Max, Plan: sourceOf(p.d),
		Nodes: map[string]scaledown.Verdict{}, Pods: map[string]plan.PodVerdict{}, Steps: p.about("pool", name), plan: p,
	}
	if r, ok := p.Pools[name]; ok {
		q.Report = &r
	}
	for _, node := range sorted(p.Nodes) {
		if v := p.Nodes[node]; v.Pool == name {
			q.Nodes[node] = v
			q.Steps = append(q.Steps, p.about("node", node)...)
		}
	}
	for pod, v := range p.Pods {
		if _, refused := v.Pools[name]; refused || v.Pool == name {
			q.Pods[pod] = v
		}
	}
	return q, nil
}

func (q *poolAnswer) value() any { return q }

func (q *poolAnswer) text(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", q.headline(), decided(q.plan.d, now))
	if r := q.Report; r != nil {
		fmt.Fprintf(&b, "\nWhy:      %s\nOutcome:  %s\n", r.Message, q.outcome())
		table(&b, "Sizes", []string{"MODE", "MIN", "MAX", "TARGET", "NODES", "READY", "STARTING", "DRAINING"}, [][]string{{
			q.Mode, fmt.Sprint(q.Min), fmt.Sprint(q.Max), fmt.Sprint(r.Target), fmt.Sprint(r.Nodes), fmt.Sprint(r.Ready), fmt.Sprint(r.Starting), fmt.Sprint(r.Draining),
		}})
	}
	rows := make([][]string, 0, len(q.Nodes))
	for _, name := range sorted(q.Nodes) {
		v := q.Nodes[name]
		rows = append(rows, []string{name, fate(v), fmt.Sprintf("%d%%", v.UtilizationPercent), v.Reason, v.Message})
	}
	table(&b, "Nodes", []string{"NODE", "VERDICT", "REQUESTED", "REASON", "MESSAGE"}, rows)
	rows = rows[:0]
	for _, pod := range sorted(q.Pods) {
		v := q.Pods[pod]
		message := v.Message
		if refusal, refused := v.Pools[q.Pool]; refused {
			message = refusal.Rule + ": " + refusal.Message
		}
		rows = append(rows, []string{pod, v.Reason, message})
	}
	table(&b, "Pods that wait", []string{"POD", "VERDICT", "MESSAGE"}, rows)
	steps(&b, "Steps", q.Steps)
	faults(&b, q.plan.d)
	if q.Report != nil {
		conditions(&b, q.Report.Conditions)
	}
	return b.String()
}

func (q *poolAnswer) headline() string {
	r := q.Report
	switch {
	case r == nil && q.plan.d.Reason == plan.ReasonFailed:
		return fmt.Sprintf("NodePool %s: nothing is known, since the last plan failed: %s.", q.Pool, q.plan.d.Message)
	case r == nil && q.Mode == string(v1alpha1.ModeOff):
		return fmt.Sprintf("NodePool %s is left alone: its mode is Off.", q.Pool)
	case r == nil:
		return fmt.Sprintf("NodePool %s is not in the last plan: it may have been made after it.", q.Pool)
	case r.Recommended != nil && *r.Recommended != r.Target:
		return fmt.Sprintf("NodePool %s stays at %d, and would go to %d.", q.Pool, r.Target, *r.Recommended)
	}
	target := count(r.Target, "node")
	if before := size(q.plan.d.From, q.Pool); before != "" && before != fmt.Sprint(r.Target) {
		return fmt.Sprintf("NodePool %s goes from %s to %s.", q.Pool, before, target)
	}
	return fmt.Sprintf("NodePool %s stays at %s.", q.Pool, target)
}

// outcome says what became of the plan for the pool.
func (q *poolAnswer) outcome() string {
	if q.Report.Recommended != nil {
		return "nothing was done: the decision is shown and not carried out"
	}
	return result(q.plan.d) + " (of the whole plan)"
}

// size finds a pool in sizes of the form "a=1, b=3"; "" where it is not there.
func size(sizes, pool string) string {
	for part := range strings.SplitSeq(sizes, ", ") {
		if name, nodes, ok := strings.Cut(part, "="); ok && name == pool {
			return nodes
		}
	}
	return ""
}
