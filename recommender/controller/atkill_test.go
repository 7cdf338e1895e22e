package controller

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

func memory(request, limit string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(request)},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(limit)},
	}
}

func oomAt(end metav1.Time) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: oomKilled, FinishedAt: end}}
}

// TestMemoryInForceIsSeen has a pod that was resized in place, and a sidecar.
func TestMemoryInForceIsSeen(t *testing.T) {
	resized, always, end := memory("3Mi", "4Mi"), corev1.ContainerRestartPolicyAlways, metav1.Unix(1e9, 0)
	p := pod()
	p.Spec.Containers[0].Resources = memory("1Mi", "2Mi")
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", Resources: &resized, State: oomAt(end)}}
	p.Spec.InitContainers = []corev1.Container{
		{Name: "proxy", RestartPolicy: &always, Resources: memory("5Mi", "6Mi")}, {Name: "setup", Resources: memory("7Mi", "8Mi")},
	}
	p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "proxy", LastTerminationState: oomAt(end)}, {Name: "setup", State: oomAt(end)}}

	app := estimator.Container{Request: 3 << 20, Limit: 4 << 20, Killed: utc(end.Time)}
	for sidecars, want := range map[bool]map[string]estimator.Container{
		false: {"app": app},
		true:  {"app": app, "proxy": {Request: 5 << 20, Limit: 6 << 20, Killed: utc(end.Time)}},
	} {
		got := projectPod(recordPod(p, sidecars), podUsage{}).Containers
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("containers with sidecars %v (-want +got):\n%s", sidecars, diff)
		}
	}
}

// TestMemoryAtTheKillCounts resizes a container around its kill.
func TestMemoryAtTheKillCounts(t *testing.T) {
	first, second := metav1.Unix(1e9, 0), metav1.Unix(1e9+60, 0)
	cache := newPodCache(fake.NewClientset(), "")
	see := func(resources corev1.ResourceRequirements, status corev1.ContainerStatus) estimator.Container {
		t.Helper()
		p := pod()
		status.Name, status.Resources = "app", &resources
		p.Status.ContainerStatuses = []corev1.ContainerStatus{status}
		if err := cache.Update(p); err != nil {
			t.Fatal(err)
		}
		return projectPod(cache.get(p.Namespace, p.Name), podUsage{}).Containers["app"]
	}
	want := func(step string, got estimator.Container, request int64, killed time.Time) {
		t.Helper()
		if diff := cmp.Diff(estimator.Container{Request: request << 20, Limit: 2 * request << 20, Killed: utc(killed)}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step, diff)
		}
	}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	want("running", see(memory("1Mi", "2Mi"), corev1.ContainerStatus{State: running}), 1, time.Time{})
	want("seen again as it runs with more", see(memory("3Mi", "6Mi"), corev1.ContainerStatus{State: running, LastTerminationState: oomAt(first)}), 1, first.Time)
	want("resized since", see(memory("4Mi", "8Mi"), corev1.ContainerStatus{State: running, LastTerminationState: oomAt(first)}), 1, first.Time)
	want("killed and not restarted", see(memory("5Mi", "10Mi"), corev1.ContainerStatus{State: oomAt(second), LastTerminationState: oomAt(first)}), 5, second.Time)
}

func TestEvictionsBlameContainers(t *testing.T) {
	event := &corev1.Event{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.Unix(1e9, 0)}}
	at := utc(event.CreationTimestamp.Time)
	tests := map[string]struct {
		containers, used, of string
		want                 map[string]estimator.Kill
	}{
		"one for memory": {"app", "1Gi", "memory", map[string]estimator.Kill{"app": {At: at, Request: 1 << 30}}},
		"one of two":     {"app,log", "1Gi,2Gi", "ephemeral-storage,memory", map[string]estimator.Kill{"log": {At: at, Request: 2 << 30}}},
		"none":           {"app", "1Gi", "ephemeral-storage", map[string]estimator.Kill{}},
		"no amount":      {"app", "much", "memory", map[string]estimator.Kill{}},
		"out of step":    {"app,log", "1Gi", "memory", nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			event.Annotations = map[string]string{offending: tc.containers, offendingUsage: tc.used, starved: tc.of}
			if diff := cmp.Diff(tc.want, evictedFor(event)); diff != "" {
				t.Errorf("kills (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEvictionsAreLaidOverPods(t *testing.T) {
	e, err := newEvictions(newWorld(t).kube, "")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"old", "new"} {
		event := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.Unix(1e9+int64(i), 0)}}
		event.InvolvedObject = corev1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: "orders-1"}
		event.Annotations = map[string]string{offending: "app,gone", offendingUsage: "1Gi,1Gi", starved: "memory,memory"}
		reduced, err := reduceEvent(event)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.informer.GetIndexer().Add(reduced); err != nil {
			t.Fatal(err)
		}
	}
	pods := map[string]estimator.Pod{"orders-1": {Containers: map[string]estimator.Container{"app": {}}}, "orders-2": {}}
	e.over(namespace, pods)
	want := map[string]estimator.Pod{"orders-1": {Containers: map[string]estimator.Container{
		"app": {Evicted: &estimator.Kill{At: time.Unix(1e9+1, 0).UTC(), Request: 1 << 30}},
	}}, "orders-2": {}}
	if diff := cmp.Diff(want, pods); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
}
