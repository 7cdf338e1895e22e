package controller

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ownfake "sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

// ownKinds is a fake client of the own kinds. Its watches begin with no list.
type ownKinds struct {
	client.WithWatch
	// absent is what reading fails with, nil for nothing.
	absent error
}

func (*ownKinds) IsWatchListSemanticsUnSupported() bool { return true }

func (o *ownKinds) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if o.absent != nil {
		return o.absent
	}
	return o.WithWatch.List(ctx, list, opts...)
}

func (o *ownKinds) Watch(ctx context.Context, list client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
	if o.absent != nil {
		return nil, o.absent
	}
	return o.WithWatch.Watch(ctx, list, opts...)
}

func newOwnKinds(t *testing.T, objects ...client.Object) *ownKinds {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return &ownKinds{WithWatch: ownfake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.HorizontalScaler{}, &v1alpha1.HorizontalScalingPolicy{}).Build()}
}

// serving has the shell serve the own kinds of a client.
func serving(t *testing.T, own client.WithWatch) func(*controller) {
	t.Helper()
	return func(c *controller) {
		var err error
		if c.objects.scalers, err = newScalerCache(own); err != nil {
			t.Fatal(err)
		}
		if c.objects.policies, err = newPolicies(own); err != nil {
			t.Fatal(err)
		}
		c.publisher.statuses.own = own
		c.policyStatuses = &policyStatuses{
			policies: c.objects.policies, hpas: c.objects.hpas, own: own, recorder: c.publisher.recorder,
		}
	}
}

func webScaler() *v1alpha1.HorizontalScaler {
	hpa := webHPA()
	return &v1alpha1.HorizontalScaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "s1", Generation: 1},
		Spec: v1alpha1.HorizontalScalerSpec{
			ScaleTargetRef: hpa.Spec.ScaleTargetRef, MinReplicas: hpa.Spec.MinReplicas, MaxReplicas: hpa.Spec.MaxReplicas,
			Metrics: hpa.Spec.Metrics,
		},
	}
}

func scalerStatus(t *testing.T, own client.Client) *v1alpha1.HorizontalScaler {
	t.Helper()
	scaler := &v1alpha1.HorizontalScaler{}
	if err := own.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "web"}, scaler); err != nil {
		t.Fatal(err)
	}
	return scaler
}

func TestAScalerIsServedAsAnHPAIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := newOwnKinds(t, webScaler())
		b := startOn(t, runtimeflags.ModeAuto, fake.NewClientset(), serving(t, own))
		b.set(70000)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if len(b.writes) != 1 || b.writes[0] != 4 {
			t.Fatalf("writes %v, want one of 4", b.writes)
		}
		scaler := scalerStatus(t, own)
		if got := condition(scaler.Status, replicas.AbleToScale); got != "True SucceededRescale" || scaler.Status.DesiredReplicas != 4 {
			t.Errorf("AbleToScale = %q, status %+v", got, scaler.Status)
		}
		if scaler.Spec.MaxReplicas != 10 || len(scaler.Spec.Metrics) != 1 {
			t.Errorf("the status' write changed the spec: %+v", scaler.Spec)
		}
		if got := b.told(); !strings.Contains(got, "SuccessfulRescale New size: 4") {
			t.Errorf("events %q", got)
		}
		if got, ok := b.store.Get("shop", "horizontalscaler.web"); !ok || len(got.Steps) == 0 {
			t.Errorf("the last decision is %+v", got)
		}
		if got := testutil.ToFloat64(b.metrics.desired.WithLabelValues("shop", "horizontalscaler.web")); got != 4 {
			t.Errorf("desired_replicas = %v", got)
		}

		raised := int32(6)
		scaler.Spec.MinReplicas, scaler.Generation = &raised, 2
		if err := own.Update(t.Context(), scaler); err != nil {
			t.Fatal(err)
		}
		b.settle()
		if got := b.writes[len(b.writes)-1]; got != 6 {
			t.Errorf("an edit was not decided on at once: writes %v", b.writes)
		}
		if err := own.Delete(t.Context(), scaler); err != nil {
			t.Fatal(err)
		}
		b.settle()
		if _, ok := b.store.Get("shop", "horizontalscaler.web"); ok || testutil.ToFloat64(b.metrics.objects) != 0 {
			t.Error("a deleted object is still known")
		}
	})
}

func TestAScalerAndAnHPAMayShareAName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := newOwnKinds(t, webScaler())
		b := startOn(t, runtimeflags.ModeAuto, fake.NewClientset(webHPA()), serving(t, own))
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if got := testutil.ToFloat64(b.metrics.objects); got != 2 {
			t.Errorf("%v objects are under control, want 2", got)
		}
		for _, name := range []string{"web", "horizontalscaler.web"} {
			if _, ok := b.store.Get("shop", name); !ok {
				t.Errorf("no decision on %s", name)
			}
		}
	})
}

// Where the definition is not installed HPAs are served all the same, and the
// other kind once it is.
func TestWithoutTheDefinitionHPAsAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := newOwnKinds(t, webScaler())
		own.absent = &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: v1alpha1.GroupName, Kind: replicas.KindScaler}}
		b := startOn(t, runtimeflags.ModeAuto, fake.NewClientset(webHPA()), serving(t, own))
		b.settle()
		if b.asked == 0 {
			t.Fatal("the HPA is not decided on")
		}
		check := b.c.objects.scalers.check()
		if got, err := check.Func(t.Context()); err != nil || !strings.Contains(got, "no matches for kind") {
			t.Errorf("readiness %q, %v", got, err)
		}
		own.absent = nil
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, ok := b.store.Get("shop", "horizontalscaler.web"); !ok {
			t.Error("the HorizontalScaler is not decided on")
		}
		if got, err := check.Func(t.Context()); err != nil || got != "served" {
			t.Errorf("readiness %q, %v", got, err)
		}
	})
}
