package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/provider"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// The lease that Cluster Autoscaler holds while it works.
const (
	rivalNamespace = metav1.NamespaceSystem
	rivalLease     = "cluster-autoscaler"
)

// cluster is what the observer reads besides the pools.
type cluster interface {
	allNodes() []*corev1.Node
	allPods() []*corev1.Pod
	budgetsOf() (map[string]nodepool.Budget, map[string][]selecting)
	namespaceLabels() map[string]map[string]string
}

// observer gathers a snapshot.
type observer struct {
	mode   string
	config nodepool.Config
	// pools are read from the API server at each pass: what the last pass asked
	// for must be known to this one.
	pools    client.Reader
	leases   coordinationv1.LeasesGetter
	cluster  cluster
	provider provider.Provider
}

// visit is one turn's view of the pools, handed from the observer to the
// actuator in the context.
type visit struct {
	pools map[string]*v1alpha1.NodePool
}

type visitKey struct{}

func withVisit(ctx context.Context, v *visit) context.Context {
	return context.WithValue(ctx, visitKey{}, v)
}

func visitOf(ctx context.Context) *visit {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		return v
	}
	return &visit{}
}

// Observe gathers everything that a plan needs. Without the pools, or without
// knowing whether another scaler is at work, there is no plan.
func (o *observer) Observe(ctx context.Context, _ decision.Unit, now time.Time) (nodepool.Snapshot, error) {
	s := nodepool.Snapshot{
		Now: now, Mode: o.mode, Config: o.config,
		Pools: map[string]nodepool.Pool{}, Nodes: map[string]nodepool.Node{},
		Pods: map[string]nodepool.Pod{}, Classes: map[string]nodepool.Class{},
	}
	var list v1alpha1.NodePoolList
	if err := o.pools.List(ctx, &list); err != nil {
		return s, fmt.Errorf("list NodePools: %w", err)
	}
	v := visitOf(ctx)
	v.pools = map[string]*v1alpha1.NodePool{}
	for i := range list.Items {
		p := &list.Items[i]
		v.pools[p.Name] = p
		projected := projectPool(p)
		if projected.Served {
			projected.Accepted = o.provider.Accepted(p.Name)
		}
		s.Pools[p.Name] = projected
	}
	var err error
	if s.Rival, err = o.rival(ctx); err != nil {
		return s, err
	}
	for _, n := range o.cluster.allNodes() {
		s.Nodes[n.Name] = projectNode(n)
	}
	return s, o.addPods(&s)
}

// rival reads the lease of Cluster Autoscaler.
func (o *observer) rival(ctx context.Context) (*nodepool.Rival, error) {
	name := rivalNamespace + "/" + rivalLease
	lease, err := o.leases.Leases(rivalNamespace).Get(ctx, rivalLease, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the lease %s of another scaler: %w", name, err)
	}
	if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" || lease.Spec.RenewTime == nil {
		return nil, nil
	}
	duration := 15 * time.Second
	if d := lease.Spec.LeaseDurationSeconds; d != nil {
		duration = time.Duration(*d) * time.Second
	}
	return &nodepool.Rival{
		Lease: name, Holder: *lease.Spec.HolderIdentity, Until: lease.Spec.RenewTime.Add(duration).UTC(),
	}, nil
}

func (o *observer) addPods(s *nodepool.Snapshot) error {
	budgets, selectors := o.cluster.budgetsOf()
	s.Budgets = budgets
	namespaces := false
	for _, p := range o.cluster.allPods() {
		waits := unschedulable(p)
		if ended(p) || p.Spec.NodeName == "" && !waits {
			continue
		}
		class := projectClass(p)
		key, err := classKey(class)
		if err != nil {
			return err
		}
		s.Classes[key] = class
		namespaces = namespaces || wantsNamespaces(class.Affinity)
		s.Pods[p.Namespace+"/"+p.Name] = nodepool.Pod{
			UID: string(p.UID), Class: key, Node: p.Spec.NodeName, Unschedulable: waits,
			Created: p.CreationTimestamp.UTC(), Deleting: p.DeletionTimestamp != nil,
			Budgets: covering(selectors[p.Namespace], p.Labels),
		}
	}
	if namespaces {
		s.Namespaces = o.cluster.namespaceLabels()
	}
	return nil
}

func covering(budgets []selecting, of map[string]string) []string {
	var names []string
	for _, b := range budgets {
		if b.selector.Matches(labels.Set(of)) {
			names = append(names, b.name)
		}
	}
	slices.Sort(names)
	return names
}

// budgetsOf gives the budgets, and their selectors by namespace.
func (c *caches) budgetsOf() (map[string]nodepool.Budget, map[string][]selecting) {
	budgets, selectors := map[string]nodepool.Budget{}, map[string][]selecting{}
	for _, b := range c.allBudgets() {
		name := b.Namespace + "/" + b.Name
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil {
			continue // the API server accepts none such
		}
		budgets[name] = projectBudget(b)
		selectors[b.Namespace] = append(selectors[b.Namespace], selecting{name: name, selector: selector})
	}
	return budgets, selectors
}

func (c *caches) namespaceLabels() map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, n := range c.allNamespaces() {
		out[n.Name] = n.Labels
	}
	return out
}
