package controller

import (
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/quartet-autoscaling/quartet/internal/kube"
)

// rivals knows the selector of each object's target, to find objects that look
// at the same pods. Selectors are kept by one label that everything they match
// has, so that a pod is compared with a few of them and not with all of its
// namespace.
type rivals struct {
	mu sync.RWMutex
	// known holds each object's text and place.
	known map[object]placed
	// byLabel holds, by namespace and label, what is looked for there.
	byLabel map[string]map[object]watched
}

// watched is what an object looks for: pods by a selector, and of these those that
// it has a claim on.
type watched struct {
	selector labels.Selector
	claim    claim
}

type placed struct {
	text, place string
	claim       claim
}

func newRivals() *rivals {
	return &rivals{
		known:   map[object]placed{},
		byLabel: map[string]map[object]watched{},
	}
}

// anyLabel is the place of selectors that ask for no particular label.
const anyLabel = ""

func place(namespace, label string) string { return namespace + "/" + label }

// put sets what the object looks for; text is the selector as it was written.
func (r *rivals) put(o object, text string, what watched) {
	r.mu.RLock()
	have, ok := r.known[o]
	r.mu.RUnlock()
	if ok && have.text == text && have.claim == what.claim {
		return
	}
	where := place(o.Namespace, anyLabel)
	// The last label is mostly the one that tells instances apart.
	if equal := kube.EqualLabels(what.selector); len(equal) > 0 {
		where = place(o.Namespace, equal[len(equal)-1])
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(o)
	r.known[o] = placed{text: text, place: where, claim: what.claim}
	if r.byLabel[where] == nil {
		r.byLabel[where] = map[object]watched{}
	}
	r.byLabel[where][o] = what
}

// forget removes the object.
func (r *rivals) forget(o object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(o)
}

func (r *rivals) drop(o object) {
	have, ok := r.known[o]
	if !ok {
		return
	}
	delete(r.known, o)
	delete(r.byLabel[have.place], o)
	if len(r.byLabel[have.place]) == 0 {
		delete(r.byLabel, have.place)
	}
}

// of names, sorted, the objects that count any of the pods, or nothing where
// these are fewer than two.
func (r *rivals) of(namespace string, pods []*corev1.Pod, whose ownership) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	found := map[object]bool{}
	seen := map[string]bool{}
	for _, pod := range pods {
		// The pods of one controller have the same labels but for few.
		key := labels.Set(pod.Labels).String()
		if owner := metav1.GetControllerOfNoCopy(pod); owner != nil {
			key += "/" + string(owner.UID)
		}
		if seen[key] {
			continue
		}
		seen[key] = true
		r.match(place(namespace, anyLabel), pod, whose, found)
		for k, v := range pod.Labels {
			r.match(place(namespace, k+"="+v), pod, whose, found)
		}
	}
	if len(found) < 2 {
		return nil
	}
	names := make([]string, 0, len(found))
	for o := range found {
		names = append(names, o.String())
	}
	slices.Sort(names)
	return names
}

func (r *rivals) match(where string, pod *corev1.Pod, whose ownership, found map[object]bool) {
	for o, what := range r.byLabel[where] {
		if !found[o] && what.selector.Matches(labels.Set(pod.Labels)) && whose.counts(pod, what.claim) {
			found[o] = true
		}
	}
}
