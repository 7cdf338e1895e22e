package policies

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ownfake "sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
)

const namespace = "shop"

func policy(name string, born int, spec v1alpha1.VerticalScalingPolicySpec) *v1alpha1.VerticalScalingPolicy {
	spec.TargetRef.Name = "web"
	return &v1alpha1.VerticalScalingPolicy{Spec: spec, ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(time.Unix(int64(born), 0)),
	}}
}

// kinds has the fake client listed and watched the way that it can.
type kinds struct{ client.WithWatch }

// IsWatchListSemanticsUnSupported tells the informers.
func (kinds) IsWatchListSemanticsUnSupported() bool { return true }

// filled gives a cache of a client's policies, inside a bubble.
func filled(t *testing.T, own client.WithWatch) *Cache {
	t.Helper()
	c, err := New(kinds{own})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
	return c
}

func builder(t *testing.T) *ownfake.ClientBuilder {
	t.Helper()
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	return ownfake.NewClientBuilder().WithScheme(scheme)
}

func TestTheOlderHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := v1alpha1.VerticalScalingPolicySpec{}
		leaving := policy("leaving", 0, spec)
		now := metav1.Now()
		leaving.DeletionTimestamp, leaving.Finalizers = &now, []string{"example.com/kept"}
		own := builder(t).WithObjects(policy("b", 1, spec), policy("a", 1, spec), policy("older", 0, spec), leaving).Build()
		c := filled(t, own)
		var got []string
		for _, p := range c.On(types.NamespacedName{Namespace: namespace, Name: "web"}) {
			got = append(got, p.Name)
		}
		if diff := cmp.Diff([]string{"older", "a", "b"}, got); diff != "" {
			t.Errorf("policies of one object (-want +got):\n%s", diff)
		}
		if c.Recommender(namespace, "api") != nil || c.Updater("other", "web", time.Now()) != nil || c.Admission(namespace, "api") != nil {
			t.Error("another object has a policy")
		}
	})
}

func TestProjections(t *testing.T) {
	p95, zero, most := int32(95), int32(0), intstr.FromInt32(2)
	hour := metav1.Duration{Duration: time.Hour}
	nightly := v1alpha1.RecurringWindow{Cron: "0 2 * * *", TimeZone: "Etc/UTC", Duration: hour}
	wrong := v1alpha1.RecurringWindow{Cron: "61 2 * * *", Duration: hour}
	written := policy("web", 0, v1alpha1.VerticalScalingPolicySpec{
		Mode: v1alpha1.ModeRecommend, CPU: &v1alpha1.Estimation{TargetPercentile: &p95, MarginPercent: &zero, HalfLife: &hour},
		MemoryWindow: &hour, MemoryWindows: &p95,
		Disruption: &v1alpha1.Disruption{MaxUnavailable: &most, MinInterval: &hour, Windows: []v1alpha1.RecurringWindow{wrong, nightly}, Surge: "Always"},
		Breaker:    &v1alpha1.Breaker{Failures: 3, ReadyWithin: hour, ResetAfter: hour},
		Fit:        v1alpha1.FitRequire, WithHPA: v1alpha1.WithHPABound,
		ColdStart: []v1alpha1.ColdStartSource{"Image", "Floor"}, Runtimes: []v1alpha1.RuntimeSetting{"GoMemLimit"},
	})
	kept, err := read(written)
	if err != nil {
		t.Fatal(err)
	}
	p := kept.(*Policy)
	attached, margin := verticalpolicy.Attached{Name: "web", Mode: verticalpolicy.ModeRecommend}, 0.0
	recommender := &verticalpolicy.Recommender{
		Attached: attached, CPU: verticalpolicy.Estimation{Target: 0.95, Margin: &margin, HalfLife: time.Hour},
		MemoryWindow: time.Hour, MemoryWindows: 95, Bound: true, ColdStart: []string{verticalpolicy.StartImage, verticalpolicy.StartFloor},
	}
	if diff := cmp.Diff(recommender, p.recommender()); diff != "" {
		t.Errorf("recommender (-want +got):\n%s", diff)
	}
	opens := time.Date(2026, 7, 2, 2, 0, 0, 0, time.UTC)
	updater := &verticalpolicy.Updater{
		Attached: attached, RequireFit: true,
		Disruption: verticalpolicy.Disruption{
			MaxUnavailable: &most, MinInterval: time.Hour, Windowed: true, Surge: verticalpolicy.SurgeAlways,
			Windows: []verticalpolicy.Window{{Opens: opens, Closes: opens.Add(time.Hour)}},
		},
		Breaker: &verticalpolicy.Breaker{Failures: 3, ReadyWithin: time.Hour, ResetAfter: time.Hour},
	}
	if diff := cmp.Diff(updater, p.updater(opens.Add(-time.Hour))); diff != "" {
		t.Errorf("updater (-want +got):\n%s", diff)
	}
	admission := &verticalpolicy.Admission{Attached: attached, Runtimes: []string{verticalpolicy.RuntimeGo}}
	if diff := cmp.Diff(admission, p.admission()); diff != "" {
		t.Errorf("admission (-want +got):\n%s", diff)
	}
	if fault := p.Fault(); fault == nil || !strings.Contains(fault.Error(), `disruption.windows[0]: cron "61 2 * * *"`) {
		t.Errorf("the fault is %v", fault)
	}
}

// The least that the API server lets through says nothing.
func TestAnEmptyPolicyChangesNothing(t *testing.T) {
	kept, err := read(policy("web", 0, v1alpha1.VerticalScalingPolicySpec{Mode: v1alpha1.ModeAuto, Fit: v1alpha1.FitIgnore, WithHPA: v1alpha1.WithHPAReport}))
	if err != nil {
		t.Fatal(err)
	}
	p := kept.(*Policy)
	attached := verticalpolicy.Attached{Name: "web", Mode: verticalpolicy.ModeAuto}
	for what, diff := range map[string]string{
		"recommender": cmp.Diff(&verticalpolicy.Recommender{Attached: attached}, p.recommender()),
		"updater":     cmp.Diff(&verticalpolicy.Updater{Attached: attached}, p.updater(time.Now())),
		"admission":   cmp.Diff(&verticalpolicy.Admission{Attached: attached}, p.admission()),
	} {
		if diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

func TestWatchTellsOfEditsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := builder(t).WithObjects(policy("a", 0, v1alpha1.VerticalScalingPolicySpec{})).
			WithStatusSubresource(&v1alpha1.VerticalScalingPolicy{}).Build()
		c := filled(t, own)
		var told []string
		stop, err := c.Watch(func(vpa types.NamespacedName) { told = append(told, vpa.Name) })
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		key := client.ObjectKey{Namespace: namespace, Name: "a"}
		change := func(change func(*v1alpha1.VerticalScalingPolicy), write func(context.Context, *v1alpha1.VerticalScalingPolicy) error) {
			t.Helper()
			p := &v1alpha1.VerticalScalingPolicy{}
			if err := own.Get(t.Context(), key, p); err != nil {
				t.Fatal(err)
			}
			change(p)
			if err := write(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		update := func(ctx context.Context, p *v1alpha1.VerticalScalingPolicy) error { return own.Update(ctx, p) }
		synctest.Wait()
		change(func(p *v1alpha1.VerticalScalingPolicy) { p.Status.ObservedGeneration = 3 },
			func(ctx context.Context, p *v1alpha1.VerticalScalingPolicy) error {
				return own.Status().Update(ctx, p)
			})
		change(func(p *v1alpha1.VerticalScalingPolicy) { p.Spec.TargetRef.Name = "api" }, update)
		change(func(p *v1alpha1.VerticalScalingPolicy) { p.Spec.Mode = v1alpha1.ModeOff }, update)
		change(func(*v1alpha1.VerticalScalingPolicy) {},
			func(ctx context.Context, p *v1alpha1.VerticalScalingPolicy) error { return own.Delete(ctx, p) })
		if diff := cmp.Diff([]string{"web", "web", "api", "api", "api"}, told); diff != "" {
			t.Errorf("told of (-want +got):\n%s", diff)
		}
	})
}

// Without the definition nothing has a policy and nobody waits; with it they are
// served within a minute.
func TestWithoutTheDefinition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		missing := true
		own := builder(t).WithObjects(policy("a", 0, v1alpha1.VerticalScalingPolicySpec{})).WithInterceptorFuncs(interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
				if missing {
					return &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: verticalpolicy.Kind}}
				}
				return c.List(ctx, list, o...)
			},
		}).Build()
		c := filled(t, own)
		if !c.Synced() || c.Recommender(namespace, "web") != nil {
			t.Error("it waits for a kind that is not installed")
		}
		if detail, err := c.Check().Func(t.Context()); err != nil || !strings.HasPrefix(detail, "not served: ") {
			t.Errorf("readiness says %q, %v", detail, err)
		}
		missing = false
		time.Sleep(time.Minute)
		synctest.Wait()
		if c.Recommender(namespace, "web") == nil {
			t.Error("it is not served a minute after the definition was installed")
		}
	})
}

func TestNilHoldsNone(t *testing.T) {
	c, err := New(nil)
	if err != nil || c != nil {
		t.Fatalf("%v, %v", c, err)
	}
	c.Run(t.Context())
	stop, err := c.Watch(func(types.NamespacedName) { t.Error("called back") })
	if err != nil || !c.Synced() || c.Recommender(namespace, "web") != nil || c.Get(types.NamespacedName{}) != nil {
		t.Errorf("%v, synced %v", err, c.Synced())
	}
	stop()
	if detail, err := c.Check().Func(t.Context()); err != nil || detail != "not served" {
		t.Errorf("readiness says %q, %v", detail, err)
	}
}
