package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/lab/stages"
	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

const (
	// holderAnnotation of a node's lease remembers who held it before the node failed.
	holderAnnotation = "lab.quartet.dev/holder"
	// lookAnnotation changes so that kwok looks at an object again.
	lookAnnotation = "lab.quartet.dev/look"
	// failedHolder holds the lease of a failed node: kwok then neither renews it nor touches the node or its pods.
	failedHolder   = "quartet-lab-failed"
	failedDuration = 1 << 30 // seconds
	leaseDuration  = 40      // seconds, as kwok is told
	// quiet is how long a failed node has to stay failed before it counts: kwok may have been about to write.
	quiet = 2 * time.Second
)

// FailNode makes a node fail as one does whose kubelet died: it is NotReady (Unknown) at once, instead of after the
// grace period of the node controller, and so are its pods. Nobody plays kubelet on it any more: pods that are deleted
// stay Terminating, pods bound to it stay Pending, its lease is not renewed.
func (l *Lab) FailNode(ctx context.Context, name string) error {
	var since time.Time
	fail := func(ctx context.Context) error {
		if err := l.holdLease(ctx, name, failedHolder); err != nil {
			return err
		}
		changed, err := l.setNodeUnknown(ctx, name)
		if changed || since.IsZero() {
			since = time.Now()
		}
		if err == nil && time.Since(since) < quiet {
			err = errors.New("it may yet be written to")
		}
		return err
	}
	if err := l.until(ctx, wait{what: "the failure of node " + name, limit: readyLimit, log: toolchain.Kwok}, fail); err != nil {
		return err
	}
	return l.changePodsOf(ctx, name, func(pod *corev1.Pod) { setReady(pod, corev1.ConditionFalse) })
}

// HealNode makes a failed node work again and waits until it is Ready, without the taints of its failure, and its
// running pods are.
func (l *Lab) HealNode(ctx context.Context, name string) error {
	heal := func(ctx context.Context) error {
		if err := l.holdLease(ctx, name, ""); err != nil {
			return err
		}
		err := l.nodeHealed(ctx, name)
		if err == nil {
			return nil
		}
		return errors.Join(err, l.look(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	}
	if err := l.until(ctx, wait{what: "node " + name + " to heal", limit: readyLimit, log: toolchain.Kwok}, heal); err != nil {
		return err
	}
	return l.changePodsOf(ctx, name, func(pod *corev1.Pod) {
		if !slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return !s.Ready }) {
			setReady(pod, corev1.ConditionTrue)
		}
	})
}

// HoldNode keeps a node from going when it is deleted, until ReleaseNode.
func (l *Lab) HoldNode(ctx context.Context, name string) error {
	return l.changeNode(ctx, name, func(node *corev1.Node) {
		if !slices.Contains(node.Finalizers, stages.Hold) {
			node.Finalizers = append(node.Finalizers, stages.Hold)
		}
	})
}

// ReleaseNode lets a node go that HoldNode, or its label, kept.
func (l *Lab) ReleaseNode(ctx context.Context, name string) error {
	return l.changeNode(ctx, name, func(node *corev1.Node) {
		node.Finalizers = slices.DeleteFunc(node.Finalizers, func(f string) bool { return f == stages.Hold })
	})
}

func (l *Lab) changeNode(ctx context.Context, name string, change func(*corev1.Node)) error {
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		var node corev1.Node
		if err := l.client.Get(ctx, ctrlclient.ObjectKey{Name: name}, &node); err != nil {
			return err
		}
		change(&node)
		return l.client.Update(ctx, &node)
	})
	if err != nil {
		return fmt.Errorf("changing node %s: %w", name, err)
	}
	return nil
}

// holdLease gives a node's lease to a holder, or back to the one before with "".
func (l *Lab) holdLease(ctx context.Context, name, holder string) error {
	var lease coordinationv1.Lease
	if err := l.client.Get(ctx, ctrlclient.ObjectKey{Namespace: corev1.NamespaceNodeLease, Name: name}, &lease); err != nil {
		return fmt.Errorf("reading the lease of node %s: %w", name, err)
	}
	seconds := int32(failedDuration)
	switch current := ptr.Deref(lease.Spec.HolderIdentity, ""); {
	case current == holder, holder == "" && current != failedHolder:
		return nil
	case holder == "":
		holder, seconds = lease.Annotations[holderAnnotation], leaseDuration
		delete(lease.Annotations, holderAnnotation)
	default:
		metav1.SetMetaDataAnnotation(&lease.ObjectMeta, holderAnnotation, current)
	}
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds = &holder, &seconds
	lease.Spec.RenewTime = ptr.To(metav1.NowMicro())
	if err := l.client.Update(ctx, &lease); err != nil {
		return fmt.Errorf("changing the lease of node %s: %w", name, err)
	}
	return nil
}

// setNodeUnknown writes what the node controller writes about a silent kubelet, and tells whether it had to.
func (l *Lab) setNodeUnknown(ctx context.Context, name string) (changed bool, err error) {
	var node corev1.Node
	if err := l.client.Get(ctx, ctrlclient.ObjectKey{Name: name}, &node); err != nil {
		return false, err
	}
	for i := range node.Status.Conditions {
		c := &node.Status.Conditions[i]
		if c.Type == corev1.NodeNetworkUnavailable || c.Status == corev1.ConditionUnknown {
			continue
		}
		changed = true
		c.Status, c.LastTransitionTime = corev1.ConditionUnknown, metav1.Now()
		c.Reason, c.Message = "NodeStatusUnknown", "Kubelet stopped posting node status."
	}
	if !changed {
		return false, nil
	}
	return true, l.client.Status().Update(ctx, &node)
}

// nodeHealed wants the node Ready and the taints of the node controller gone.
func (l *Lab) nodeHealed(ctx context.Context, name string) error {
	var node corev1.Node
	if err := l.client.Get(ctx, ctrlclient.ObjectKey{Name: name}, &node); err != nil {
		return err
	}
	ready := slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
	if !ready {
		return errors.New("it is not Ready")
	}
	for _, taint := range node.Spec.Taints {
		if strings.HasPrefix(taint.Key, "node.kubernetes.io/") && taint.Key != corev1.TaintNodeUnschedulable {
			return fmt.Errorf("it has the taint %s", taint.Key)
		}
	}
	return nil
}

// look makes kwok look at an object again.
func (l *Lab) look(ctx context.Context, object ctrlclient.Object) error {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, lookAnnotation, time.Now().Format(time.RFC3339Nano))
	err := l.client.Patch(ctx, object, ctrlclient.RawPatch("application/merge-patch+json", patch))
	return ctrlclient.IgnoreNotFound(err)
}

// changePodsOf changes the status of the running pods of a node; at those that begin or end, kwok is to look again,
// which it does where the node works.
func (l *Lab) changePodsOf(ctx context.Context, node string, change func(*corev1.Pod)) error {
	var pods corev1.PodList
	if err := l.client.List(ctx, &pods, ctrlclient.MatchingFields{"spec.nodeName": node}); err != nil {
		return fmt.Errorf("listing the pods of node %s: %w", node, err)
	}
	var errs []error
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodPending {
			errs = append(errs, l.look(ctx, pod))
			continue
		}
		errs = append(errs, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
			var fresh corev1.Pod
			if err := l.client.Get(ctx, ctrlclient.ObjectKeyFromObject(pod), &fresh); err != nil {
				return ctrlclient.IgnoreNotFound(err)
			}
			change(&fresh)
			return ctrlclient.IgnoreNotFound(l.client.Status().Update(ctx, &fresh))
		}))
	}
	return errors.Join(errs...)
}
