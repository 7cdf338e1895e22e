package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/health"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// newOwnClient makes a client of the suite's own kinds, and of
// VerticalPodAutoscalers.
func newOwnClient(config *rest.Config) (client.WithWatch, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), vpav1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("make a client of the own kinds: %w", err)
	}
	own, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make a client of the own kinds: %w", err)
	}
	return own, nil
}

// scalerCache holds all HorizontalScalers. Its methods may be called on nil,
// which holds none.
type scalerCache struct{ *kube.Custom }

// newScalerCache makes the cache; nil without a client.
func newScalerCache(own client.WithWatch) (*scalerCache, error) {
	if own == nil {
		return nil, nil
	}
	custom, err := kube.NewCustom(kube.CustomConfig{
		Client: own, Objects: "HorizontalScalers",
		Object: &v1alpha1.HorizontalScaler{}, List: func() client.ObjectList { return &v1alpha1.HorizontalScalerList{} },
		Transform: withoutManagers, Log: logReadable("HorizontalScalers"),
		Indexers: cache.Indexers{byExternalMetric: func(o any) ([]string, error) {
			if scaler, ok := o.(*v1alpha1.HorizontalScaler); ok {
				return externalMetrics(asHPA(scaler))
			}
			return nil, nil
		}, byWorkload: func(o any) ([]string, error) {
			if scaler, ok := o.(*v1alpha1.HorizontalScaler); ok {
				return targetKeys(asHPA(scaler))
			}
			return nil, nil
		}},
	})
	if err != nil {
		return nil, err
	}
	return &scalerCache{custom}, nil
}

// logReadable tells when a kind cannot be read, and when it can again.
func logReadable(kind string) func(context.Context, error) {
	return func(ctx context.Context, why error) {
		logger := telemetry.Logger(ctx)
		if why == nil {
			logger.LogAttrs(ctx, slog.LevelInfo, kind+" are served")
			return
		}
		logger.LogAttrs(ctx, slog.LevelWarn, kind+" are not served until they can be read; the chart installs their definition and the permission",
			slog.Any("error", why))
	}
}

// withoutManagers drops what is large and never looked at.
func withoutManagers(o any) (any, error) {
	if object, ok := o.(metav1.Object); ok {
		object.SetManagedFields(nil)
	}
	return o, nil
}

// asHPA gives a HorizontalScaler as the HorizontalPodAutoscaler of its spec and
// status, with its own kind. It shares everything with it.
func asHPA(s *v1alpha1.HorizontalScaler) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: replicas.KindScaler},
		ObjectMeta: s.ObjectMeta,
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: s.Spec.ScaleTargetRef, MinReplicas: s.Spec.MinReplicas, MaxReplicas: s.Spec.MaxReplicas,
			Metrics: s.Spec.Metrics, Behavior: s.Spec.Behavior,
		},
		Status: s.Status,
	}
}

// scalerObject names a HorizontalScaler.
func scalerObject(s *v1alpha1.HorizontalScaler) object {
	return object{kind: replicas.KindScaler, NamespacedName: client.ObjectKeyFromObject(s)}
}

// scaler finds an object as it is; nil where there is none.
func (c *scalerCache) scaler(namespace, name string) *v1alpha1.HorizontalScaler {
	if c == nil {
		return nil
	}
	scaler, _ := c.Get(namespace, name).(*v1alpha1.HorizontalScaler)
	return scaler
}

func (c *scalerCache) get(namespace, name string) *autoscalingv2.HorizontalPodAutoscaler {
	if scaler := c.scaler(namespace, name); scaler != nil {
		return asHPA(scaler)
	}
	return nil
}

// found names the objects with a value in an index.
func (c *scalerCache) found(index, value string) []object {
	if c == nil {
		return nil
	}
	var keys []object
	for _, o := range c.ByIndex(index, value) {
		if scaler, ok := o.(*v1alpha1.HorizontalScaler); ok {
			keys = append(keys, scalerObject(scaler))
		}
	}
	return keys
}

func (c *scalerCache) synced() bool { return c == nil || c.Synced() }

// watch calls back as hpaCache.watch does.
func (c *scalerCache) watch(changed func(object)) (stop func(), err error) {
	if c == nil {
		return func() {}, nil
	}
	return watchObjects(c.Informer(), "HorizontalScalers", func(before, after *v1alpha1.HorizontalScaler) {
		if before == nil || after == nil || before.UID != after.UID || !equality.Semantic.DeepEqual(before.Spec, after.Spec) {
			changed(scalerObject(cmp.Or(after, before)))
		}
	})
}

func (c *scalerCache) check() health.Check {
	if c == nil {
		return served("horizontal-scalers", nil)
	}
	return served("horizontal-scalers", c.Custom)
}

func (p *policies) check() health.Check {
	if p == nil {
		return served("horizontal-scaling-policies", nil)
	}
	return served("horizontal-scaling-policies", p.Custom)
}

// served is readiness' detail on a kind of our own, nil for one that is not asked
// for; that it is not served is no reason to be not ready.
func served(name string, c *kube.Custom) health.Check {
	return health.Check{Name: name, Func: func(context.Context) (string, error) {
		if c == nil {
			return "not served", nil
		}
		if why := c.Unreadable(); why != nil {
			return fmt.Sprintf("not served: they cannot be read: %v", why), nil
		}
		return "served", nil
	}}
}
