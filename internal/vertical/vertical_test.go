package vertical_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	vpafake "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned/fake"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/quartet-autoscaling/quartet/internal/vertical"
)

// owned is the metadata of an object that another controls.
func owned(name, apiVersion, kind, owner string) metav1.ObjectMeta {
	meta := metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name)}
	if kind != "" {
		yes := true
		meta.OwnerReferences = []metav1.OwnerReference{
			// An owner that says nothing about controlling, and comes first.
			{APIVersion: "v1", Kind: "ConfigMap", Name: "settings"},
			{APIVersion: apiVersion, Kind: kind, Name: owner, UID: types.UID(owner), Controller: &yes},
		}
	}
	return meta
}

func await(t *testing.T, synced func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !synced(); {
		if time.Now().After(deadline) {
			t.Fatal("the cache did not fill")
		}
		time.Sleep(time.Millisecond)
	}
}

func controllers(t *testing.T, objects ...runtime.Object) (*vertical.Controllers, *fake.Clientset) {
	t.Helper()
	client := fake.NewClientset(objects...)
	c, err := vertical.NewControllers(client, true)
	if err != nil {
		t.Fatal(err)
	}
	go c.Run(t.Context())
	await(t, c.Synced)
	return c, client
}

func TestTopmost(t *testing.T) {
	c, client := controllers(t,
		&appsv1.ReplicaSet{ObjectMeta: owned("web-1", "apps/v1", "Deployment", "web")},
		&appsv1.ReplicaSet{ObjectMeta: owned("rollout-1", "argoproj.io/v1alpha1", "Rollout", "rollout")},
		&appsv1.ReplicaSet{ObjectMeta: owned("bare", "", "", "")},
		&batchv1.Job{ObjectMeta: owned("nightly-1", "batch/v1", "CronJob", "nightly")},
	)
	// Made after the cache was filled, and told of to nobody.
	if err := client.Tracker().Add(&appsv1.ReplicaSet{ObjectMeta: owned("late-1", "apps/v1", "Deployment", "late")}); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		pod  metav1.ObjectMeta
		want vertical.Ref
		none bool
		err  bool
	}{
		"of a Deployment":                   {pod: owned("p", "apps/v1", "ReplicaSet", "web-1"), want: vertical.Ref{Kind: "Deployment", Name: "web"}},
		"of a kind of others":               {pod: owned("p", "apps/v1", "ReplicaSet", "rollout-1"), want: vertical.Ref{Kind: "Rollout", Name: "rollout"}},
		"of a ReplicaSet alone":             {pod: owned("p", "apps/v1", "ReplicaSet", "bare"), want: vertical.Ref{Kind: "ReplicaSet", Name: "bare"}},
		"of a CronJob":                      {pod: owned("p", "batch/v1", "Job", "nightly-1"), want: vertical.Ref{Kind: "CronJob", Name: "nightly"}},
		"of a StatefulSet":                  {pod: owned("p", "apps/v1", "StatefulSet", "db"), want: vertical.Ref{Kind: "StatefulSet", Name: "db"}},
		"of another's ReplicaSet":           {pod: owned("p", "example.com/v1", "ReplicaSet", "web-1"), want: vertical.Ref{Kind: "ReplicaSet", Name: "web-1"}},
		"of a ReplicaSet made just now":     {pod: owned("p", "apps/v1", "ReplicaSet", "late-1"), want: vertical.Ref{Kind: "Deployment", Name: "late"}},
		"of nobody":                         {pod: owned("p", "", "", ""), none: true},
		"of a ReplicaSet that is not there": {pod: owned("p", "apps/v1", "ReplicaSet", "gone-1"), err: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, controlled, err := c.Topmost(t.Context(), &corev1.Pod{ObjectMeta: tc.pod})
			if got != tc.want || controlled == (tc.none || tc.err) || (err != nil) != tc.err {
				t.Errorf("Topmost() = %v, %t, %v, want %v", got, controlled, err, tc.want)
			}
		})
	}
}

func TestBelowAndReplicas(t *testing.T) {
	three, zero := int32(3), int32(0)
	set := func(name string, n *int32) *appsv1.ReplicaSet {
		return &appsv1.ReplicaSet{ObjectMeta: owned(name, "apps/v1", "Deployment", "web"), Spec: appsv1.ReplicaSetSpec{Replicas: n}}
	}
	daemons := &appsv1.DaemonSet{ObjectMeta: owned("agent", "", "", ""), Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 5}}
	c, _ := controllers(t, set("web-2", &three), set("web-1", &zero), daemons,
		&appsv1.ReplicaSet{ObjectMeta: owned("api-1", "apps/v1", "Deployment", "api")})
	want := []vertical.Ref{{Kind: "Deployment", Name: "web"}, {Kind: "ReplicaSet", Name: "web-1"}, {Kind: "ReplicaSet", Name: "web-2"}}
	if diff := cmp.Diff(want, c.Below("shop", want[0])); diff != "" {
		t.Errorf("below (-want +got):\n%s", diff)
	}
	for ref, want := range map[vertical.Ref]struct {
		n       int32
		counted bool
		err     bool
	}{
		{Kind: "ReplicaSet", Name: "web-2"}:  {n: 3, counted: true},
		{Kind: "ReplicaSet", Name: "web-1"}:  {err: true},
		{Kind: "ReplicaSet", Name: "gone-1"}: {err: true},
		{Kind: "DaemonSet", Name: "agent"}:   {n: 5, counted: true},
		{Kind: "Job", Name: "nightly-1"}:     {},
		{Kind: "Rollout", Name: "rollout"}:   {},
	} {
		n, counted, err := c.Replicas("shop", ref)
		if n != want.n || counted != want.counted || (err != nil) != want.err {
			t.Errorf("Replicas(%s) = %d, %t, %v, want %+v", ref, n, counted, err, want)
		}
	}
}

func TestTargetingGivesTheOldestFirst(t *testing.T) {
	object := func(name, target string, age time.Duration) *vpav1.VerticalPodAutoscaler {
		vpa := &vpav1.VerticalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, CreationTimestamp: metav1.NewTime(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(-age)),
		}}
		if target != "" {
			vpa.Spec.TargetRef = &autoscalingv1.CrossVersionObjectReference{Kind: "Deployment", Name: target}
		}
		return vpa
	}
	c, err := vertical.NewObjects(vpafake.NewSimpleClientset(
		object("young", "web", 0), object("old", "web", time.Hour), object("also-old", "web", time.Hour), object("other", "api", 0), object("none", "", 0)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go c.Run(ctx)
	await(t, c.Synced)
	names := func(all []*vpav1.VerticalPodAutoscaler) (out []string) {
		for _, vpa := range all {
			out = append(out, vpa.Name)
		}
		return out
	}
	if diff := cmp.Diff([]string{"also-old", "old", "young"}, names(c.Targeting("shop", vertical.Ref{Kind: "Deployment", Name: "web"}))); diff != "" {
		t.Errorf("targeting (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"also-old", "none", "old", "other", "young"}, names(c.All())); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	if c.Get("shop", "gone") != nil || c.Get("shop", "old") == nil {
		t.Error("Get finds what is not there, or not what is")
	}
}

func TestContainersHaveTheResourcesInForce(t *testing.T) {
	cpu := func(text string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(text)}
	}
	pod := &corev1.Pod{}
	for _, name := range []string{"resized", "plain"} {
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: name, Resources: corev1.ResourceRequirements{Requests: cpu("1"), Limits: cpu("2")}})
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "resized", Resources: &corev1.ResourceRequirements{Requests: cpu("3")}}, {Name: "plain"}}
	got := vertical.Containers(pod)
	if !got[0].Requests.Cpu().Equal(resource.MustParse("3")) || got[0].Limits != nil || !got[1].Requests.Cpu().Equal(resource.MustParse("1")) {
		t.Errorf("containers %+v", got)
	}
}
