package controller

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ownfake "sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
)

func vpa(name, target string, mode vpav1.UpdateMode, policies ...vpav1.ContainerResourcePolicy) *vpav1.VerticalPodAutoscaler {
	v := &vpav1.VerticalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	v.Spec.TargetRef = &autoscalingv1.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: target}
	if mode != "" {
		v.Spec.UpdatePolicy = &vpav1.PodUpdatePolicy{UpdateMode: &mode}
	}
	if len(policies) > 0 {
		v.Spec.ResourcePolicy = &vpav1.PodResourcePolicy{ContainerPolicies: policies}
	}
	return v
}

func policyOf(container string, resources ...corev1.ResourceName) vpav1.ContainerResourcePolicy {
	return vpav1.ContainerResourcePolicy{ContainerName: container, ControlledResources: &resources}
}

func TestVerticalsOfATarget(t *testing.T) {
	off := vpav1.ContainerScalingModeOff
	scheme := runtime.NewScheme()
	if err := vpav1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	objects := []client.Object{
		vpa("all", "web", ""),
		vpa("watching", "web", vpav1.UpdateModeOff),
		vpa("parts", "web", vpav1.UpdateModeInitial, policyOf("app", corev1.ResourceMemory),
			vpav1.ContainerResourcePolicy{ContainerName: "*", Mode: &off}),
		vpa("other", "api", ""),
	}
	pods := []*corev1.Pod{{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}, {Name: "proxy"}}}}}
	both := []string{"cpu", "memory"}
	synctest.Test(t, func(t *testing.T) {
		own := &ownKinds{WithWatch: ownfake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()}
		v, err := newVerticals(own)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { v.run(ctx) })
		defer running.Wait()
		defer cancel()
		synctest.Wait()
		if !v.synced() {
			t.Fatal("not synced")
		}
		got := v.of("shop", replicas.Target{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}, pods)
		want := []replicas.Vertical{
			{Name: "all", Controls: map[string][]string{"app": both, "proxy": both}},
			{Name: "parts", Controls: map[string][]string{"app": {"memory"}}},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
	var none *verticals
	if none.of("shop", replicas.Target{}, pods) != nil || !none.synced() {
		t.Error("without a client there is something")
	}
}

func TestSharersOfATarget(t *testing.T) {
	same, other, self := webHPA(), webHPA(), webHPA()
	same.Name, same.Spec.ScaleTargetRef.APIVersion = "same", "apps/v1beta1"
	other.Name, other.Spec.ScaleTargetRef.Name = "other", "api"
	synctest.Test(t, func(t *testing.T) {
		hpas, err := newHPACache(fake.NewClientset(same, other, self))
		if err != nil {
			t.Fatal(err)
		}
		scalers, err := newScalerCache(newOwnKinds(t, webScaler()))
		if err != nil {
			t.Fatal(err)
		}
		o := &objects{hpas: hpas, scalers: scalers}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { o.run(ctx) })
		defer running.Wait()
		defer cancel()
		synctest.Wait()
		if diff := cmp.Diff([]string{"HorizontalPodAutoscaler same", "HorizontalScaler web"}, o.sharing(self)); diff != "" {
			t.Error(diff)
		}
		if got := o.sharing(other); got != nil {
			t.Errorf("one alone shares with %v", got)
		}
	})
}
