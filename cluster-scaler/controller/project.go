package controller

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	resourcehelpers "k8s.io/component-helpers/resource"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
)

// projectPool takes over what plans look at.
func projectPool(p *v1alpha1.NodePool) nodepool.Pool {
	out := nodepool.Pool{
		UID: string(p.UID), Generation: p.Generation, Mode: string(p.Spec.Mode),
		Min: p.Spec.Min, Max: p.Spec.Max, Priority: p.Spec.Priority,
		Template: nodepool.Template{
			Capacity: p.Spec.Template.Capacity, Allocatable: p.Spec.Template.Allocatable, Labels: p.Spec.Template.Labels,
			Taints: p.Spec.Template.Taints, StartupTaints: p.Spec.Template.StartupTaints, Zones: p.Spec.Template.Zones,
		},
		Sequence: p.Status.Sequence, Deleting: p.DeletionTimestamp != nil,
	}
	if out.Mode == "" {
		out.Mode = nodepool.ModeAuto
	}
	switch {
	case p.Spec.Provider.Kwok != nil:
		out.Provider, out.Served = providerKwok, true
	case p.Spec.Provider.ExternalGRPC != nil:
		out.Provider = "externalGRPC"
	default:
		out.Provider = "clusterAPI"
	}
	if t := p.Status.BackoffUntil; t != nil {
		out.BackoffUntil = t.UTC()
	}
	for _, r := range p.Status.Requested {
		out.Requested = append(out.Requested, nodepool.Request{Name: r.Name, Zone: r.Zone, At: r.At.UTC()})
	}
	projectTimes(p, &out)
	if d := p.Spec.Disruption; d != nil {
		for _, b := range d.Budgets {
			out.Disruption = append(out.Disruption, nodepool.Disruption{Nodes: b.Nodes, Percent: b.Percent})
		}
	}
	return out
}

// providerKwok is the kind of provider that this build serves.
const providerKwok = "kwok"

func projectTimes(p *v1alpha1.NodePool, out *nodepool.Pool) {
	duration := func(d *metav1.Duration) time.Duration {
		if d == nil {
			return 0
		}
		return d.Duration
	}
	whole := func(d *metav1.Duration) *int64 {
		if d == nil {
			return nil
		}
		n := int64(d.Duration)
		return &n
	}
	if up := p.Spec.ScaleUp; up != nil {
		out.Times.ProvisionTimeout = duration(up.ProvisionTimeout)
		out.Times.BackoffInitial, out.Times.BackoffMax = duration(up.BackoffInitial), duration(up.BackoffMax)
	}
	if down := p.Spec.ScaleDown; down != nil {
		out.Times.UnneededFor, out.Times.DelayAfterAdd = whole(down.UnneededFor), whole(down.DelayAfterAdd)
		out.Times.DrainTimeout = duration(down.MaxGracefulTermination)
		out.Times.UtilizationThresholdPercent = down.UtilizationThresholdPercent
	}
}

// projectNode takes over what plans look at.
func projectNode(n *corev1.Node) nodepool.Node {
	out := nodepool.Node{
		UID: string(n.UID), Pool: n.Labels[nodepool.PoolLabel], Labels: n.Labels,
		Allocatable: n.Status.Allocatable, Cordoned: n.Spec.Unschedulable,
		Created: n.CreationTimestamp.UTC(), Deleting: n.DeletionTimestamp != nil,
		Protected: firstTrue(n.Annotations, nodepool.ScaleDownDisabled, nodepool.DoNotDisrupt, nodepool.KarpenterDoNotDisrupt),
	}
	for _, t := range n.Spec.Taints {
		t.TimeAdded = nil
		out.Taints = append(out.Taints, t)
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			out.Ready = c.Status == corev1.ConditionTrue
		}
	}
	return out
}

func firstTrue(annotations map[string]string, keys ...string) string {
	i := slices.IndexFunc(keys, func(key string) bool { return annotations[key] == "true" })
	if i < 0 {
		return ""
	}
	return keys[i]
}

// ended pods take no room.
func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// unschedulable tells whether the scheduler looked for a node and found none. A
// pod that preempts others has its node to come.
func unschedulable(p *corev1.Pod) bool {
	return p.Spec.NodeName == "" && p.Status.NominatedNodeName == "" &&
		slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable
		})
}

// projectClass takes over what a pod asks for.
func projectClass(p *corev1.Pod) nodepool.Class {
	out := nodepool.Class{
		Namespace: p.Namespace, Labels: p.Labels,
		Requests: resourcehelpers.PodRequests(p, resourcehelpers.PodResourcesOptions{UseStatusResources: true}),
		Selector: p.Spec.NodeSelector, Affinity: p.Spec.Affinity, Tolerate: p.Spec.Tolerations,
		Spread:      p.Spec.TopologySpreadConstraints,
		SafeToEvict: p.Annotations[nodepool.SafeToEvict],
		Protected:   firstTrue(p.Annotations, nodepool.DoNotDisrupt, nodepool.KarpenterDoNotDisrupt),
	}
	_, out.Mirror = p.Annotations[corev1.MirrorPodAnnotationKey]
	if p.Spec.Priority != nil {
		out.Priority = *p.Spec.Priority
	}
	if owner := metav1.GetControllerOf(p); owner != nil {
		out.Owner = owner.Kind
	}
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.HostPort > 0 {
				out.Ports = append(out.Ports, corev1.ContainerPort{
					ContainerPort: port.HostPort, HostPort: port.HostPort, HostIP: port.HostIP, Protocol: port.Protocol,
				})
			}
		}
	}
	for _, v := range p.Spec.Volumes {
		disk := v.EmptyDir != nil && v.EmptyDir.Medium != corev1.StorageMediumMemory
		out.LocalStorage = out.LocalStorage || disk || v.HostPath != nil
	}
	return out
}

// classKey names a class by its content.
func classKey(c nodepool.Class) (string, error) {
	content, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("name a class of pods: %w", err)
	}
	sum := fnv.New64a()
	_, _ = sum.Write(content) // a hash takes all
	return fmt.Sprintf("%016x", sum.Sum64()), nil
}

// selecting is a budget with its selector ready.
type selecting struct {
	name     string
	selector labels.Selector
}

func projectBudget(b *policyv1.PodDisruptionBudget) nodepool.Budget {
	return nodepool.Budget{
		Allowed: b.Status.DisruptionsAllowed, Healthy: b.Status.CurrentHealthy, Desired: b.Status.DesiredHealthy,
		Current: b.Status.ObservedGeneration >= b.Generation,
	}
}

// wantsNamespaces tells whether a pod selects others by their namespaces.
func wantsNamespaces(a *corev1.Affinity) bool {
	if a == nil {
		return false
	}
	var terms []corev1.PodAffinityTerm
	if a.PodAffinity != nil {
		terms = append(terms, a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution...)
	}
	if a.PodAntiAffinity != nil {
		terms = append(terms, a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution...)
	}
	return slices.ContainsFunc(terms, func(t corev1.PodAffinityTerm) bool { return t.NamespaceSelector != nil })
}
