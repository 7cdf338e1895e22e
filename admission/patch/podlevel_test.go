package patch_test

import (
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"

	"github.com/quartet-autoscaling/quartet/admission/patch"
)

// levelled draws a scenario whose pod has resources of its own, which are valid,
// and init containers.
func levelled(seed uint64) scenario {
	s := draw(seed, false)
	r := rand.New(rand.NewPCG(seed, 9))
	always := corev1.ContainerRestartPolicyAlways
	for _, name := range []string{"first", "second", "third"}[:r.IntN(4)] {
		c := corev1.Container{Name: name, Image: "init"}
		c.Resources.Requests = some(r, 10, 2000)
		if r.IntN(2) == 0 {
			c.RestartPolicy = &always
		}
		s.pod.Spec.InitContainers = append(s.pod.Spec.InitContainers, c)
	}
	sum := resourcehelper.AggregateContainerRequests(s.pod, resourcehelper.PodResourcesOptions{})
	level := &corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		request := sum[name].DeepCopy()
		request.Add(some(r, 1, 500)[name])
		limit := request.DeepCopy()
		if r.IntN(2) == 0 {
			limit.Add(list(r, 1, 1000)[name])
		}
		for _, c := range s.pod.Spec.Containers {
			if q := c.Resources.Limits[name]; q.Cmp(limit) > 0 {
				limit = q
			}
		}
		if r.IntN(4) > 0 {
			level.Requests[name] = request
		}
		if r.IntN(4) > 0 {
			level.Limits[name] = limit
		}
	}
	s.pod.Spec.Resources = level
	return s
}

// invalid says why the API server would refuse a pod for its resources.
func invalid(pod *corev1.Pod) string {
	level := pod.Spec.Resources
	for name, sum := range resourcehelper.AggregateContainerRequests(pod, resourcehelper.PodResourcesOptions{}) {
		if q, ok := level.Requests[name]; ok && sum.Cmp(q) > 0 {
			return string(name) + ": the containers request more than the pod"
		}
	}
	for name, limit := range level.Limits {
		if q, ok := level.Requests[name]; ok && q.Cmp(limit) > 0 {
			return string(name) + ": the pod requests more than its limit"
		}
		for _, c := range pod.Spec.Containers {
			if q := c.Resources.Limits[name]; q.Cmp(limit) > 0 {
				return string(name) + ": a container's limit is above the pod's"
			}
		}
	}
	return ""
}

func TestPodsWithResourcesOfTheirOwnStayValid(t *testing.T) {
	moved := 0
	for seed := range uint64(1500) {
		s := levelled(seed)
		if why := invalid(s.pod); why != "" {
			t.Fatalf("seed %d: the scenario is wrong: %s", seed, why)
		}
		for _, follow := range []bool{false, true} {
			snapshot := s.snapshot(s.pod)
			snapshot.FollowPodLevel, snapshot.Sidecars = follow, follow
			after := apply(t, s.pod, patch.Decide(snapshot, patch.State{}).Operations)
			if why := invalid(after); why != "" {
				t.Fatalf("seed %d, follow %t: %s\nbefore %v %v\nafter %v %v", seed, follow, why, s.pod.Spec.Resources, s.pod.Spec.Containers, after.Spec.Resources, after.Spec.Containers)
			}
			equal(t, s.pod.Spec.Resources, after.Spec.Resources)
			if follow {
				continue
			}
			for name, q := range s.pod.Spec.Resources.Requests {
				now := after.Spec.Resources.Requests[name]
				if now.Cmp(q) < 0 {
					t.Fatalf("seed %d: the pod's request of %s was lowered", seed, name)
				}
				if now.Cmp(q) > 0 {
					moved++
				}
			}
			again := s.snapshot(after)
			if d := patch.Decide(again, patch.State{}); d.To > 0 {
				t.Fatalf("seed %d: patched again: %v", seed, d.Operations)
			}
		}
	}
	if moved < 50 {
		t.Errorf("only %d requests of pods were raised", moved)
	}
}

// equal requires that a request which was its limit still is: the class of
// service depends on it.
func equal(t *testing.T, before, after *corev1.ResourceRequirements) {
	t.Helper()
	at := func(r *corev1.ResourceRequirements, name corev1.ResourceName) (request, limit resource.Quantity, both bool) {
		request, hasRequest := r.Requests[name]
		limit, hasLimit := r.Limits[name]
		return request, limit, hasRequest && hasLimit
	}
	for name := range before.Requests {
		request, limit, both := at(before, name)
		if !both || request.Cmp(limit) != 0 {
			continue
		}
		if request, limit, _ := at(after, name); request.Cmp(limit) != 0 {
			t.Errorf("%s: request %s and limit %s were equal", name, request.String(), limit.String())
		}
	}
}
