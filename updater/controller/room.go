package controller

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/component"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
	"github.com/quartet-autoscaling/quartet/internal/vertical"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
	"github.com/quartet-autoscaling/quartet/updater/fit"
)

const (
	// mostNodes bounds the nodes that one decision looks at, those with the most
	// room.
	mostNodes = 100
	// defaultPods is how many pods a new node takes whose template does not say.
	defaultPods = 110
	// allPools is the value under which all node pools are indexed.
	allPools = "all"
)

// room reads what pods may find room in. It is nil where nothing must fit.
type room struct {
	pods   *podCache
	limits *vertical.LimitRanges
	fleet  *fleet
	nodes  cache.SharedIndexInformer
	quotas cache.SharedIndexInformer
	// pools is nil until watchPools.
	pools *kube.Custom

	mu sync.Mutex
	// used is what the pods of each node request, and daemons the most that those
	// of DaemonSets do on any, as of counted.
	used    map[string]fit.Amounts
	daemons fit.Amounts
	counted time.Time
}

// watch makes the caches of nodes and quotas.
func (r *room) watch(cluster kubernetes.Interface) error {
	byNamespace := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	r.nodes = coreinformers.NewNodeInformer(cluster, 0, cache.Indexers{})
	r.quotas = coreinformers.NewResourceQuotaInformer(cluster, metav1.NamespaceAll, 0, byNamespace)
	return r.nodes.SetTransform(reduceNode)
}

// watchPools makes the cache of node pools.
func (r *room) watchPools(own client.WithWatch) (err error) {
	r.pools, err = kube.NewCustom(kube.CustomConfig{
		Client: own, Objects: "NodePools",
		Object: &v1alpha1.NodePool{}, List: func() client.ObjectList { return &v1alpha1.NodePoolList{} },
		Indexers: cache.Indexers{allPools: func(any) ([]string, error) { return []string{allPools}, nil }},
		Log: func(ctx context.Context, why error) {
			if why != nil {
				telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelInfo, "NodePools cannot be read: no pod is expected to find room in one", slog.Any("error", why))
			}
		},
	})
	return err
}

// reduceNode keeps what placing a pod depends on.
func reduceNode(o any) (any, error) {
	n, ok := o.(*corev1.Node)
	if !ok {
		return o, nil
	}
	out := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion, Labels: n.Labels, DeletionTimestamp: n.DeletionTimestamp}}
	out.Spec.Unschedulable, out.Spec.Taints = n.Spec.Unschedulable, n.Spec.Taints
	out.Status.Allocatable = n.Status.Allocatable
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			out.Status.Conditions = []corev1.NodeCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	return out, nil
}

// background are what fills the caches.
func (r *room) background() []func(context.Context) {
	if r == nil {
		return nil
	}
	out := []func(context.Context){r.nodes.RunWithContext, r.quotas.RunWithContext}
	if r.pools != nil {
		out = append(out, r.pools.Run)
	}
	return out
}

// listed are the caches that the work waits for.
func (r *room) listed() component.Caches {
	if r == nil {
		return nil
	}
	out := component.Caches{{Objects: "nodes", Synced: r.nodes.HasSynced}, {Objects: "ResourceQuotas", Synced: r.quotas.HasSynced}}
	if r.pools != nil {
		out = append(out, component.Cache{Objects: "NodePools", Synced: r.pools.Synced})
	}
	return out
}

// look gives what the pods of one object may find room in.
func (r *room) look(s *eviction.Snapshot) *fit.Cluster {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count(s.Now)
	out := fit.Cluster{Nodes: r.nodesFor(s.Pods), Pools: r.poolsNow(s.Now), Quotas: r.quotasOf(s.VPA.Namespace)}
	for _, l := range r.limits.All(s.VPA.Namespace) {
		out.Ranges = append(out.Ranges, fit.RangesOf(&l)...)
	}
	slices.SortStableFunc(out.Ranges, func(a, b fit.Range) int { return strings.Compare(a.Name, b.Name) })
	left := out.Less(r.fleet.takenOf(s.VPA.Namespace, s.Now))
	return &left
}

// count adds up what the pods of each node request, once in a while.
func (r *room) count(now time.Time) {
	if age := now.Sub(r.counted); !r.counted.IsZero() && age >= 0 && age < freshness {
		return
	}
	r.counted, r.used, r.daemons = now, map[string]fit.Amounts{}, fit.Amounts{}
	daemons := map[string]fit.Amounts{}
	for _, o := range r.pods.informer.GetIndexer().List() {
		pod, ok := o.(*corev1.Pod)
		if !ok || pod.Spec.NodeName == "" || ended(pod) {
			continue
		}
		requests := requestsOf(pod)
		addTo(r.used, pod.Spec.NodeName, requests)
		if owner := metav1.GetControllerOf(pod); owner != nil && owner.Kind == "DaemonSet" {
			addTo(daemons, pod.Spec.NodeName, requests)
		}
	}
	for _, amounts := range daemons {
		for name, n := range amounts {
			r.daemons[name] = max(r.daemons[name], n)
		}
	}
}

// addTo adds one pod's requests, and the pod, to a node's.
func addTo(all map[string]fit.Amounts, node string, requests fit.Amounts) {
	if all[node] == nil {
		all[node] = fit.Amounts{}
	}
	for name, n := range requests {
		all[node][name] += n
	}
	all[node][corev1.ResourcePods]++
}

// nodesFor gives the nodes that are ready, by name, with the labels that the pods
// ask for. Of many, those that any of the pods is on come first, and then those
// with the most room that take any of them.
func (r *room) nodesFor(pods map[string]eviction.Pod) []fit.Node {
	wanted, homes := map[string]bool{}, map[string]bool{}
	for _, pod := range pods {
		if pod.Place != nil {
			homes[pod.Place.Node] = true
			for _, label := range pod.Place.Labels() {
				wanted[label] = true
			}
		}
	}
	var out []fit.Node
	for _, o := range r.nodes.GetIndexer().List() {
		if n, ok := o.(*corev1.Node); ok && n.DeletionTimestamp == nil && ready(n) {
			out = append(out, r.project(n, wanted))
		}
	}
	slices.SortFunc(out, func(a, b fit.Node) int { return strings.Compare(a.Name, b.Name) })
	if len(out) <= mostNodes {
		return out
	}
	out = slices.DeleteFunc(out, func(n fit.Node) bool { return !homes[n.Name] && !takesAny(n, pods) })
	slices.SortStableFunc(out, func(a, b fit.Node) int {
		if homes[a.Name] != homes[b.Name] {
			if homes[a.Name] {
				return -1
			}
			return 1
		}
		return cmp.Compare(spacious(b), spacious(a))
	})
	out = out[:min(len(out), mostNodes)]
	slices.SortFunc(out, func(a, b fit.Node) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func ready(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func takesAny(n fit.Node, pods map[string]eviction.Pod) bool {
	for _, pod := range pods {
		if pod.Place != nil && pod.Place.Admits(n) {
			return true
		}
	}
	return false
}

// spacious is the lesser of the parts of CPU and memory that are free.
func spacious(n fit.Node) float64 {
	least := 1.0
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if all := n.Allocatable[name]; all > 0 {
			least = min(least, float64(n.Free[name])/float64(all))
		}
	}
	return least
}

func (r *room) project(n *corev1.Node, wanted map[string]bool) fit.Node {
	out := fit.Node{Name: n.Name, Allocatable: fit.AmountsOf(n.Status.Allocatable), Free: fit.Amounts{}}
	maps.Copy(out.Free, out.Allocatable)
	for name, used := range r.used[n.Name] {
		out.Free[name] -= used
	}
	for label := range wanted {
		if value, ok := n.Labels[label]; ok {
			if out.Labels == nil {
				out.Labels = map[string]string{}
			}
			out.Labels[label] = value
		}
	}
	out.Taints = taints(n.Spec.Taints)
	if n.Spec.Unschedulable {
		out.Taints = append(out.Taints, corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
	}
	return out
}

// taints leaves out those that repel no pod, and when they came.
func taints(all []corev1.Taint) []corev1.Taint {
	var out []corev1.Taint
	for _, t := range all {
		if t.Effect != corev1.TaintEffectPreferNoSchedule {
			t.TimeAdded = nil
			out = append(out, t)
		}
	}
	return out
}

// quotasOf gives the quotas of a namespace, by name.
func (r *room) quotasOf(namespace string) []fit.Quota {
	found, err := r.quotas.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
	if err != nil {
		return nil
	}
	var out []fit.Quota
	for _, o := range found {
		if q, ok := o.(*corev1.ResourceQuota); ok {
			if read, any := fit.QuotaOf(q); any {
				out = append(out, read)
			}
		}
	}
	slices.SortFunc(out, func(a, b fit.Quota) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// poolsNow gives the node pools, by name.
func (r *room) poolsNow(now time.Time) []fit.Pool {
	if r.pools == nil {
		return nil
	}
	var out []fit.Pool
	for _, o := range r.pools.ByIndex(allPools, allPools) {
		if p, ok := o.(*v1alpha1.NodePool); ok && p.DeletionTimestamp == nil {
			out = append(out, projectPool(p, r.daemons, now))
		}
	}
	slices.SortFunc(out, func(a, b fit.Pool) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// projectPool takes over what a new node of the pool would be like. What the pods
// of DaemonSets take of any node is left out.
func projectPool(p *v1alpha1.NodePool, daemons fit.Amounts, now time.Time) fit.Pool {
	t := &p.Spec.Template
	out := fit.Pool{
		Name: p.Name, Labels: t.Labels, Taints: taints(t.Taints), Zones: t.Zones,
		Free: fit.AmountsOf(t.Capacity), Nodes: p.Status.Nodes, Max: p.Spec.Max, Still: still(p, now),
	}
	for name, n := range fit.AmountsOf(t.Allocatable) {
		out.Free[name] = n
	}
	if _, says := out.Free[corev1.ResourcePods]; !says {
		out.Free[corev1.ResourcePods] = defaultPods
	}
	for name, n := range daemons {
		out.Free[name] -= n
	}
	if target := p.Status.Target; target != nil {
		out.Nodes = max(out.Nodes, *target)
	}
	return out
}

// still tells why a pool does not grow now.
func still(p *v1alpha1.NodePool, now time.Time) string {
	if p.Spec.Mode != "" && p.Spec.Mode != v1alpha1.ModeAuto {
		return "its mode is " + string(p.Spec.Mode)
	}
	if until := p.Status.BackoffUntil; until != nil && now.Before(until.Time) {
		return fmt.Sprintf("its provider failed, and is asked again at %s", until.UTC().Format(time.RFC3339))
	}
	for _, c := range p.Status.Conditions {
		if c.Type == "ProviderReachable" && c.Status == metav1.ConditionFalse {
			return "its provider is not reachable"
		}
	}
	return ""
}
