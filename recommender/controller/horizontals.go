package controller

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// horizontals holds what scales workloads by the utilization of their requests:
// HorizontalPodAutoscalers and HorizontalScalers, of each what it follows. Either
// kind may be missing or not readable: then it tells of none. Its methods may be
// called on nil.
type horizontals struct{ hpas, scalers *kube.Custom }

// horizontal is what is kept of a scaler.
type horizontal struct {
	metav1.ObjectMeta
	target string
	scaler estimator.Horizontal
}

const byWorkload = "workload"

// newHorizontals makes the caches; nil without a client.
func newHorizontals(own client.WithWatch) (*horizontals, error) {
	if own == nil {
		return nil, nil
	}
	h := &horizontals{}
	var err error
	h.hpas, err = kube.NewCustom(horizontalsOf(own, "HorizontalPodAutoscalers", &autoscalingv2.HorizontalPodAutoscaler{},
		func() client.ObjectList { return &autoscalingv2.HorizontalPodAutoscalerList{} }))
	if err != nil {
		return nil, err
	}
	h.scalers, err = kube.NewCustom(horizontalsOf(own, "HorizontalScalers", &v1alpha1.HorizontalScaler{},
		func() client.ObjectList { return &v1alpha1.HorizontalScalerList{} }))
	return h, err
}

func horizontalsOf(own client.WithWatch, objects string, object client.Object, list func() client.ObjectList) kube.CustomConfig {
	return kube.CustomConfig{
		Client: own, Objects: objects, Object: object, List: list, Transform: reduceHorizontal,
		Indexers: cache.Indexers{byWorkload: func(o any) ([]string, error) {
			if h, ok := o.(*horizontal); ok && len(h.scaler.Follows) > 0 {
				return []string{h.target}, nil
			}
			return nil, nil
		}},
		Log: func(ctx context.Context, why error) {
			if why != nil {
				telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelInfo, objects+" cannot be read: that one follows the same requests is not told of",
					slog.Any("error", why))
			}
		},
	}
}

// reduceHorizontal keeps what it scales and which requests it follows.
func reduceHorizontal(o any) (any, error) {
	switch o := o.(type) {
	case *autoscalingv2.HorizontalPodAutoscaler:
		return newHorizontal("HorizontalPodAutoscaler", &o.ObjectMeta, o.Spec.ScaleTargetRef, o.Spec.Metrics), nil
	case *v1alpha1.HorizontalScaler:
		return newHorizontal("HorizontalScaler", &o.ObjectMeta, o.Spec.ScaleTargetRef, o.Spec.Metrics), nil
	}
	return o, nil
}

func newHorizontal(kind string, m *metav1.ObjectMeta, target autoscalingv2.CrossVersionObjectReference, metrics []autoscalingv2.MetricSpec) *horizontal {
	out := &horizontal{
		ObjectMeta: metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion},
		target:     workloadKey(m.Namespace, target.Kind, target.Name),
		scaler:     estimator.Horizontal{Kind: kind, Name: m.Name},
	}
	for i := range metrics {
		var f estimator.Followed
		switch metric := &metrics[i]; {
		case metric.Resource != nil && metric.Resource.Target.AverageUtilization != nil:
			f.Resource = string(metric.Resource.Name)
		case metric.ContainerResource != nil && metric.ContainerResource.Target.AverageUtilization != nil:
			f.Resource, f.Container = string(metric.ContainerResource.Name), metric.ContainerResource.Container
		}
		if f.Resource == string(corev1.ResourceCPU) || f.Resource == string(corev1.ResourceMemory) {
			out.scaler.Follows = append(out.scaler.Follows, f)
		}
	}
	slices.SortFunc(out.scaler.Follows, func(a, b estimator.Followed) int {
		return cmp.Or(strings.Compare(a.Resource, b.Resource), strings.Compare(a.Container, b.Container))
	})
	return out
}

func workloadKey(namespace, kind, name string) string { return namespace + "/" + kind + "/" + name }

func (h *horizontals) run(ctx context.Context) {
	if h == nil {
		return
	}
	go h.scalers.Run(ctx)
	h.hpas.Run(ctx)
}

func (h *horizontals) synced() bool { return h == nil || h.hpas.Synced() && h.scalers.Synced() }

// of gives those that scale a target by its requests, by kind and name.
func (h *horizontals) of(namespace string, target estimator.Target) []estimator.Horizontal {
	if h == nil {
		return nil
	}
	var out []estimator.Horizontal
	for _, kind := range []*kube.Custom{h.hpas, h.scalers} {
		first := len(out)
		for _, o := range kind.ByIndex(byWorkload, workloadKey(namespace, target.Kind, target.Name)) {
			if h, ok := o.(*horizontal); ok {
				out = append(out, h.scaler)
			}
		}
		slices.SortFunc(out[first:], func(a, b estimator.Horizontal) int { return strings.Compare(a.Name, b.Name) })
	}
	return out
}
