package controller

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	vpafake "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned/fake"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ownfake "sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/vertical/policies"
)

// policyOn is a policy for a VPA of the test's namespace.
func policyOn(name string, born int, target string) *v1alpha1.VerticalScalingPolicy {
	p := &v1alpha1.VerticalScalingPolicy{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, Generation: 4, CreationTimestamp: metav1.NewTime(time.Unix(int64(born), 0)),
	}}
	p.Spec.TargetRef.Name = target
	return p
}

// kinds has the fake client listed and watched the way that it can.
type kinds struct{ client.WithWatch }

// IsWatchListSemanticsUnSupported tells the informers.
func (kinds) IsWatchListSemanticsUnSupported() bool { return true }

// ownKinds is a client of our own kinds.
func ownKinds(t *testing.T, objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme, err := policies.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	return kinds{ownfake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.VerticalScalingPolicy{}).Build()}
}

// showing runs the part that shows policies, with VPAs, inside a bubble.
func showing(t *testing.T, own client.WithWatch, vpas ...runtime.Object) (*policyStatuses, *vpafake.Clientset) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{}, 3)
	running := func(run func(context.Context)) { go func() { run(ctx); done <- struct{}{} }() }
	api := vpafake.NewSimpleClientset(vpas...)
	s := &policyStatuses{own: own, recorder: record.NewFakeRecorder(100)}
	var err error
	if s.vpas, err = newVPACache(api, NewOptions()); err != nil {
		t.Fatal(err)
	}
	if s.policies, err = policies.New(own); err != nil {
		t.Fatal(err)
	}
	running(s.vpas.run)
	running(s.policies.Run)
	synctest.Wait()
	running(func(ctx context.Context) {
		if err := s.run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		for range cap(done) {
			<-done
		}
	})
	synctest.Wait()
	return s, api
}

// shown are the conditions of a policy, as "Attached=True Attached".
func shown(t *testing.T, own client.Client, name string) map[string]string {
	t.Helper()
	p := &v1alpha1.VerticalScalingPolicy{}
	if err := own.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, p); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, c := range p.Status.Conditions {
		if c.ObservedGeneration != p.Generation || p.Status.ObservedGeneration != p.Generation {
			t.Errorf("%s speaks of generation %d, %d", c.Type, c.ObservedGeneration, p.Status.ObservedGeneration)
		}
		out[c.Type] = string(c.Status) + " " + c.Reason
	}
	return out
}

var inForce = map[string]string{v1alpha1.ConditionAttached: "True Attached", v1alpha1.ConditionReady: "True InForce"}

func TestPolicysStatus(t *testing.T) {
	unread := policyOn("unread", 0, "orders")
	unread.Spec.Disruption = &v1alpha1.Disruption{Windows: []v1alpha1.RecurringWindow{{Cron: "61 2 * * *", Duration: metav1.Duration{Duration: time.Hour}}}}
	frugal := vpa("orders")
	frugal.Spec.Recommenders = []*vpav1.VerticalPodAutoscalerRecommenderSelector{{Name: "frugal"}}
	for name, c := range map[string]struct {
		policies []client.Object
		vpa      runtime.Object
		want     map[string]string
	}{
		"in force":  {[]client.Object{policyOn("calm", 0, "orders")}, vpa("orders"), inForce},
		"no target": {[]client.Object{policyOn("calm", 0, "gone")}, vpa("orders"), map[string]string{"Attached": "False TargetNotFound", "Ready": "False TargetNotFound"}},
		"the newer": {[]client.Object{policyOn("calm", 1, "orders"), policyOn("older", 0, "orders")}, vpa("orders"),
			map[string]string{"Attached": "False OlderPolicyHolds", "Ready": "False OlderPolicyHolds"}},
		"another recommender's": {[]client.Object{policyOn("calm", 0, "orders")}, frugal, map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				own := ownKinds(t, c.policies...)
				showing(t, own, c.vpa)
				if diff := cmp.Diff(c.want, shown(t, own, "calm")); diff != "" {
					t.Errorf("conditions (-want +got):\n%s", diff)
				}
			})
		})
	}
	t.Run("a window that cannot be read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			own := ownKinds(t, unread)
			showing(t, own, vpa("orders"))
			p := &v1alpha1.VerticalScalingPolicy{}
			if err := own.Get(t.Context(), client.ObjectKeyFromObject(unread), p); err != nil {
				t.Fatal(err)
			}
			if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionAttached); c == nil || c.Status != metav1.ConditionTrue {
				t.Errorf("Attached is %+v", c)
			}
			c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
			if c == nil || c.Reason != reasonUnreadableSpec || !strings.Contains(c.Message, "such as 0 8 * * MON-FRI") {
				t.Errorf("Ready is %+v", c)
			}
		})
	})
}

// What holds changes with what is there, and is written once.
func TestPolicysStatusFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := ownKinds(t, policyOn("older", 0, "orders"), policyOn("calm", 1, "orders"))
		s, api := showing(t, own)
		want := func(name, reason string) {
			t.Helper()
			synctest.Wait()
			if got := shown(t, own, name)[v1alpha1.ConditionAttached]; got != reason {
				t.Errorf("%s: Attached=%s, want %s", name, got, reason)
			}
		}
		want("older", "False TargetNotFound")
		if _, err := api.AutoscalingV1().VerticalPodAutoscalers(namespace).Create(t.Context(), vpa("orders"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		want("older", "True Attached")
		want("calm", "False OlderPolicyHolds")
		if err := own.Delete(t.Context(), policyOn("older", 0, "orders")); err != nil {
			t.Fatal(err)
		}
		want("calm", "True Attached")
		before := &v1alpha1.VerticalScalingPolicy{}
		if err := own.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "calm"}, before); err != nil {
			t.Fatal(err)
		}
		s.enqueue(s.policies.Get(client.ObjectKeyFromObject(before)).VPA())
		synctest.Wait()
		after := &v1alpha1.VerticalScalingPolicy{}
		if err := own.Get(t.Context(), client.ObjectKeyFromObject(before), after); err != nil {
			t.Fatal(err)
		}
		if before.ResourceVersion != after.ResourceVersion {
			t.Error("written again where nothing changed")
		}
		if err := api.AutoscalingV1().VerticalPodAutoscalers(namespace).Delete(t.Context(), "orders", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		want("calm", "False TargetNotFound")
	})
}
