package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// patchedAnnotation is what vpa-admission leaves on a pod whose requests it set.
const patchedAnnotation = "vpaUpdates"

// clusterWatcher sees nodes, pods and recommendations from outside. Like the
// watcher of the workers it knows the cluster's API and nothing of controllers.
type clusterWatcher struct {
	client kubernetes.Interface

	mu           sync.Mutex
	nodes        map[string]bool
	fewest, most int
	pods         map[types.UID]podSeen
	patched      map[types.UID]bool
	waits        []time.Duration
	pool         v1alpha1.NodePool
	recommended  *vpav1.RecommendedContainerResources
	originalCPU  string
	counting     bool
}

// podSeen is what is remembered of a pod while it exists.
type podSeen struct {
	workload      string
	running       bool
	unschedulable time.Time
	cpu           string
	patched       bool
}

func newClusterWatcher(cluster *rest.Config) (*clusterWatcher, error) {
	client, err := kubernetes.NewForConfig(cluster)
	if err != nil {
		return nil, fmt.Errorf("make a client for the cluster's watcher: %w", err)
	}
	return &clusterWatcher{
		client: client, nodes: map[string]bool{}, pods: map[types.UID]podSeen{}, patched: map[types.UID]bool{},
		originalCPU: steadyRequest,
	}, nil
}

// run follows nodes, pods, the pool and the recommendation until the context
// ends.
func (w *clusterWatcher) run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactory(w.client, 0)
	nodes, err := factory.Core().V1().Nodes().Informer().AddEventHandler(handle(w.nodeSeen, w.nodeGone))
	if err != nil {
		return fmt.Errorf("follow the nodes: %w", err)
	}
	_, err = factory.Core().V1().Pods().Informer().AddEventHandler(handle(w.podSeen, w.podGone))
	if err != nil {
		return fmt.Errorf("follow the pods: %w", err)
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	if cache.WaitForCacheSync(ctx.Done(), nodes.HasSynced) {
		w.begin()
	}
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			w.ask(ctx)
		}
	}
}

// handle adapts functions of one object to an informer.
func handle[T any](seen, gone func(*T)) cache.ResourceEventHandlerFuncs {
	call := func(f func(*T), o any) {
		if last, ok := o.(cache.DeletedFinalStateUnknown); ok {
			o = last.Obj
		}
		if object, ok := o.(*T); ok {
			f(object)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { call(seen, o) },
		UpdateFunc: func(_, o any) { call(seen, o) },
		DeleteFunc: func(o any) { call(gone, o) },
	}
}

func (w *clusterWatcher) nodeSeen(n *corev1.Node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[n.Name] = true
	w.count()
}

func (w *clusterWatcher) nodeGone(n *corev1.Node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.nodes, n.Name)
	w.count()
}

// begin starts the count of nodes, from those that there are.
func (w *clusterWatcher) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counting, w.fewest, w.most = true, len(w.nodes), len(w.nodes)
}

func (w *clusterWatcher) count() {
	if w.counting {
		w.fewest, w.most = min(w.fewest, len(w.nodes)), max(w.most, len(w.nodes))
	}
}

func (w *clusterWatcher) podSeen(p *corev1.Pod) {
	if p.Namespace != namespace {
		return
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.pods[p.UID]
	s.workload = p.Labels["app"]
	s.cpu = p.Spec.Containers[0].Resources.Requests.Cpu().String()
	if _, s.patched = p.Annotations[patchedAnnotation]; s.patched {
		w.patched[p.UID] = true
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable && s.unschedulable.IsZero() {
			s.unschedulable = now
		}
	}
	running := p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil
	if running && !s.running && !s.unschedulable.IsZero() {
		w.waits = append(w.waits, now.Sub(s.unschedulable))
		s.unschedulable = time.Time{}
	}
	s.running = running
	w.pods[p.UID] = s
}

func (w *clusterWatcher) podGone(p *corev1.Pod) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.pods, p.UID)
}

// ask fetches the pool and the recommendation; what does not answer is left as
// it was.
func (w *clusterWatcher) ask(ctx context.Context) {
	var pool v1alpha1.NodePool
	poolErr := w.fetch(ctx, &pool, "/apis/autoscaling.quartet.dev/v1alpha1/nodepools/"+poolName)
	var vpa vpav1.VerticalPodAutoscaler
	vpaErr := w.fetch(ctx, &vpa, "/apis/autoscaling.k8s.io/v1/namespaces/"+namespace+"/verticalpodautoscalers/"+steady)
	w.mu.Lock()
	defer w.mu.Unlock()
	if poolErr == nil {
		w.pool = pool
	}
	if vpaErr == nil && vpa.Status.Recommendation != nil && len(vpa.Status.Recommendation.ContainerRecommendations) == 1 {
		w.recommended = &vpa.Status.Recommendation.ContainerRecommendations[0]
	}
}

func (w *clusterWatcher) fetch(ctx context.Context, into any, path string) error {
	raw, err := w.client.Discovery().RESTClient().Get().AbsPath(path).Do(ctx).Raw()
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// clusterSeen is what the watcher knows at one moment.
type clusterSeen struct {
	nodes      nodeReport
	pool       v1alpha1.NodePool
	pending    int
	patched    int
	waits      []time.Duration
	steady     string
	target     string
	rightSized bool
}

func (w *clusterWatcher) seen() clusterSeen {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := clusterSeen{
		nodes: nodeReport{Min: w.fewest, Peak: w.most, Final: len(w.nodes)},
		pool:  w.pool, patched: len(w.patched), waits: slices.Clone(w.waits),
	}
	if w.recommended != nil {
		s.target = w.recommended.Target.Cpu().String()
	}
	sizes := map[string]bool{}
	total, patched := 0, 0
	for _, p := range w.pods {
		if !p.running {
			s.pending++
		}
		if p.workload == steady {
			total++
			sizes[p.cpu] = true
			if p.running && p.patched && p.cpu != w.originalCPU {
				patched++
			}
		}
	}
	s.steady = strings.Join(slices.Sorted(maps.Keys(sizes)), ", ")
	s.rightSized = total > 0 && patched == total
	return s
}
