package lab

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"
)

// The annotations that kwok's stock usage expression reads. It gives each container of a pod what they say.
const (
	cpuAnnotation    = "kwok.x-k8s.io/usage-cpu"
	memoryAnnotation = "kwok.x-k8s.io/usage-memory"
)

// Usage is what each fake pod of a selection uses from now on.
type Usage struct {
	Namespace string
	Selector  labels.Selector   // nil selects every pod of the namespace
	CPU       resource.Quantity // of the whole pod
	Memory    resource.Quantity // of the whole pod
}

// usageModel holds the usage that was set and brings it to pods as they come. Of several that select one pod the
// one set last counts.
type usageModel struct {
	client ctrlclient.Client
	pods   cache.SharedIndexInformer

	mu    sync.Mutex
	rules []Usage
}

// SetUsage models load: the pods of the selection, those that exist and those to come, use that much from now on.
// It returns when the existing pods say so. Setting a selection again replaces what was set for it.
func (l *Lab) SetUsage(ctx context.Context, u Usage) error {
	if u.Selector == nil {
		u.Selector = labels.Everything()
	}
	model, err := l.usageModel(ctx)
	if err != nil {
		return err
	}
	model.set(u)
	var errs []error
	for _, object := range model.pods.GetStore().List() {
		errs = append(errs, model.apply(ctx, object))
	}
	return errors.Join(errs...)
}

// usageModel returns the lab's model, and starts its watch at the first call.
func (l *Lab) usageModel(ctx context.Context) (*usageModel, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.usage != nil {
		return l.usage, nil
	}
	client, err := kubernetes.NewForConfig(l.config)
	if err != nil {
		return nil, fmt.Errorf("making the load model's client: %w", err)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	model := &usageModel{client: l.client, pods: factory.Core().V1().Pods().Informer()}
	apply := func(object any) {
		if err := model.apply(l.background, object); err != nil && l.background.Err() == nil {
			l.say("%v", err)
		}
	}
	_, err = model.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    apply,
		UpdateFunc: func(_, object any) { apply(object) },
	})
	if err != nil {
		return nil, fmt.Errorf("watching pods for the load model: %w", err)
	}
	l.goBackground(func() { model.pods.Run(l.background.Done()) })
	if !cache.WaitForCacheSync(ctx.Done(), model.pods.HasSynced) {
		return nil, fmt.Errorf("reading pods for the load model: %w", context.Cause(ctx))
	}
	l.usage = model
	return model, nil
}

func (m *usageModel) set(u Usage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, rule := range m.rules {
		if rule.Namespace == u.Namespace && rule.Selector.String() == u.Selector.String() {
			m.rules = append(m.rules[:i], m.rules[i+1:]...)
			break
		}
	}
	m.rules = append(m.rules, u)
}

// find returns the usage of a pod.
func (m *usageModel) find(pod *corev1.Pod) (Usage, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := len(m.rules) - 1; i >= 0; i-- {
		rule := m.rules[i]
		if rule.Namespace == pod.Namespace && rule.Selector.Matches(labels.Set(pod.Labels)) {
			return rule, true
		}
	}
	return Usage{}, false
}

// apply writes a pod's usage where it does not say so yet. A pod that went meanwhile uses nothing.
func (m *usageModel) apply(ctx context.Context, object any) error {
	pod, ok := object.(*corev1.Pod)
	if !ok || pod.DeletionTimestamp != nil {
		return nil
	}
	usage, ok := m.find(pod)
	if !ok {
		return nil
	}
	containers := int64(max(1, len(pod.Spec.Containers)))
	cpu := resource.NewMilliQuantity(usage.CPU.MilliValue()/containers, resource.DecimalSI).String()
	memory := resource.NewQuantity(usage.Memory.Value()/containers, resource.BinarySI).String()
	if pod.Annotations[cpuAnnotation] == cpu && pod.Annotations[memoryAnnotation] == memory {
		return nil
	}
	target := &corev1.Pod{}
	target.Namespace, target.Name = pod.Namespace, pod.Name
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q,%q:%q}}}`, cpuAnnotation, cpu, memoryAnnotation, memory)
	err := m.client.Patch(ctx, target, ctrlclient.RawPatch("application/merge-patch+json", patch))
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("setting the usage of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}
