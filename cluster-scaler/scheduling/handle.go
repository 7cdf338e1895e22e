package scheduling

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/parallelize"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
)

// handle is what the plugins ask for their surroundings. What it does not
// override is nil: a plugin that asked for more would fail at once, in tests.
type handle struct {
	fwk.Handle
	nodes        *lister
	parallelizer fwk.Parallelizer
	informers    informers.SharedInformerFactory
}

// measured makes the scheduler's metrics, which its parallelizer writes to. They
// are registered nowhere.
var measured = sync.OnceFunc(metrics.InitMetrics)

// newHandle knows the labels of namespaces, by name.
func newHandle(nodes *lister, namespaces map[string]map[string]string) (*handle, error) {
	measured()
	h := &handle{
		nodes: nodes,
		// One after the other: a plan is small, and its order must not vary.
		parallelizer: parallelize.NewParallelizer(1),
		// Never started, so it has no client: it only holds the namespaces.
		informers: informers.NewSharedInformerFactory(nil, 0),
	}
	indexer := h.informers.Core().V1().Namespaces().Informer().GetIndexer()
	for name, labels := range namespaces {
		object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		if err := indexer.Add(object); err != nil {
			return nil, fmt.Errorf("hold namespace %s: %w", name, err)
		}
	}
	return h, nil
}

func (h *handle) SnapshotSharedLister() fwk.SharedLister                 { return h.nodes }
func (h *handle) Parallelizer() fwk.Parallelizer                         { return h.parallelizer }
func (h *handle) SharedInformerFactory() informers.SharedInformerFactory { return h.informers }

// lister gives the plugins the nodes in the order in which they were added.
type lister struct {
	fwk.SharedLister
	order  []fwk.NodeInfo
	byName map[string]fwk.NodeInfo
}

func (l *lister) NodeInfos() fwk.NodeInfoLister { return l }

func (l *lister) List() ([]fwk.NodeInfo, error) { return l.order, nil }

func (l *lister) having(pods func(fwk.NodeInfo) []fwk.PodInfo) []fwk.NodeInfo {
	var found []fwk.NodeInfo
	for _, n := range l.order {
		if len(pods(n)) > 0 {
			found = append(found, n)
		}
	}
	return found
}

func (l *lister) HavePodsWithAffinityList() ([]fwk.NodeInfo, error) {
	return l.having(fwk.NodeInfo.GetPodsWithAffinity), nil
}

func (l *lister) HavePodsWithRequiredAntiAffinityList() ([]fwk.NodeInfo, error) {
	return l.having(fwk.NodeInfo.GetPodsWithRequiredAntiAffinity), nil
}

// HavePodsWithRequiredNonHostScopedAntiAffinityList is read by the plugins' fast
// path for host names only, which is off here.
func (l *lister) HavePodsWithRequiredNonHostScopedAntiAffinityList() ([]fwk.NodeInfo, error) {
	return nil, nil
}

var errNoNode = errors.New("there is no such node")

func (l *lister) Get(name string) (fwk.NodeInfo, error) {
	if n, ok := l.byName[name]; ok {
		return n, nil
	}
	return nil, fmt.Errorf("%w: %s", errNoNode, name)
}

// background is the context that plugins are called with: they take one by
// their interface, and these do no I/O with it.
func background() context.Context { return context.Background() }

// noLogger drops what the scheduler's code would log.
func noLogger() klog.Logger { return klog.Logger{} }
