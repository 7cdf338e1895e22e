package kube

import (
	"context"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	appsinformers "k8s.io/client-go/informers/apps/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// distrust is for how long after a write the cache may lag behind it. A target is
// read from the API server until the cache has caught up, and no longer than this.
const distrust = time.Minute

// Targets reads and sets counts as Scales does, and spares the API server the reads
// of Deployments, StatefulSets and ReplicaSets: these come from caches. A target
// that is not cached is read from the API server, so that what cannot be read fails
// in the API server's words.
type Targets struct {
	scales *Scales
	kinds  map[string]cachedKind

	mu sync.Mutex
	// written are the targets that were written to and that the cache may not show
	// as they are yet.
	written map[Ref]mark
}

// cachedKind is one kind's cache, and the resource that it is written under.
type cachedKind struct {
	informer cache.SharedIndexInformer
	resource schema.GroupResource
}

// mark is a write: the version that came of it, empty where that is not known.
type mark struct {
	version string
	at      time.Time
}

// NewTargets makes the caches. They fill while Run runs.
func NewTargets(client kubernetes.Interface, scales *Scales) (*Targets, error) {
	t := &Targets{scales: scales, written: map[Ref]mark{}, kinds: map[string]cachedKind{}}
	none := cache.Indexers{}
	for kind, k := range map[string]cachedKind{
		kindDeployment:  {appsinformers.NewDeploymentInformer(client, metav1.NamespaceAll, 0, none), appsv1.Resource("deployments")},
		kindStatefulSet: {appsinformers.NewStatefulSetInformer(client, metav1.NamespaceAll, 0, none), appsv1.Resource("statefulsets")},
		kindReplicaSet:  {appsinformers.NewReplicaSetInformer(client, metav1.NamespaceAll, 0, none), appsv1.Resource("replicasets")},
	} {
		if err := k.informer.SetTransform(reduceTarget); err != nil {
			return nil, err
		}
		t.kinds[kind] = k
	}
	return t, nil
}

// Run fills the caches and keeps them current until the context ends.
func (t *Targets) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, k := range t.kinds {
		running.Go(func() { k.informer.RunWithContext(ctx) })
	}
	running.Wait()
}

// Synced tells whether the caches have seen all objects once.
func (t *Targets) Synced() bool {
	for _, k := range t.kinds {
		if !k.informer.HasSynced() {
			return false
		}
	}
	return true
}

// Find gives the cached object that the reference names, nil where there is none or
// its kind is not cached. It may lag behind the API server.
func (t *Targets) Find(ref Ref) *Target {
	k, ok := t.kind(ref)
	if !ok {
		return nil
	}
	o, found, err := k.informer.GetIndexer().GetByKey(ref.Namespace + "/" + ref.Name)
	if err != nil || !found {
		return nil
	}
	target, _ := o.(*Target)
	return target
}

// kind gives the cache of the reference's kind. Which version it names does not
// matter, as it does not to the API server.
func (t *Targets) kind(ref Ref) (cachedKind, bool) {
	version, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil || version.Group != appsv1.GroupName {
		return cachedKind{}, false
	}
	k, ok := t.kinds[ref.Kind]
	return k, ok
}

// Get reads the scale, from the cache where that has the object and shows all that
// was written to it here.
func (t *Targets) Get(ctx context.Context, ref Ref) (Scale, error) {
	if target := t.Find(ref); target != nil && !target.unreadable && t.caughtUp(ref, target) {
		k, _ := t.kind(ref)
		return Scale{Scale: target.scale(), Resource: k.resource, cached: true}, nil
	}
	return t.scales.Get(ctx, ref)
}

// Set writes the count on top of the scale as it was read. Where that came from the
// cache and the target turns out to have moved on, it fails with ErrMoved and the
// next Get is current.
func (t *Targets) Set(ctx context.Context, read Scale, replicas int32, manager string) error {
	version, err := t.scales.set(ctx, read, replicas, manager)
	if kind := t.kindOf(read.Resource); kind != "" {
		t.note(Ref{Namespace: read.Namespace, Kind: kind, Name: read.Name}, version)
	}
	return err
}

// Doubt has the target read from the API server for a while: the cache may lag
// behind what another replica has written.
func (t *Targets) Doubt(ref Ref) {
	ref.APIVersion = ""
	t.note(ref, "")
}

func (t *Targets) kindOf(resource schema.GroupResource) string {
	for kind, k := range t.kinds {
		if k.resource == resource {
			return kind
		}
	}
	return ""
}

// note remembers a write, and forgets those that are too long ago to matter.
func (t *Targets) note(ref Ref, version string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for key, m := range t.written {
		if now.Sub(m.at) >= distrust {
			delete(t.written, key)
		}
	}
	t.written[ref] = mark{version: version, at: now}
}

// caughtUp tells whether the cached object is at least as new as what was written.
func (t *Targets) caughtUp(ref Ref, target *Target) bool {
	ref.APIVersion = ""
	t.mu.Lock()
	defer t.mu.Unlock()
	m, ok := t.written[ref]
	if !ok {
		return true
	}
	order, err := resourceversion.CompareResourceVersion(target.ResourceVersion, m.version)
	if (err != nil || order < 0) && time.Since(m.at) < distrust {
		return false
	}
	delete(t.written, ref)
	return true
}
