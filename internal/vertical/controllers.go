package vertical

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsinformers "k8s.io/client-go/informers/apps/v1"
	batchinformers "k8s.io/client-go/informers/batch/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Ref is a kind and a name within a namespace.
type Ref struct{ Kind, Name string }

// String gives Kind/name.
func (r Ref) String() string { return r.Kind + "/" + r.Name }

func key(namespace string, r Ref) string { return namespace + "/" + r.Kind + "/" + r.Name }

// The kinds of controllers that are looked into.
const (
	replicaSet            = "ReplicaSet"
	job                   = "Job"
	statefulSet           = "StatefulSet"
	daemonSet             = "DaemonSet"
	replicationController = "ReplicationController"
)

// byController indexes controllers by the one that owns them.
const byController = "controller"

// Controllers knows what stands between a target and its pods: a Deployment's
// ReplicaSets, a CronJob's Jobs.
type Controllers struct {
	client    kubernetes.Interface
	answers   answers
	informers map[string]cache.SharedIndexInformer
}

// NewControllers makes the cache. Counting caches also know how many pods each
// controller wants; the others only what is between.
func NewControllers(client kubernetes.Interface, counting bool) (*Controllers, error) {
	all, owned := metav1.NamespaceAll, cache.Indexers{byController: controllerKeys}
	c := &Controllers{client: client, informers: map[string]cache.SharedIndexInformer{
		replicaSet: appsinformers.NewReplicaSetInformer(client, all, 0, owned),
		job:        batchinformers.NewJobInformer(client, all, 0, owned),
	}}
	if counting {
		none := cache.Indexers{}
		c.informers[statefulSet] = appsinformers.NewStatefulSetInformer(client, all, 0, none)
		c.informers[daemonSet] = appsinformers.NewDaemonSetInformer(client, all, 0, none)
		c.informers[replicationController] = coreinformers.NewReplicationControllerInformer(client, all, 0, owned)
	}
	for _, informer := range c.informers {
		if err := informer.SetTransform(reduceController); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// reduceController keeps the owner and the number of pods wanted.
func reduceController(o any) (any, error) {
	meta := func(m metav1.ObjectMeta) metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion, OwnerReferences: m.OwnerReferences,
		}
	}
	switch c := o.(type) {
	case *appsv1.ReplicaSet:
		return &appsv1.ReplicaSet{ObjectMeta: meta(c.ObjectMeta), Spec: appsv1.ReplicaSetSpec{Replicas: c.Spec.Replicas}}, nil
	case *appsv1.StatefulSet:
		return &appsv1.StatefulSet{ObjectMeta: meta(c.ObjectMeta), Spec: appsv1.StatefulSetSpec{Replicas: c.Spec.Replicas}}, nil
	case *appsv1.DaemonSet:
		return &appsv1.DaemonSet{
			ObjectMeta: meta(c.ObjectMeta), Spec: appsv1.DaemonSetSpec{UpdateStrategy: c.Spec.UpdateStrategy},
			Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: c.Status.DesiredNumberScheduled},
		}, nil
	case *corev1.ReplicationController:
		return &corev1.ReplicationController{ObjectMeta: meta(c.ObjectMeta), Spec: corev1.ReplicationControllerSpec{Replicas: c.Spec.Replicas}}, nil
	case *batchv1.Job:
		return &batchv1.Job{ObjectMeta: meta(c.ObjectMeta)}, nil
	}
	return o, nil
}

func controllerKeys(o any) ([]string, error) {
	object, ok := o.(metav1.Object)
	if !ok {
		return nil, nil
	}
	if owner := metav1.GetControllerOf(object); owner != nil {
		return []string{key(object.GetNamespace(), Ref{Kind: owner.Kind, Name: owner.Name})}, nil
	}
	return nil, nil
}

// Run fills the caches and keeps them current until the context ends.
func (c *Controllers) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, informer := range c.informers {
		running.Go(func() { informer.RunWithContext(ctx) })
	}
	running.Wait()
}

// Synced tells whether the caches have seen everything once.
func (c *Controllers) Synced() bool {
	for _, informer := range c.informers {
		if !informer.HasSynced() {
			return false
		}
	}
	return true
}

// Below gives the controllers that own a target's pods: the target itself and
// those that it controls.
func (c *Controllers) Below(namespace string, target Ref) []Ref {
	out := []Ref{target}
	for kind, informer := range c.informers {
		keys, err := informer.GetIndexer().IndexKeys(byController, key(namespace, target))
		if err != nil {
			continue // This kind is not indexed: nothing owns it.
		}
		for _, k := range keys {
			out = append(out, Ref{Kind: kind, Name: strings.TrimPrefix(k, namespace+"/")})
		}
	}
	slices.SortFunc(out[1:], func(a, b Ref) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// Topmost follows controllers upwards from the one that controls the object, and
// gives the last: for a Deployment's pod the Deployment. False where nothing
// controls the object. A ReplicaSet or Job that the cache does not know yet, as
// where it was made just before its pod, is asked of the API server.
func (c *Controllers) Topmost(ctx context.Context, object metav1.Object) (Ref, bool, error) {
	owner := metav1.GetControllerOf(object)
	if owner == nil {
		return Ref{}, false, nil
	}
	top := Ref{Kind: owner.Kind, Name: owner.Name}
	for depth := 0; depth < 8; depth++ {
		between, err := c.between(ctx, object.GetNamespace(), owner)
		if err != nil {
			return Ref{}, false, err
		}
		if between == nil {
			break
		}
		if owner = metav1.GetControllerOf(between); owner == nil {
			break
		}
		top = Ref{Kind: owner.Kind, Name: owner.Name}
	}
	return top, true, nil
}

// between finds a controller that another may control; nil where it is of a kind
// that is a top itself.
func (c *Controllers) between(ctx context.Context, namespace string, owner *metav1.OwnerReference) (metav1.Object, error) {
	group, _, _ := strings.Cut(owner.APIVersion, "/")
	if (owner.Kind != replicaSet || group != appsv1.GroupName) && (owner.Kind != job || group != batchv1.GroupName) {
		return nil, nil
	}
	if o, found, err := c.informers[owner.Kind].GetIndexer().GetByKey(namespace + "/" + owner.Name); err == nil && found {
		if object, ok := o.(metav1.Object); ok && object.GetUID() == owner.UID {
			return object, nil
		}
	}
	object, err := c.answers.get(ctx, owner.UID, func(ctx context.Context) (metav1.Object, error) {
		if owner.Kind == job {
			return c.client.BatchV1().Jobs(namespace).Get(ctx, owner.Name, metav1.GetOptions{})
		}
		return c.client.AppsV1().ReplicaSets(namespace).Get(ctx, owner.Name, metav1.GetOptions{})
	})
	if err != nil {
		return nil, fmt.Errorf("find out what controls %s %s/%s: %w", owner.Kind, namespace, owner.Name, err)
	}
	return object, nil
}

// Replicas is how many pods a controller wants. counted is false for kinds that
// say no number.
func (c *Controllers) Replicas(namespace string, r Ref) (n int32, counted bool, err error) {
	informer, known := c.informers[r.Kind]
	if !known || r.Kind == job {
		return 0, false, nil
	}
	o, found, err := informer.GetIndexer().GetByKey(namespace + "/" + r.Name)
	if err != nil {
		return 0, false, err
	}
	if !found {
		return 0, false, fmt.Errorf("%s %s/%s is not there", r.Kind, namespace, r.Name)
	}
	if n = replicas(o); n == 0 {
		return 0, false, fmt.Errorf("%s %s/%s wants no pods", r.Kind, namespace, r.Name)
	}
	return n, true, nil
}

// MaxUnavailable is how many pods a controller's rolling update lets be away; nil
// where it says nothing of that, as all kinds but DaemonSets.
func (c *Controllers) MaxUnavailable(namespace string, r Ref) *intstr.IntOrString {
	informer, known := c.informers[r.Kind]
	if !known || r.Kind != daemonSet {
		return nil
	}
	o, found, err := informer.GetIndexer().GetByKey(namespace + "/" + r.Name)
	set, ok := o.(*appsv1.DaemonSet)
	if err != nil || !found || !ok || set.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType || set.Spec.UpdateStrategy.RollingUpdate == nil {
		return nil
	}
	return set.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable
}

func replicas(o any) int32 {
	var n *int32
	switch c := o.(type) {
	case *appsv1.ReplicaSet:
		n = c.Spec.Replicas
	case *appsv1.StatefulSet:
		n = c.Spec.Replicas
	case *corev1.ReplicationController:
		n = c.Spec.Replicas
	case *appsv1.DaemonSet:
		n = &c.Status.DesiredNumberScheduled
	}
	if n == nil {
		return 0
	}
	return *n
}
