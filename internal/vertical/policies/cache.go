package policies

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/health"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
)

// objects names the kind in the plural.
const objects = "VerticalScalingPolicies"

// byVPA indexes policies by namespace and name of the VerticalPodAutoscaler.
const byVPA = "vpa"

// NewClient makes a client that a Cache reads by: of the suite's own kinds, of
// VerticalPodAutoscalers and of HorizontalPodAutoscalers.
func NewClient(config *rest.Config) (client.WithWatch, error) {
	scheme, err := NewScheme()
	if err != nil {
		return nil, err
	}
	own, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make a client of the own kinds: %w", err)
	}
	return own, nil
}

// NewScheme is the scheme of NewClient's client.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), vpav1.AddToScheme(scheme), autoscalingv2.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("make a client of the own kinds: %w", err)
	}
	return scheme, nil
}

// Cache holds all VerticalScalingPolicies. Its methods may be called on nil, which
// holds none. What it returns is shared and must not be changed.
type Cache struct{ custom *kube.Custom }

// New makes the cache; nil without a client. It fills while Run runs.
func New(own client.WithWatch) (*Cache, error) {
	if own == nil {
		return nil, nil
	}
	custom, err := kube.NewCustom(kube.CustomConfig{
		Client: own, Objects: objects,
		Object: &v1alpha1.VerticalScalingPolicy{}, List: func() client.ObjectList { return &v1alpha1.VerticalScalingPolicyList{} },
		Transform: read, Log: logReadable,
		Indexers: cache.Indexers{byVPA: func(o any) ([]string, error) {
			if p, ok := o.(*Policy); ok {
				return []string{p.VPA().String()}, nil
			}
			return nil, nil
		}},
	})
	if err != nil {
		return nil, err
	}
	return &Cache{custom}, nil
}

// logReadable tells when the kind cannot be read, and when it can again.
func logReadable(ctx context.Context, why error) {
	logger := telemetry.Logger(ctx)
	if why == nil {
		logger.LogAttrs(ctx, slog.LevelInfo, objects+" are served")
		return
	}
	logger.LogAttrs(ctx, slog.LevelWarn, objects+" are not served until they can be read; the chart installs their definition and the permission",
		slog.Any("error", why))
}

// Run fills the cache and keeps it current until the context ends.
func (c *Cache) Run(ctx context.Context) {
	if c != nil {
		c.custom.Run(ctx)
	}
}

// Synced tells whether all policies were seen once, or cannot be.
func (c *Cache) Synced() bool { return c == nil || c.custom.Synced() }

// Check is readiness' detail on the policies. That they are not served is no
// reason to be not ready.
func (c *Cache) Check() health.Check {
	return health.Check{Name: "vertical-scaling-policies", Func: func(context.Context) (string, error) {
		if c == nil {
			return "not served", nil
		}
		if why := c.custom.Unreadable(); why != nil {
			return fmt.Sprintf("not served: they cannot be read: %v", why), nil
		}
		return "served", nil
	}}
}

// Get finds a policy; nil where there is none.
func (c *Cache) Get(key types.NamespacedName) *Policy {
	if c == nil {
		return nil
	}
	p, _ := c.custom.Get(key.Namespace, key.Name).(*Policy)
	return p
}

// On gives the policies that are for a VerticalPodAutoscaler, the one that holds
// first: the older, and of two of an age the one whose name is first. Those being
// deleted are gone.
func (c *Cache) On(vpa types.NamespacedName) []*Policy {
	if c == nil {
		return nil
	}
	found := c.custom.ByIndex(byVPA, vpa.String())
	if len(found) == 0 {
		return nil
	}
	out := make([]*Policy, 0, len(found))
	for _, o := range found {
		if p, ok := o.(*Policy); ok && p.DeletionTimestamp == nil {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *Policy) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	return out
}

// holds gives the policy that holds for an object; nil for none.
func (c *Cache) holds(namespace, vpa string) *Policy {
	if on := c.On(types.NamespacedName{Namespace: namespace, Name: vpa}); len(on) > 0 {
		return on[0]
	}
	return nil
}

// Recommender gives what holds for the recommendation of a VerticalPodAutoscaler;
// nil where it has no policy.
func (c *Cache) Recommender(namespace, vpa string) *verticalpolicy.Recommender {
	if p := c.holds(namespace, vpa); p != nil {
		return p.recommender()
	}
	return nil
}

// Updater gives what holds at a time for updates of the pods of a
// VerticalPodAutoscaler; nil where it has no policy.
func (c *Cache) Updater(namespace, vpa string, now time.Time) *verticalpolicy.Updater {
	if p := c.holds(namespace, vpa); p != nil {
		return p.updater(now)
	}
	return nil
}

// Admission gives what holds for new pods of a VerticalPodAutoscaler; nil where it
// has no policy.
func (c *Cache) Admission(namespace, vpa string) *verticalpolicy.Admission {
	if p := c.holds(namespace, vpa); p != nil {
		return p.admission()
	}
	return nil
}

// Watch calls back with the VerticalPodAutoscaler of each policy that is there,
// appears, is edited or goes, with both where it is given another, until stop is
// called. Writes of a status are left out.
func (c *Cache) Watch(changed func(vpa types.NamespacedName)) (stop func(), err error) {
	return c.Each(func(before, after *Policy) {
		if before != nil && after != nil && !edited(before, after) {
			return
		}
		if before != nil && (after == nil || after.VPA() != before.VPA()) {
			changed(before.VPA())
		}
		if after != nil {
			changed(after.VPA())
		}
	})
}

func edited(before, after *Policy) bool {
	return before.UID != after.UID || (before.DeletionTimestamp == nil) != (after.DeletionTimestamp == nil) ||
		!equality.Semantic.DeepEqual(before.Spec, after.Spec)
}

// Each calls back for all that happens to policies until stop is called; before is
// nil for one that is there or appears, after for one that goes.
func (c *Cache) Each(call func(before, after *Policy)) (stop func(), err error) {
	if c == nil {
		return func() {}, nil
	}
	tell := func(before, after any) {
		if gone, ok := before.(cache.DeletedFinalStateUnknown); ok {
			before = gone.Obj
		}
		was, _ := before.(*Policy)
		is, _ := after.(*Policy)
		if was != nil || is != nil {
			call(was, is)
		}
	}
	informer := c.custom.Informer()
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { tell(nil, o) }, UpdateFunc: tell, DeleteFunc: func(o any) { tell(o, nil) },
	})
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", objects, err)
	}
	return func() { _ = informer.RemoveEventHandler(registration) }, nil
}
