package vertical

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	vpaclient "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned"
	vpainformers "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/informers/externalversions/autoscaling.k8s.io/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
)

// byTarget indexes objects by namespace and target.
const byTarget = "target"

// Objects holds all VerticalPodAutoscalers. What it returns is shared and must
// not be changed.
type Objects struct {
	informer cache.SharedIndexInformer
}

// NewObjects makes the cache. It fills while Run runs.
func NewObjects(client vpaclient.Interface) (*Objects, error) {
	informer := vpainformers.NewVerticalPodAutoscalerInformer(client, metav1.NamespaceAll, 0, cache.Indexers{byTarget: targetKeys})
	err := informer.SetTransform(func(o any) (any, error) {
		if vpa, ok := o.(*vpav1.VerticalPodAutoscaler); ok {
			vpa.ManagedFields = nil
		}
		return o, nil
	})
	return &Objects{informer: informer}, err
}

// Run fills the cache and keeps it current until the context ends.
func (c *Objects) Run(ctx context.Context) { c.informer.RunWithContext(ctx) }

// Synced tells whether the cache has seen all objects once.
func (c *Objects) Synced() bool { return c.informer.HasSynced() }

// Get finds an object; nil where there is none.
func (c *Objects) Get(namespace, name string) *vpav1.VerticalPodAutoscaler {
	o, found, err := c.informer.GetIndexer().GetByKey(namespace + "/" + name)
	if err != nil || !found {
		return nil
	}
	vpa, _ := o.(*vpav1.VerticalPodAutoscaler)
	return vpa
}

// All gives every object, ordered by namespace and name.
func (c *Objects) All() []*vpav1.VerticalPodAutoscaler {
	out := typed(c.informer.GetIndexer().List())
	slices.SortFunc(out, func(a, b *vpav1.VerticalPodAutoscaler) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return out
}

// Targeting gives the objects that scale a target, the oldest first: of several
// that one scales.
func (c *Objects) Targeting(namespace string, target Ref) []*vpav1.VerticalPodAutoscaler {
	found, err := c.informer.GetIndexer().ByIndex(byTarget, key(namespace, target))
	if err != nil {
		return nil
	}
	out := typed(found)
	slices.SortFunc(out, func(a, b *vpav1.VerticalPodAutoscaler) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	return out
}

func typed(objects []any) []*vpav1.VerticalPodAutoscaler {
	out := make([]*vpav1.VerticalPodAutoscaler, 0, len(objects))
	for _, o := range objects {
		if vpa, ok := o.(*vpav1.VerticalPodAutoscaler); ok {
			out = append(out, vpa)
		}
	}
	return out
}

func targetKeys(o any) ([]string, error) {
	vpa, ok := o.(*vpav1.VerticalPodAutoscaler)
	if !ok || vpa.Spec.TargetRef == nil {
		return nil, nil
	}
	return []string{key(vpa.Namespace, Target(vpa))}, nil
}

// Target is what the object scales; zero where it does not say.
func Target(vpa *vpav1.VerticalPodAutoscaler) Ref {
	if vpa.Spec.TargetRef == nil {
		return Ref{}
	}
	return Ref{Kind: vpa.Spec.TargetRef.Kind, Name: vpa.Spec.TargetRef.Name}
}

// UpdateMode is the object's, Recreate where it does not say.
func UpdateMode(vpa *vpav1.VerticalPodAutoscaler) vpav1.UpdateMode {
	if p := vpa.Spec.UpdatePolicy; p != nil && p.UpdateMode != nil && *p.UpdateMode != "" {
		return *p.UpdateMode
	}
	return vpav1.UpdateModeRecreate
}

// Recommendations are those of the status, without what only informs.
func Recommendations(vpa *vpav1.VerticalPodAutoscaler) []resourcepolicy.Recommendation {
	if vpa.Status.Recommendation == nil {
		return nil
	}
	var out []resourcepolicy.Recommendation
	for _, r := range vpa.Status.Recommendation.ContainerRecommendations {
		out = append(out, resourcepolicy.Recommendation{
			ContainerName: r.ContainerName, Target: r.Target, LowerBound: r.LowerBound, UpperBound: r.UpperBound,
		})
	}
	return out
}

// Policy is the resource policy as far as requests and limits depend on it.
func Policy(vpa *vpav1.VerticalPodAutoscaler) *vpav1.PodResourcePolicy {
	if vpa.Spec.ResourcePolicy == nil || len(vpa.Spec.ResourcePolicy.ContainerPolicies) == 0 {
		return nil
	}
	out := &vpav1.PodResourcePolicy{}
	for _, p := range vpa.Spec.ResourcePolicy.ContainerPolicies {
		out.ContainerPolicies = append(out.ContainerPolicies, vpav1.ContainerResourcePolicy{
			ContainerName: p.ContainerName, Mode: p.Mode, MinAllowed: p.MinAllowed, MaxAllowed: p.MaxAllowed,
			ControlledValues: p.ControlledValues, StartupBoost: p.StartupBoost,
		})
	}
	return out
}

// Containers are the pod's with the resources that are in force: those that the
// kubelet reports, else those of the spec.
func Containers(pod *corev1.Pod) []resourcepolicy.Container {
	out := make([]resourcepolicy.Container, 0, len(pod.Spec.Containers))
	for _, c := range pod.Spec.Containers {
		in := resourcepolicy.Container{Name: c.Name, Requests: c.Resources.Requests, Limits: c.Resources.Limits}
		for _, status := range pod.Status.ContainerStatuses {
			if status.Name == c.Name && status.Resources != nil {
				in.Requests, in.Limits = status.Resources.Requests, status.Resources.Limits
			}
		}
		out = append(out, in)
	}
	return out
}

// UTC is a time as snapshots hold it: in UTC, zero where it is not set.
func UTC(at *metav1.Time) time.Time {
	if at == nil || at.IsZero() {
		return time.Time{}
	}
	return at.UTC()
}
