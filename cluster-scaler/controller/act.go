package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/util/retry"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/plan"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/provider"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// actuator carries plans out. Each step may be the last before a crash: what is
// begun is seen in the cluster, and each step can be repeated.
type actuator struct {
	core     typedcorev1.CoreV1Interface
	pools    *poolWriter
	provider provider.Provider
	metrics  *metrics
}

// Act does what it can of the plan, and tells what failed.
func (a *actuator) Act(ctx context.Context, d plan.Decision) decision.Outcome {
	var failures []string
	try := func(err error) {
		if err != nil {
			failures = append(failures, err.Error())
		}
	}
	// A node that never became ready goes before its request is dropped: after a
	// crash in between the request is still there to tell of it.
	for _, n := range d.Actions.Delete {
		if n.Failed {
			try(a.remove(ctx, n))
		}
	}
	for _, n := range d.Actions.Undo {
		try(a.taint(ctx, n, false))
	}
	refused := map[string]bool{}
	for _, r := range d.Actions.Request {
		if err := a.pools.request(ctx, r); err != nil {
			refused[r.Pool] = true
			try(err)
		}
	}
	for _, c := range d.Actions.Create {
		if !refused[c.Pool] {
			try(a.create(ctx, c))
		}
	}
	for _, n := range d.Actions.Taint {
		try(a.taint(ctx, n, true))
	}
	for _, e := range d.Actions.Evict {
		try(a.evict(ctx, e))
	}
	for _, n := range d.Actions.Delete {
		if !n.Failed {
			try(a.remove(ctx, n))
		}
	}
	if len(failures) > 0 {
		return decision.Outcome{Result: decision.Failed, Error: strings.Join(failures, "; ")}
	}
	return decision.Outcome{Result: decision.Succeeded}
}

// create asks the provider for a node that the pool's status has.
func (a *actuator) create(ctx context.Context, c plan.Creation) error {
	pool := visitOf(ctx).pools[c.Pool]
	if pool == nil {
		return fmt.Errorf("make node %s: pool %s is gone", c.Request.Name, c.Pool)
	}
	projected := projectPool(pool)
	order := provider.Order{
		Pool: c.Pool, Request: c.Request, Template: projected.Template, Node: projected.NewNode(c.Pool, c.Request),
	}
	if k := pool.Spec.Provider.Kwok; k != nil && k.BootTime != nil {
		order.BootTime = k.BootTime.Duration
	}
	if err := a.provider.Create(ctx, order); err != nil {
		return fmt.Errorf("make node %s: %w", c.Request.Name, err)
	}
	a.metrics.up.WithLabelValues(c.Pool).Inc()
	return nil
}

// taint puts the drain's taint on a node or takes it off. A node that is gone,
// or another one of the name, is left alone.
func (a *actuator) taint(ctx context.Context, n plan.NodeAction, on bool) error {
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		node, err := a.core.Nodes().Get(ctx, n.Node, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && string(node.UID) != n.UID {
			return nil
		}
		if err != nil {
			return err
		}
		ours := func(t corev1.Taint) bool { return t.Key == nodepool.DrainTaint }
		if slices.ContainsFunc(node.Spec.Taints, ours) == on {
			return nil
		}
		if on {
			node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{
				Key: nodepool.DrainTaint, Value: n.Value, Effect: corev1.TaintEffectNoSchedule,
			})
		} else {
			node.Spec.Taints = slices.DeleteFunc(node.Spec.Taints, ours)
		}
		_, err = a.core.Nodes().Update(ctx, node, metav1.UpdateOptions{FieldManager: fieldManager})
		return err
	})
	if err != nil {
		return fmt.Errorf("taint node %s: %w", n.Node, err)
	}
	return nil
}

// evict asks the API server to evict a pod. That a budget forbids it, or that the
// pod is gone or another, is no failure: the next plan sees it.
func (a *actuator) evict(ctx context.Context, e plan.Eviction) error {
	uid := types.UID(e.UID)
	err := a.core.Pods(e.Namespace).EvictV1(ctx, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: e.Namespace, Name: e.Name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}},
	})
	switch {
	case err == nil:
		a.metrics.evictions.Inc()
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
	case apierrors.IsTooManyRequests(err):
		a.metrics.refusals.Inc()
		telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelInfo, "An eviction waits for its budget",
			slog.String("pod", e.Namespace+"/"+e.Name), slog.Any("error", err))
	default:
		return fmt.Errorf("evict pod %s/%s: %w", e.Namespace, e.Name, err)
	}
	return nil
}

// errOccupied tells that pods came to a node after the plan was made.
var errOccupied = errors.New("a pod came to it")

// remove deletes a drained node. It looks once more whether a pod came to it:
// the plan was made from a cache.
func (a *actuator) remove(ctx context.Context, n plan.NodeAction) error {
	list, err := a.core.Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("spec.nodeName", n.Node).String(),
	})
	if err != nil {
		return fmt.Errorf("look for pods on node %s: %w", n.Node, err)
	}
	for i := range list.Items {
		p := &list.Items[i]
		class := projectClass(p)
		if !ended(p) && !class.Mirror && class.Owner != "DaemonSet" {
			return fmt.Errorf("remove node %s: %w: %s/%s", n.Node, errOccupied, p.Namespace, p.Name)
		}
	}
	if err := a.provider.Delete(ctx, n.Node, n.UID); err != nil {
		return err
	}
	a.metrics.down.WithLabelValues(n.Pool).Inc()
	return nil
}

// request writes what is asked for into a pool's status.
func (w *poolWriter) request(ctx context.Context, r plan.PoolRequest) error {
	err := w.update(ctx, r.Pool, r.UID, func(s *v1alpha1.NodePoolStatus) {
		s.Sequence = max(s.Sequence, r.Sequence)
		s.Requested = slices.DeleteFunc(s.Requested, func(n v1alpha1.RequestedNode) bool { return slices.Contains(r.Drop, n.Name) })
		for _, add := range r.Add {
			if !slices.ContainsFunc(s.Requested, func(n v1alpha1.RequestedNode) bool { return n.Name == add.Name }) {
				s.Requested = append(s.Requested, v1alpha1.RequestedNode{Name: add.Name, Zone: add.Zone, At: metav1.NewMicroTime(add.At)})
			}
		}
		if !r.BackoffUntil.IsZero() {
			until := metav1.NewTime(r.BackoffUntil)
			s.BackoffUntil = &until
		}
	})
	if err != nil {
		return fmt.Errorf("write what pool %s asks for: %w", r.Pool, err)
	}
	return nil
}
