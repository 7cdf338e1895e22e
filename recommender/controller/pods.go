package controller

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// podCache holds the pods that have been started, as they are learned from. A pod
// takes some hundred bytes in it: labels, which pods of a controller have in
// common, are there once.
type podCache struct {
	reflector *cache.Reflector
	// killed hears of a pod of which a container was killed for memory, once for
	// each kill. It must not block. Nil hears nothing.
	killed func(*podRecord)
	// sidecars tells that native sidecars are containers like the others.
	sidecars bool

	listed atomic.Bool
	mu     sync.RWMutex
	spaces map[string]*podSpace
}

// podRecord is what is kept of a pod. It is shared and must not be changed.
type podRecord struct {
	namespace, name string
	labels          unique.Handle[string]
	containers      []podContainer
}

// podContainer is a container without its usage.
type podContainer struct {
	name unique.Handle[string]
	estimator.Container
	// What only some policies ask for: the image without tag and digest, and what it
	// requests, in millicores and bytes.
	image       unique.Handle[string]
	cpu, memory int64
	// ended tells that it was killed for memory and does not run again.
	ended bool
}

// GetObjectMeta identifies the record as the object that it was made from.
func (r *podRecord) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: r.namespace, Name: r.name}
}

// podSpace are the pods of a namespace.
type podSpace struct {
	pods map[string]*podRecord
	// groups are pods by all of their labels, byLabel those by one of them.
	groups  map[unique.Handle[string]]*podGroup
	byLabel map[string][]*podGroup
}

// podGroup are pods of a namespace that have the same labels.
type podGroup struct {
	labels labels.Set
	pods   []*podRecord
}

func newPodCache(client kubernetes.Interface, namespace string) *podCache {
	c := &podCache{spaces: map[string]*podSpace{}}
	started := fields.OneTermNotEqualSelector("status.phase", string(corev1.PodPending)).String()
	pods := client.CoreV1().Pods(namespace)
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = started
			return pods.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = started
			return pods.Watch(ctx, o)
		},
	}
	c.reflector = cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(source, client), &corev1.Pod{}, c,
		cache.ReflectorOptions{Name: "pods"})
	return c
}

func (c *podCache) run(ctx context.Context) { c.reflector.RunWithContext(ctx) }

func (c *podCache) synced() bool { return c.listed.Load() }

// matching gives the pods of a namespace that the selector matches. It looks only
// at those that share the rarest label with the selector, where that asks for one.
func (c *podCache) matching(namespace string, selector labels.Selector) []*podRecord {
	c.mu.RLock()
	defer c.mu.RUnlock()
	space := c.spaces[namespace]
	if space == nil {
		return nil
	}
	var out []*podRecord
	take := func(g *podGroup) {
		if selector.Matches(g.labels) {
			out = append(out, g.pods...)
		}
	}
	required := kube.EqualLabels(selector)
	if len(required) == 0 {
		for _, g := range space.groups {
			take(g)
		}
		return out
	}
	fewest := space.byLabel[required[0]]
	for _, label := range required[1:] {
		if groups := space.byLabel[label]; len(groups) < len(fewest) {
			fewest = groups
		}
	}
	for _, g := range fewest {
		take(g)
	}
	return out
}

// knows tells whether there is such a pod.
func (c *podCache) knows(namespace, name string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	space := c.spaces[namespace]
	return space != nil && space.pods[name] != nil
}

// Transformer makes the reflector keep records while it lists, and no pods.
func (c *podCache) Transformer() cache.TransformFunc {
	return func(o any) (any, error) {
		if pod, ok := o.(*corev1.Pod); ok {
			return recordPod(pod, c.sidecars), nil
		}
		return o, nil
	}
}

func (c *podCache) recordOf(o any) *podRecord {
	switch o := o.(type) {
	case *podRecord:
		return o
	case *corev1.Pod:
		return recordPod(o, c.sidecars)
	}
	return nil
}

// Add is called by the reflector.
func (c *podCache) Add(o any) error {
	if r := c.recordOf(o); r != nil {
		c.mu.Lock()
		before := c.put(r)
		c.mu.Unlock()
		c.tell(before, r)
	}
	return nil
}

// Update is called by the reflector.
func (c *podCache) Update(o any) error { return c.Add(o) }

// Delete is called by the reflector.
func (c *podCache) Delete(o any) error {
	if r := c.recordOf(o); r != nil {
		c.mu.Lock()
		c.remove(r.namespace, r.name)
		c.mu.Unlock()
	}
	return nil
}

// Replace is called by the reflector when it has listed all pods.
func (c *podCache) Replace(all []any, _ string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.spaces
	c.spaces = make(map[string]*podSpace, len(before))
	for _, o := range all {
		if r := c.recordOf(o); r != nil {
			if space := before[r.namespace]; space != nil {
				r.atKills(space.pods[r.name])
			}
			c.put(r)
			if space := before[r.namespace]; space != nil && space.pods[r.name] != nil {
				c.tell(space.pods[r.name], r)
			}
		}
	}
	c.listed.Store(true)
	return nil
}

// Resync is called by the reflector and means nothing here.
func (c *podCache) Resync() error { return nil }

// tell tells of a container that was killed since the pod was seen before.
func (c *podCache) tell(before, after *podRecord) {
	if c.killed == nil || before == nil {
		return
	}
	for _, is := range after.containers {
		i := slices.IndexFunc(before.containers, func(was podContainer) bool { return was.name == is.name })
		if i >= 0 && is.Killed.After(before.containers[i].Killed) {
			c.killed(after)
			return
		}
	}
}

// put takes a record in and gives the one in whose place it comes.
func (c *podCache) put(r *podRecord) *podRecord {
	before := c.remove(r.namespace, r.name)
	r.atKills(before)
	space := c.spaces[r.namespace]
	if space == nil {
		space = &podSpace{pods: map[string]*podRecord{}, groups: map[unique.Handle[string]]*podGroup{}, byLabel: map[string][]*podGroup{}}
		c.spaces[r.namespace] = space
	}
	space.pods[r.name] = r
	group := space.groups[r.labels]
	if group == nil {
		group = &podGroup{labels: split(r.labels.Value())}
		space.groups[r.labels] = group
		for _, label := range fieldsOf(r.labels.Value()) {
			space.byLabel[label] = append(space.byLabel[label], group)
		}
	}
	group.pods = append(group.pods, r)
	return before
}

func (c *podCache) remove(namespace, name string) *podRecord {
	space := c.spaces[namespace]
	if space == nil || space.pods[name] == nil {
		return nil
	}
	r := space.pods[name]
	delete(space.pods, name)
	group := space.groups[r.labels]
	if group.pods = without(group.pods, r); len(group.pods) == 0 {
		delete(space.groups, r.labels)
		for _, label := range fieldsOf(r.labels.Value()) {
			if space.byLabel[label] = without(space.byLabel[label], group); len(space.byLabel[label]) == 0 {
				delete(space.byLabel, label)
			}
		}
	}
	if len(space.pods) == 0 {
		delete(c.spaces, namespace)
	}
	return r
}

// without takes one out of a list that has it once, whose order means nothing.
func without[T comparable](all []T, one T) []T {
	i, last := slices.Index(all, one), len(all)-1
	all[i] = all[last]
	return slices.Delete(all, last, last+1)
}

// separator stands between the labels of joined ones: no label has it.
const separator = "\x00"

// join makes one text of labels, the same for the same labels.
func join(set map[string]string) unique.Handle[string] {
	all := make([]string, 0, len(set))
	for key, value := range set {
		all = append(all, key+"="+value)
	}
	slices.Sort(all)
	return unique.Make(strings.Join(all, separator))
}

func fieldsOf(joined string) []string {
	if joined == "" {
		return nil
	}
	return strings.Split(joined, separator)
}

func split(joined string) labels.Set {
	set := labels.Set{}
	for _, label := range fieldsOf(joined) {
		key, value, _ := strings.Cut(label, "=")
		set[key] = value
	}
	return set
}
