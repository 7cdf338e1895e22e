package resourcemetrics

import (
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// onlyContainer is the container of pods that name none.
var onlyContainer = []string{"main"}

// window is the time over which a sample is said to have been taken, as
// metrics-server's at its default resolution.
const window = 15 * time.Second

// Usage is what each container of a pod uses.
type Usage struct {
	MilliCPU    int64
	MemoryBytes int64
}

// Pod is a pod with what it uses.
type Pod struct {
	Namespace, Name string
	Labels          map[string]string
	// Containers are their names; nil is one called main.
	Containers []string
	Usage      Usage
}

// store holds the pods by namespace and name, and by namespace and label, so that a
// selector looks at few of them.
type store struct {
	mu         sync.RWMutex
	namespaces map[string]*space
}

type space struct {
	byName map[string]*Pod
	// byLabel is by key=value. Its lists are ordered by name once order ran.
	byLabel map[string][]*Pod
	all     []*Pod
	ordered bool
}

func (s *store) add(pods []Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range pods {
		p := pods[i]
		sp := s.namespaces[p.Namespace]
		if sp == nil {
			sp = &space{byName: map[string]*Pod{}, byLabel: map[string][]*Pod{}}
			s.namespaces[p.Namespace] = sp
		}
		if _, known := sp.byName[p.Name]; known {
			sp.drop(p.Name)
		}
		sp.byName[p.Name] = &p
		sp.all = append(sp.all, &p)
		for k, v := range p.Labels {
			sp.byLabel[k+"="+v] = append(sp.byLabel[k+"="+v], &p)
		}
		sp.ordered = false
	}
	for _, sp := range s.namespaces {
		sp.order()
	}
}

// drop forgets a pod.
func (sp *space) drop(name string) {
	gone := func(p *Pod) bool { return p.Name == name }
	for k, v := range sp.byName[name].Labels {
		sp.byLabel[k+"="+v] = slices.DeleteFunc(sp.byLabel[k+"="+v], gone)
	}
	sp.all = slices.DeleteFunc(sp.all, gone)
	delete(sp.byName, name)
}

// order sorts the lists by name, as a server's answers are.
func (sp *space) order() {
	if sp.ordered {
		return
	}
	byName := func(a, b *Pod) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(sp.all, byName)
	for _, list := range sp.byLabel {
		slices.SortFunc(list, byName)
	}
	sp.ordered = true
}

func (s *store) setUsage(namespace string, selector labels.Selector, u Usage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, sp := range s.namespaces {
		if namespace != "" && namespace != name {
			continue
		}
		for _, p := range sp.candidates(selector) {
			if selector.Matches(labels.Set(p.Labels)) {
				p.Usage = u
			}
		}
	}
}

// candidates are the pods that may match: those of one label that the selector
// asks for, or all.
func (sp *space) candidates(selector labels.Selector) []*Pod {
	requirements, selectable := selector.Requirements()
	if !selectable {
		return nil
	}
	least, found := sp.all, false
	for _, r := range requirements {
		switch r.Operator() {
		case selection.Equals, selection.DoubleEquals, selection.In:
			if r.Values().Len() != 1 {
				continue
			}
			list := sp.byLabel[r.Key()+"="+r.ValuesUnsorted()[0]]
			if !found || len(list) < len(least) {
				least, found = list, true
			}
		}
	}
	return least
}

// get gives the sample of one pod.
func (s *store) get(namespace, name string, now time.Time) (metricsapi.PodMetrics, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	sp := s.namespaces[namespace]
	if sp == nil || sp.byName[name] == nil {
		return metricsapi.PodMetrics{}, false
	}
	return sample(sp.byName[name], now), true
}

// list gives the samples of a namespace's pods that match, ordered by name; of
// every namespace's where it is empty.
func (s *store) list(namespace string, selector labels.Selector, now time.Time) []metricsapi.PodMetrics {
	s.mu.RLock()
	defer s.mu.RUnlock()
	names := []string{namespace}
	if namespace == "" {
		names = names[:0]
		for name := range s.namespaces {
			names = append(names, name)
		}
		slices.Sort(names)
	}
	out := []metricsapi.PodMetrics{}
	for _, name := range names {
		sp := s.namespaces[name]
		if sp == nil {
			continue
		}
		for _, p := range sp.candidates(selector) {
			if selector.Matches(labels.Set(p.Labels)) {
				out = append(out, sample(p, now))
			}
		}
	}
	return out
}

func sample(p *Pod, now time.Time) metricsapi.PodMetrics {
	at := metav1.NewTime(now)
	out := metricsapi.PodMetrics{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, Labels: p.Labels, CreationTimestamp: at},
		Timestamp:  at,
		Window:     metav1.Duration{Duration: window},
	}
	containers := p.Containers
	if containers == nil {
		containers = onlyContainer
	}
	for _, name := range containers {
		out.Containers = append(out.Containers, metricsapi.ContainerMetrics{Name: name, Usage: corev1.ResourceList{
			corev1.ResourceCPU:    *resource.NewMilliQuantity(p.Usage.MilliCPU, resource.DecimalSI),
			corev1.ResourceMemory: *resource.NewQuantity(p.Usage.MemoryBytes, resource.BinarySI),
		}})
	}
	return out
}
