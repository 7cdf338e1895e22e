package kube

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
)

func pod(namespace, name string, set map[string]string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: set}}
}

func TestPodsMatching(t *testing.T) {
	objects := []runtime.Object{
		pod("shop", "web-0", map[string]string{"app": "web", "tier": "front"}),
		pod("shop", "web-1", map[string]string{"app": "web", "tier": "front"}),
		pod("shop", "api-0", map[string]string{"app": "api", "tier": "front"}),
		pod("shop", "bare", nil),
		pod("other", "web-0", map[string]string{"app": "web"}),
	}
	pods, err := NewPods(fake.NewClientset(objects...))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go pods.Run(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), pods.Synced) {
		t.Fatal("the cache did not fill")
	}
	tests := map[string]struct {
		selector string
		want     []string
	}{
		"one label":          {"app=web", []string{"web-0", "web-1"}},
		"two labels":         {"tier=front,app=api", []string{"api-0"}},
		"a set of one":       {"app in (api)", []string{"api-0"}},
		"a set of two":       {"app in (api, web)", []string{"api-0", "web-0", "web-1"}},
		"no equality":        {"app", []string{"api-0", "web-0", "web-1"}},
		"equal and not":      {"tier=front,app!=web", []string{"api-0"}},
		"nobody":             {"app=none", nil},
		"nobody has both":    {"app=web,tier=back", nil},
		"everything matches": {"", []string{"api-0", "bare", "web-0", "web-1"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			selector, err := labels.Parse(tc.selector)
			if err != nil {
				t.Fatal(err)
			}
			found, err := pods.Matching("shop", selector)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, p := range found {
				names = append(names, p.Name)
			}
			slices.Sort(names)
			if diff := cmp.Diff(tc.want, names); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReducePodKeepsWhatScalingLooksAt(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	now := metav1.Now()
	cpu := corev1.ResourceList{"cpu": resource.MustParse("1")}
	in := pod("shop", "web-0", map[string]string{"app": "web"})
	in.DeletionTimestamp = &now
	in.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web"}}
	in.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "x"}}
	in.Spec.Containers = []corev1.Container{{Name: "main", Image: "secret", Env: []corev1.EnvVar{{Name: "PASSWORD", Value: "x"}}, Resources: corev1.ResourceRequirements{Requests: cpu}}}
	in.Spec.InitContainers = []corev1.Container{{Name: "side", RestartPolicy: &always, Resources: corev1.ResourceRequirements{Requests: cpu}}}
	in.Spec.Resources = &corev1.ResourceRequirements{Requests: cpu, Limits: cpu}
	in.Status = corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &now, PodIP: "10.0.0.1", Conditions: []corev1.PodCondition{
		{Type: corev1.PodScheduled}, {Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now, Message: "m"},
	}}
	reduced, err := reducePod(in)
	if err != nil {
		t.Fatal(err)
	}
	want := pod("shop", "web-0", map[string]string{"app": "web"})
	want.DeletionTimestamp, want.OwnerReferences = &now, in.OwnerReferences
	want.Spec.Containers = []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{Requests: cpu}}}
	want.Spec.InitContainers = in.Spec.InitContainers
	want.Spec.Resources = &corev1.ResourceRequirements{Requests: cpu}
	want.Status = corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &now, Conditions: []corev1.PodCondition{
		{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now},
	}}
	if diff := cmp.Diff(want, reduced); diff != "" {
		t.Error(diff)
	}
}

func TestRequest(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	container := func(name, cpu string) corev1.Container {
		c := corev1.Container{Name: name}
		if cpu != "" {
			c.Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse(cpu)}
		}
		return c
	}
	sidecar := container("side", "200m")
	sidecar.RestartPolicy = &always
	tests := map[string]struct {
		spec      corev1.PodSpec
		container string
		want      int64
		err       string
	}{
		"sum":              {spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "100m"), container("b", "1")}}, want: 1100},
		"with a sidecar":   {spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "100m")}, InitContainers: []corev1.Container{sidecar, container("init", "9")}}, want: 300},
		"one container":    {spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "100m"), container("b", "")}}, container: "a", want: 100},
		"a named sidecar":  {spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "")}, InitContainers: []corev1.Container{sidecar}}, container: "side", want: 200},
		"not set":          {spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "")}}, err: "missing request for cpu in container a of Pod web-0"},
		"no such":          {spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "1")}}, container: "x", err: "container x not found in Pod web-0"},
		"pod level":        {spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "1")}, Resources: &corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("3")}}}, want: 3000},
		"pod level, other": {spec: corev1.PodSpec{Containers: []corev1.Container{container("a", "")}, Resources: &corev1.ResourceRequirements{Requests: corev1.ResourceList{"memory": resource.MustParse("3")}}}, err: "missing pod-level request for cpu in Pod web-0"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := pod("shop", "web-0", nil)
			p.Spec = tc.spec
			got, err := Request(p, "cpu", tc.container)
			if fmt.Sprint(err) != tc.err && (err != nil || tc.err != "") {
				t.Fatalf("error %v, want %q", err, tc.err)
			}
			if got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

func TestMilli(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1000, "100m": 100, "1n": 1, "-5": -5000, "1Ki": 1024000,
		"9223372036854775807": 1<<63 - 1, "-9223372036854775807": -1 << 63, "100E": 1<<63 - 1,
	} {
		if got := Milli(resource.MustParse(text)); got != want {
			t.Errorf("%s = %d, want %d", text, got, want)
		}
	}
}
