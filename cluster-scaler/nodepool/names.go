package nodepool

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Names that the scaler and others put on nodes and pods.
const (
	// PoolLabel of a node names its pool.
	PoolLabel = "autoscaling.quartet.dev/nodepool"
	// DrainTaint is on a node while it is drained. Its value is the start, so that
	// whoever finds it can finish or undo the drain.
	DrainTaint = "autoscaling.quartet.dev/drain"
	// RivalTaint is Cluster Autoscaler's on a node that it removes.
	RivalTaint = "ToBeDeletedByClusterAutoscaler"

	// DoNotDisrupt of a node or a pod forbids to remove or to evict it.
	DoNotDisrupt = "autoscaling.quartet.dev/do-not-disrupt"
	// KarpenterDoNotDisrupt says the same in Karpenter's words.
	KarpenterDoNotDisrupt = "karpenter.sh/do-not-disrupt"
	// ScaleDownDisabled of a node says the same in Cluster Autoscaler's words.
	ScaleDownDisabled = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
	// SafeToEvict of a pod is true or false.
	SafeToEvict = "cluster-autoscaler.kubernetes.io/safe-to-evict"
)

// drainTime is a form of time that a taint's value may have.
const drainTime = "20060102T150405Z"

// DrainValue is the value of the drain's taint.
func DrainValue(start time.Time) string { return start.UTC().Format(drainTime) }

// Draining tells whether the node has the drain's taint, and since when; the
// time is zero where the value is none of ours.
func (n Node) Draining() (time.Time, bool) {
	i := slices.IndexFunc(n.Taints, func(t corev1.Taint) bool { return t.Key == DrainTaint })
	if i < 0 {
		return time.Time{}, false
	}
	start, err := time.Parse(drainTime, n.Taints[i].Value)
	if err != nil {
		return time.Time{}, true
	}
	return start.UTC(), true
}

// Taken tells whether another scaler removes the node.
func (n Node) Taken() bool {
	return slices.ContainsFunc(n.Taints, func(t corev1.Taint) bool { return t.Key == RivalTaint })
}

// startup tells whether a taint is one that Kubernetes puts on nodes whose state
// is not good yet.
func startup(t corev1.Taint) bool {
	return strings.HasPrefix(t.Key, "node.kubernetes.io/") || t.Key == "node.cloudprovider.kubernetes.io/uninitialized"
}
