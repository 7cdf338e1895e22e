package controller

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
)

// usages is a list of pods' usage, or why there is none.
type usages struct {
	items []metricsapi.PodMetrics
	err   error
	// byPod gives the items by pod in a list of a whole namespace; nil where all
	// items are the object's.
	byPod map[string]int
	// looked counts the pods that were looked up.
	looked atomic.Int64
}

func newUsages(items []metricsapi.PodMetrics, err error, whole bool) *usages {
	u := &usages{items: items, err: err}
	if whole {
		u.byPod = make(map[string]int, len(items))
		for i := range items {
			u.byPod[items[i].Name] = i
		}
	}
	return u
}

// samples are what the list has for one object's metric.
func (u *usages) samples(q question) replicas.Samples {
	if u.err != nil {
		return unanswered(apiResource, u.err)
	}
	var own []int
	if u.byPod == nil {
		own = make([]int, len(u.items))
		for i := range own {
			own[i] = i
		}
	} else {
		u.looked.Add(int64(len(q.pods)))
		own = make([]int, 0, len(q.pods))
		for _, pod := range q.pods {
			if i, ok := u.byPod[pod.Name]; ok {
				own = append(own, i)
			}
		}
		// The first in the list gives the time.
		slices.Sort(own)
	}
	if len(own) == 0 {
		return empty(apiResource)
	}
	out := replicas.Samples{At: utc(u.items[own[0]].Timestamp.Time), Pods: make(map[string]replicas.PodSample, len(own))}
	for _, i := range own {
		item := &u.items[i]
		if value, ok := usage(item, corev1.ResourceName(q.metric.Name), q.metric.Container); ok {
			out.Pods[item.Name] = replicas.PodSample{Value: value, At: utc(item.Timestamp.Time), Window: item.Window.Duration}
		}
	}
	return out
}

const (
	// crowdPeriods is for how many sync periods two selectors count as asked for at
	// the same time.
	crowdPeriods = 2
	// sparsePart is which part of a namespace's list has to be looked up for the
	// list to be worth it, and sparsePeriods for how long it counts as not worth it
	// otherwise.
	sparsePart    = 20
	sparsePeriods = 20
)

// crowds tell in which namespaces several objects ask for usage, so that one list
// serves them better than one by selector for each.
type crowds struct {
	period time.Duration

	mu    sync.Mutex
	by    map[string]*crowd
	swept time.Time
}

// crowd is one namespace. text and at are of the last that asked, until is how long
// it is several that do, and sparse how long the whole list is too long for them.
type crowd struct {
	text              string
	at, until, sparse time.Time
}

func newCrowds(period time.Duration) *crowds {
	return &crowds{period: period, by: map[string]*crowd{}, swept: time.Now()}
}

// whole tells whether the whole namespace is to be listed, for an object of the
// selector.
func (c *crowds) whole(namespace, text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.sweep(now)
	w := c.by[namespace]
	if w == nil {
		c.by[namespace] = &crowd{text: text, at: now}
		return false
	}
	if w.text != text && now.Sub(w.at) <= crowdPeriods*c.period {
		w.until = now.Add(crowdPeriods * c.period)
	}
	w.text, w.at = text, now
	return now.Before(w.until) && !now.Before(w.sparse)
}

// used takes note of how much of a namespace's list was of use.
func (c *crowds) used(namespace string, u *usages) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.by[namespace]; w != nil && u.err == nil && u.looked.Load()*sparsePart < int64(len(u.items)) {
		w.sparse = time.Now().Add(sparsePeriods * c.period)
	}
}

func (c *crowds) sweep(now time.Time) {
	if now.Sub(c.swept) < idlePeriods*c.period {
		return
	}
	c.swept = now
	for namespace, w := range c.by {
		if now.Sub(w.at) > idlePeriods*c.period && now.After(w.sparse) {
			delete(c.by, namespace)
		}
	}
}
