package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"

	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// wellKnown are the kinds whose selector is read from the object itself. Of all
// others the scale subresource tells it.
var wellKnown = map[schema.GroupKind]schema.GroupVersionResource{
	{Group: "apps", Kind: "Deployment"}:        {Group: "apps", Version: "v1", Resource: "deployments"},
	{Group: "apps", Kind: "StatefulSet"}:       {Group: "apps", Version: "v1", Resource: "statefulsets"},
	{Group: "apps", Kind: "DaemonSet"}:         {Group: "apps", Version: "v1", Resource: "daemonsets"},
	{Group: "apps", Kind: "ReplicaSet"}:        {Group: "apps", Version: "v1", Resource: "replicasets"},
	{Group: "", Kind: "ReplicationController"}: {Version: "v1", Resource: "replicationcontrollers"},
	{Group: "batch", Kind: "Job"}:              {Group: "batch", Version: "v1", Resource: "jobs"},
	{Group: "batch", Kind: "CronJob"}:          {Group: "batch", Version: "v1", Resource: "cronjobs"},
}

// syncTimeout is how long the first look at a kind waits for its objects.
const syncTimeout = 10 * time.Second

// targets finds the pods' selector of a target. A kind is watched from the first
// VPA on that names it.
type targets struct {
	// life is how long informers run.
	life    context.Context
	client  dynamic.Interface
	scales  *kube.Scales
	only    string
	mu      sync.Mutex
	watched map[schema.GroupVersionResource]*targetCache
}

func newTargets(life context.Context, client dynamic.Interface, scales *kube.Scales, namespace string) *targets {
	return &targets{life: life, client: client, scales: scales, only: namespace,
		watched: map[schema.GroupVersionResource]*targetCache{}}
}

// selector gives the selector of the target's pods. Errors are for the object's
// owner to read.
func (t *targets) selector(ctx context.Context, namespace string, ref estimator.Target) (labels.Selector, error) {
	if ref.Kind == "" {
		return nil, cannotRead(errors.New("targetRef not defined"))
	}
	version, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return nil, cannotRead(err)
	}
	resource, known := wellKnown[schema.GroupKind{Group: version.Group, Kind: ref.Kind}]
	if !known {
		return t.scaled(ctx, namespace, ref)
	}
	object, err := t.object(ctx, resource, types.NamespacedName{Namespace: namespace, Name: ref.Name})
	if err != nil {
		return nil, cannotRead(err)
	}
	if object == nil {
		return nil, cannotRead(fmt.Errorf("%s %s/%s does not exist", ref.Kind, namespace, ref.Name))
	}
	if t.owned(ctx, object) {
		return nil, &configError{text: fmt.Sprintf("The target %s.%s/%s has a parent controller but it should point to a topmost well-known or scalable controller",
			ref.APIVersion, ref.Kind, ref.Name)}
	}
	if object.err != nil {
		return nil, cannotRead(object.err)
	}
	return object.selector, nil
}

// configError is what is wrong with a target, as the condition says it: in the
// upstream recommender's sentences.
type configError struct{ text string }

// Error is the sentence.
func (e *configError) Error() string { return e.text }

func cannotRead(err error) error {
	return &configError{text: "Cannot read targetRef. Reason: " + err.Error()}
}

func (t *targets) scaled(ctx context.Context, namespace string, ref estimator.Target) (labels.Selector, error) {
	scale, err := t.scales.Get(ctx, kube.Ref{Namespace: namespace, APIVersion: ref.APIVersion, Kind: ref.Kind, Name: ref.Name})
	if err != nil {
		return nil, cannotRead(err)
	}
	if scale.Status.Selector == "" {
		return nil, cannotRead(fmt.Errorf("the scale of %s %s/%s has no selector", ref.Kind, namespace, ref.Name))
	}
	selector, err := labels.Parse(scale.Status.Selector)
	if err != nil {
		return nil, cannotRead(err)
	}
	return selector, nil
}

// object finds a target in the cache of its kind; nil where there is none.
func (t *targets) object(ctx context.Context, resource schema.GroupVersionResource, key types.NamespacedName) (*targetRecord, error) {
	kind := t.kind(resource)
	if !kind.synced() {
		wait, cancel := context.WithTimeout(ctx, syncTimeout)
		defer cancel()
		if !cache.WaitForCacheSync(wait.Done(), kind.synced) {
			return nil, fmt.Errorf("%s are not listed yet", resource.Resource)
		}
	}
	return kind.get(key), nil
}

// kind is the cache of a kind, filled from the first question on.
func (t *targets) kind(resource schema.GroupVersionResource) *targetCache {
	t.mu.Lock()
	defer t.mu.Unlock()
	kind := t.watched[resource]
	if kind == nil {
		kind = newTargetCache(t.client, resource, t.only)
		t.watched[resource] = kind
		go kind.reflector.RunWithContext(t.life)
	}
	return kind
}

// jobLabels is where a CronJob has the labels of its pods.
var jobLabels = []string{"spec", "jobTemplate", "spec", "template", "metadata", "labels"}

func selectorOf(object *unstructured.Unstructured, kind string) (labels.Selector, error) {
	path := []string{"spec", "selector"}
	switch kind {
	case "CronJob":
		path = jobLabels
		fallthrough
	case "ReplicationController":
		set, _, err := unstructured.NestedStringMap(object.Object, path...)
		if err != nil {
			return nil, err
		}
		if len(set) == 0 {
			return labels.Nothing(), nil
		}
		return labels.SelectorFromSet(set), nil
	}
	content, _, err := unstructured.NestedMap(object.Object, path...)
	if err != nil {
		return nil, err
	}
	if content == nil {
		return labels.Nothing(), nil
	}
	var selector metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &selector); err != nil {
		return nil, err
	}
	return metav1.LabelSelectorAsSelector(&selector)
}

// owned tells whether the object's controller is itself one that a VPA can
// target: then that one is to be named.
func (t *targets) owned(ctx context.Context, object *targetRecord) bool {
	owner := object.owner
	if owner == nil {
		return false
	}
	version, err := schema.ParseGroupVersion(owner.APIVersion)
	if err != nil {
		return false
	}
	if _, known := wellKnown[schema.GroupKind{Group: version.Group, Kind: owner.Kind}]; known {
		return true
	}
	_, err = t.scales.Get(ctx, kube.Ref{
		Namespace: object.key.Namespace, APIVersion: owner.APIVersion, Kind: owner.Kind, Name: owner.Name,
	})
	return err == nil
}
