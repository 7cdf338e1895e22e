package controller

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// The annotations of a kubelet's event about a pod that it evicted from a node
// that ran out of a resource: containers, what each used, and of what resource,
// each separated by commas.
const (
	offending      = "offending_containers"
	offendingUsage = "offending_containers_usage"
	starved        = "starved_resource"
)

// byPod indexes events by the pod that they are about.
const byPod = "pod"

// evictions holds the events of pods that kubelets evicted: the containers that
// used the most memory count as killed for it.
type evictions struct {
	informer cache.SharedIndexInformer
}

func newEvictions(client kubernetes.Interface, namespace string) (*evictions, error) {
	evicted := fields.Set{"reason": "Evicted"}.AsSelector().String()
	informer := coreinformers.NewFilteredEventInformer(client, namespace, 0, cache.Indexers{byPod: podKeys},
		func(o *metav1.ListOptions) { o.FieldSelector = evicted })
	if err := informer.SetTransform(reduceEvent); err != nil {
		return nil, err
	}
	return &evictions{informer: informer}, nil
}

func (e *evictions) run(ctx context.Context) { e.informer.RunWithContext(ctx) }

// tell has each new event's pod looked at soon.
func (e *evictions) tell(pods *podCache, wake func(*podRecord)) error {
	_, err := e.informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(o any, initial bool) {
			event, ok := o.(*corev1.Event)
			if !ok || initial || len(event.Annotations) == 0 {
				return
			}
			if pod := pods.get(event.InvolvedObject.Namespace, event.InvolvedObject.Name); pod != nil {
				wake(pod)
			}
		},
	})
	return err
}

// over adds the last eviction for memory to each container of the pods.
func (e *evictions) over(namespace string, pods map[string]estimator.Pod) {
	if e == nil || len(e.informer.GetIndexer().ListKeys()) == 0 {
		return
	}
	for name, pod := range pods {
		found, err := e.informer.GetIndexer().ByIndex(byPod, namespace+"/"+name)
		if err != nil {
			continue
		}
		for _, o := range found {
			event, ok := o.(*corev1.Event)
			if !ok {
				continue
			}
			for container, kill := range evictedFor(event) {
				c, known := pod.Containers[container]
				if known && (c.Evicted == nil || kill.At.After(c.Evicted.At)) {
					c.Evicted = &kill
					pod.Containers[container] = c
				}
			}
		}
	}
}

// evictedFor are the containers that an event blames for using memory, with what
// they used as the request. Annotations that do not fit together say nothing.
func evictedFor(event *corev1.Event) map[string]estimator.Kill {
	parts := func(key string) []string {
		if text, found := event.Annotations[key]; found {
			return strings.Split(text, ",")
		}
		return nil
	}
	containers, used, of := parts(offending), parts(offendingUsage), parts(starved)
	if len(containers) != len(used) || len(containers) != len(of) {
		return nil
	}
	out := map[string]estimator.Kill{}
	for i, container := range containers {
		if of[i] != string(corev1.ResourceMemory) {
			continue
		}
		if memory, err := resource.ParseQuantity(used[i]); err == nil {
			out[container] = estimator.Kill{At: utc(event.CreationTimestamp.Time), Request: memory.Value()}
		}
	}
	return out
}

func podKeys(o any) ([]string, error) {
	event, ok := o.(*corev1.Event)
	if !ok || event.InvolvedObject.Kind != "Pod" {
		return nil, nil
	}
	return []string{types.NamespacedName{Namespace: event.InvolvedObject.Namespace, Name: event.InvolvedObject.Name}.String()}, nil
}

// reduceEvent keeps whom the event is about, when it was, and the annotations
// that are read.
func reduceEvent(o any) (any, error) {
	event, ok := o.(*corev1.Event)
	if !ok {
		return o, nil
	}
	out := &corev1.Event{}
	out.Namespace, out.Name, out.UID, out.ResourceVersion = event.Namespace, event.Name, event.UID, event.ResourceVersion
	out.CreationTimestamp, out.Reason = event.CreationTimestamp, event.Reason
	out.InvolvedObject = corev1.ObjectReference{
		Kind: event.InvolvedObject.Kind, Namespace: event.InvolvedObject.Namespace, Name: event.InvolvedObject.Name,
	}
	for _, key := range []string{offending, offendingUsage, starved} {
		if text, found := event.Annotations[key]; found {
			if out.Annotations == nil {
				out.Annotations = map[string]string{}
			}
			out.Annotations[key] = text
		}
	}
	return out, nil
}
