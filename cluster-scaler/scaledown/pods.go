package scaledown

import (
	"fmt"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
)

// Reasons of a node's verdict. Where Cluster Autoscaler has the reason too, it
// has its name.
const (
	Removable               = "Removable"
	Empty                   = "Empty"
	Draining                = "CurrentlyBeingDeleted"
	NotAutoscaled           = "NotAutoscaled"
	NotReady                = "NotReady"
	Starting                = "Starting"
	NotUnderutilized        = "NotUnderutilized"
	NotUnneededLongEnough   = "NotUnneededLongEnough"
	InCooldown              = "InCooldown"
	ScaleDownDisabled       = "ScaleDownDisabledAnnotation"
	NoPlaceToMovePods       = "NoPlaceToMovePods"
	MinSizeReached          = "NodeGroupMinSizeReached"
	BudgetOfPool            = "DisruptionBudgetReached"
	RecentlyUndone          = "DrainUndoneRecently"
	PoolHeld                = "PoolHeld"
	Recommended             = "Recommended"
	NotReplicated           = "NotReplicated"
	LocalStorageRequested   = "LocalStorageRequested"
	NotSafeToEvict          = "NotSafeToEvictAnnotation"
	UnmovableKubeSystemPod  = "UnmovableKubeSystemPod"
	NotEnoughPdb            = "NotEnoughPdb"
	kubeSystem              = "kube-system"
	daemonSet               = "DaemonSet"
	safe, unsafe            = "true", "false"
	severalBudgetsForbidden = "the eviction API refuses pods of several budgets"
)

// hold is what keeps a pod where it is.
type hold struct {
	Reason, Message string
}

// stays tells whether a drain leaves the pod on the node, to end with it.
func stays(c nodepool.Class) bool { return c.Mirror || c.Owner == daemonSet }

// holdOf looks for what forbids to move a pod, in Cluster Autoscaler's order; nil
// where nothing does. Budgets come last.
func holdOf(s *nodepool.Snapshot, key string) *hold {
	p := s.Pods[key]
	c := s.Classes[p.Class]
	switch {
	case c.Protected != "":
		return &hold{NotSafeToEvict, fmt.Sprintf("held by pod %s: its annotation %s forbids to disturb it", key, c.Protected)}
	case c.SafeToEvict == unsafe:
		return &hold{NotSafeToEvict, fmt.Sprintf("held by pod %s: its annotation %s is false", key, nodepool.SafeToEvict)}
	case c.SafeToEvict == safe:
	case c.Owner == "":
		return &hold{NotReplicated, fmt.Sprintf("held by pod %s: no controller would make it anew", key)}
	case c.Namespace == kubeSystem && len(p.Budgets) == 0:
		return &hold{UnmovableKubeSystemPod, fmt.Sprintf("held by pod %s: a pod of %s needs a budget or the annotation %s", key, kubeSystem, nodepool.SafeToEvict)}
	case c.LocalStorage:
		return &hold{LocalStorageRequested, fmt.Sprintf("held by pod %s: it would lose its local storage", key)}
	}
	return budgetHold(s, key)
}

// budgetHold tells which budget allows no disruption now.
func budgetHold(s *nodepool.Snapshot, key string) *hold {
	p := s.Pods[key]
	if len(p.Budgets) > 1 {
		return &hold{NotEnoughPdb, fmt.Sprintf("held by pod %s: %d budgets cover it (%s), and %s", key, len(p.Budgets), join(p.Budgets), severalBudgetsForbidden)}
	}
	for _, name := range p.Budgets {
		if b := s.Budgets[name]; !b.Current || b.Allowed < 1 {
			return &hold{NotEnoughPdb, fmt.Sprintf("held by budget %s: currentHealthy=%d desiredHealthy=%d", name, b.Healthy, b.Desired)}
		}
	}
	return nil
}
