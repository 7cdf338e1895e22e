package scheduling

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// Cluster is nodes and the pods on them, in memory. It is not safe for
// concurrent use. Pods and nodes that it holds must not be changed.
type Cluster struct {
	nodes   *lister
	filters []fwk.FilterPlugin
	pods    map[string]placed
}

// placed is a pod with its node.
type placed struct {
	info *framework.PodInfo
	node string
}

// Verdict is what the plugins said of one pod on one node.
type Verdict struct {
	// Plugin is the one that refused, empty where the pod fits.
	Plugin string
	// Reasons are the plugin's own, sorted.
	Reasons []string
}

// Fits tells whether no plugin refused.
func (v Verdict) Fits() bool { return v.Plugin == "" }

// String is "it fits", or the plugin and its reasons.
func (v Verdict) String() string {
	if v.Fits() {
		return "it fits"
	}
	return v.Plugin + ": " + strings.Join(v.Reasons, ", ")
}

// New makes an empty cluster. The labels of namespaces are by name; they count
// where a pod's affinity selects namespaces.
func New(namespaces map[string]map[string]string) (*Cluster, error) {
	nodes := &lister{byName: map[string]fwk.NodeInfo{}}
	h, err := newHandle(nodes, namespaces)
	if err != nil {
		return nil, err
	}
	plugins, err := newFilters(h)
	if err != nil {
		return nil, err
	}
	return &Cluster{nodes: nodes, filters: plugins, pods: map[string]placed{}}, nil
}

// AddNode adds an empty node. A node of the same name is an error.
func (c *Cluster) AddNode(node *corev1.Node) error {
	if _, ok := c.nodes.byName[node.Name]; ok {
		return fmt.Errorf("node %s is there already", node.Name)
	}
	info := framework.NewNodeInfo()
	info.SetNode(node)
	c.nodes.byName[node.Name] = info
	c.nodes.order = append(c.nodes.order, info)
	return nil
}

// RemoveNode removes a node with all its pods. One that is not there is no
// error.
func (c *Cluster) RemoveNode(name string) {
	info, ok := c.nodes.byName[name]
	if !ok {
		return
	}
	for _, p := range info.GetPods() {
		delete(c.pods, key(p.GetPod()))
	}
	delete(c.nodes.byName, name)
	c.nodes.order = slices.DeleteFunc(c.nodes.order, func(n fwk.NodeInfo) bool { return n == info })
}

// HasNode tells whether the node is there.
func (c *Cluster) HasNode(name string) bool {
	_, ok := c.nodes.byName[name]
	return ok
}

// Place puts the pod on the node, whether it fits or not. Pods are told apart
// by namespace and name.
func (c *Cluster) Place(pod *corev1.Pod, node string) error {
	info, ok := c.nodes.byName[node]
	if !ok {
		return fmt.Errorf("place pod %s: %w: %s", key(pod), errNoNode, node)
	}
	if at, ok := c.pods[key(pod)]; ok {
		return fmt.Errorf("place pod %s on %s: it is on %s", key(pod), node, at.node)
	}
	bound := pod
	if pod.Spec.NodeName != node {
		shallow := *pod
		shallow.Spec.NodeName = node
		bound = &shallow
	}
	p, err := framework.NewPodInfo(bound)
	if err != nil {
		return fmt.Errorf("place pod %s: %w", key(pod), err)
	}
	info.AddPodInfo(p)
	c.pods[key(pod)] = placed{info: p, node: node}
	return nil
}

// Take takes the pod off its node. A pod that is nowhere is no error.
func (c *Cluster) Take(pod *corev1.Pod) error {
	at, ok := c.pods[key(pod)]
	if !ok {
		return nil
	}
	delete(c.pods, key(pod))
	if err := c.nodes.byName[at.node].RemovePod(noLogger(), at.info.GetPod()); err != nil {
		return fmt.Errorf("take pod %s off %s: %w", key(pod), at.node, err)
	}
	return nil
}

// On names the node that the pod is on, empty where it is on none.
func (c *Cluster) On(pod *corev1.Pod) string { return c.pods[key(pod)].node }

// Question is one pod, asked about node after node of an unchanged cluster.
type Question struct {
	cluster *Cluster
	pod     *corev1.Pod
	state   fwk.CycleState
	// refused is what a plugin said of all nodes.
	refused Verdict
	// only are the nodes that plugins left over, nil for all.
	only sets.Set[string]
	by   string
}

// Ask prepares the plugins for a pod. Answers hold until the cluster changes.
func (c *Cluster) Ask(pod *corev1.Pod) *Question {
	q := &Question{cluster: c, pod: pod, state: framework.NewCycleState()}
	skip := sets.New[string]()
	for _, f := range c.filters {
		before, ok := f.(fwk.PreFilterPlugin)
		if !ok {
			continue
		}
		result, status := before.PreFilter(background(), q.state, pod, c.nodes.order)
		switch {
		case status.IsSkip():
			skip.Insert(f.Name())
			continue
		case !status.IsSuccess():
			q.refused = refusal(f.Name(), status)
			return q
		}
		if !result.AllNodes() {
			q.by = f.Name()
			if q.only == nil {
				q.only = result.NodeNames
			} else {
				q.only = q.only.Intersection(result.NodeNames)
			}
		}
	}
	q.state.SetSkipFilterPlugins(skip)
	return q
}

// Fits asks about one node.
func (q *Question) Fits(node string) Verdict {
	if !q.refused.Fits() {
		return q.refused
	}
	info, ok := q.cluster.nodes.byName[node]
	if !ok {
		return Verdict{Plugin: "Node", Reasons: []string{errNoNode.Error()}}
	}
	if q.only != nil && !q.only.Has(node) {
		return Verdict{Plugin: q.by, Reasons: []string{"node(s) didn't satisfy plugin " + q.by}}
	}
	for _, f := range q.cluster.filters {
		if q.state.GetSkipFilterPlugins().Has(f.Name()) {
			continue
		}
		if status := f.Filter(background(), q.state, q.pod, info); !status.IsSuccess() {
			return refusal(f.Name(), status)
		}
	}
	return Verdict{}
}

// First is the first of the nodes that the pod fits, and the verdicts on those
// before it. The name is empty where it fits none.
func (q *Question) First(nodes []string) (string, []Verdict) {
	var refused []Verdict
	for _, node := range nodes {
		v := q.Fits(node)
		if v.Fits() {
			return node, refused
		}
		refused = append(refused, v)
	}
	return "", refused
}

// refusal sorts the reasons: the plugins go through maps to find them.
func refusal(plugin string, status *fwk.Status) Verdict {
	reasons := slices.Clone(status.Reasons())
	if len(reasons) == 0 {
		reasons = []string{status.Code().String()}
	}
	slices.Sort(reasons)
	return Verdict{Plugin: plugin, Reasons: reasons}
}

func key(pod *corev1.Pod) string { return pod.Namespace + "/" + pod.Name }
