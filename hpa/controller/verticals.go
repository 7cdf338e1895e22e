package controller

import (
	"cmp"
	"context"
	"log/slog"
	"slices"

	corev1 "k8s.io/api/core/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// verticals holds the cluster's VerticalPodAutoscalers, where there are any: they
// change what a utilization is a percentage of. Its methods may be called on nil,
// which holds none.
type verticals struct{ *kube.Custom }

// newVerticals makes the cache; nil without a client.
func newVerticals(c client.WithWatch) (*verticals, error) {
	if c == nil {
		return nil, nil
	}
	custom, err := kube.NewCustom(kube.CustomConfig{
		Client: c, Objects: "VerticalPodAutoscalers",
		Object: &vpav1.VerticalPodAutoscaler{}, List: func() client.ObjectList { return &vpav1.VerticalPodAutoscalerList{} },
		Transform: reduceVertical, Indexers: cache.Indexers{byWorkload: verticalKeys},
		Log: func(ctx context.Context, why error) {
			if why != nil {
				telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelInfo, "VerticalPodAutoscalers cannot be read: that one changes the same requests is not told of",
					slog.Any("error", why))
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return &verticals{custom}, nil
}

// reduceVertical keeps what it scales and what it controls.
func reduceVertical(o any) (any, error) {
	vpa, ok := o.(*vpav1.VerticalPodAutoscaler)
	if !ok {
		return o, nil
	}
	out := &vpav1.VerticalPodAutoscaler{}
	out.Name, out.Namespace, out.UID, out.ResourceVersion = vpa.Name, vpa.Namespace, vpa.UID, vpa.ResourceVersion
	out.Spec.TargetRef, out.Spec.UpdatePolicy = vpa.Spec.TargetRef, vpa.Spec.UpdatePolicy
	if p := vpa.Spec.ResourcePolicy; p != nil {
		out.Spec.ResourcePolicy = &vpav1.PodResourcePolicy{}
		for _, c := range p.ContainerPolicies {
			out.Spec.ResourcePolicy.ContainerPolicies = append(out.Spec.ResourcePolicy.ContainerPolicies,
				vpav1.ContainerResourcePolicy{ContainerName: c.ContainerName, Mode: c.Mode, ControlledResources: c.ControlledResources})
		}
	}
	return out, nil
}

func verticalKey(namespace, kind, name string) string { return namespace + "/" + kind + "/" + name }

func verticalKeys(o any) ([]string, error) {
	vpa, ok := o.(*vpav1.VerticalPodAutoscaler)
	if !ok || vpa.Spec.TargetRef == nil {
		return nil, nil
	}
	return []string{verticalKey(vpa.Namespace, vpa.Spec.TargetRef.Kind, vpa.Spec.TargetRef.Name)}, nil
}

func (v *verticals) run(ctx context.Context) {
	if v != nil {
		v.Run(ctx)
	}
}

func (v *verticals) synced() bool { return v == nil || v.Synced() }

// of gives those that act on the target, with what they control of the containers
// of its pods.
func (v *verticals) of(namespace string, target replicas.Target, pods []*corev1.Pod) []replicas.Vertical {
	if v == nil {
		return nil
	}
	var out []replicas.Vertical
	for _, o := range v.ByIndex(byWorkload, verticalKey(namespace, target.Kind, target.Name)) {
		vpa, ok := o.(*vpav1.VerticalPodAutoscaler)
		if !ok {
			continue
		}
		if p := vpa.Spec.UpdatePolicy; p != nil && p.UpdateMode != nil && *p.UpdateMode == vpav1.UpdateModeOff {
			continue
		}
		out = append(out, replicas.Vertical{Name: vpa.Name, Controls: controls(vpa, containersOf(pods))})
	}
	slices.SortFunc(out, func(a, b replicas.Vertical) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// containersOf are the names of the pods' containers.
func containersOf(pods []*corev1.Pod) []string {
	var out []string
	for _, pod := range pods {
		for i := range pod.Spec.Containers {
			if name := pod.Spec.Containers[i].Name; !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// controls are the resources that it sets, by container.
func controls(vpa *vpav1.VerticalPodAutoscaler, containers []string) map[string][]string {
	own, rest := map[string][]string{}, []string{replicas.CPU, string(corev1.ResourceMemory)}
	if p := vpa.Spec.ResourcePolicy; p != nil {
		for i := range p.ContainerPolicies {
			c := &p.ContainerPolicies[i]
			resources := controlled(c)
			if c.ContainerName == vpav1.DefaultContainerResourcePolicy {
				rest = resources
				continue
			}
			own[c.ContainerName] = resources
		}
	}
	out := make(map[string][]string, len(containers))
	for _, name := range containers {
		resources, named := own[name]
		if !named {
			resources = rest
		}
		if len(resources) > 0 {
			out[name] = resources
		}
	}
	return out
}

// controlled are the resources of one container, all where it does not say.
func controlled(c *vpav1.ContainerResourcePolicy) []string {
	if c.Mode != nil && *c.Mode == vpav1.ContainerScalingModeOff {
		return nil
	}
	if c.ControlledResources == nil {
		return []string{replicas.CPU, string(corev1.ResourceMemory)}
	}
	var out []string
	for _, r := range *c.ControlledResources {
		out = append(out, string(r))
	}
	slices.Sort(out)
	return out
}
