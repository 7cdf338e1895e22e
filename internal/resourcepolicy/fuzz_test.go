package resourcepolicy_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
)

// ordinary tells whether all quantities are ones that a cluster may have: what is
// beyond overflows in Kubernetes' own arithmetic too.
func ordinary(lists ...corev1.ResourceList) bool {
	most := resource.MustParse("1P")
	for _, list := range lists {
		for _, q := range list {
			if q.Sign() < 0 || q.Cmp(most) > 0 {
				return false
			}
		}
	}
	return true
}

// FuzzFit takes any pod, policy, LimitRanges and recommendations: fitting changes
// no argument, is the same each time, invents no container and no resource, and
// where no sum is shared out a second time changes nothing. Limits in proportion
// are never below what they belong to, where they were not before.
func FuzzFit(f *testing.F) {
	for seed := range uint64(20) {
		pod, all := world{rand.New(rand.NewPCG(seed, 4))}.scenario()
		p, _ := json.Marshal(pod)
		r, _ := json.Marshal(all)
		f.Add(p, r)
	}
	f.Add([]byte(`{"Containers":[{"name":"a","limits":{"cpu":"0"}},{"name":"a"}],"Limits":{"pod":{"min":{"cpu":"1"},"max":{"cpu":"100m"}},"container":{"min":{"cpu":"2"},"max":{"cpu":"1"}}}}`),
		[]byte(`[{"containerName":"a","target":{"cpu":"1u","":"1"}},{"containerName":"a","target":{"memory":"1E"}}]`))
	f.Fuzz(func(t *testing.T, podJSON, recommendedJSON []byte) {
		var pod, before resourcepolicy.Pod
		var all, recommended []resourcepolicy.Recommendation
		if json.Unmarshal(podJSON, &pod) != nil || json.Unmarshal(recommendedJSON, &all) != nil {
			return
		}
		_, _ = json.Unmarshal(podJSON, &before), json.Unmarshal(recommendedJSON, &recommended)
		once := resourcepolicy.Fit(pod, all)
		if diff := cmp.Diff(before, pod, same) + cmp.Diff(recommended, all, same); diff != "" {
			t.Fatalf("an argument was changed:\n%s", diff)
		}
		if diff := cmp.Diff(once, resourcepolicy.Fit(pod, all), same); diff != "" {
			t.Fatalf("fitted otherwise the second time:\n%s", diff)
		}
		sane := true
		for _, c := range pod.Containers {
			sane = sane && ordinary(c.Requests, c.Limits)
		}
		for _, fitted := range once {
			if resourcepolicy.Find(all, fitted.ContainerName) == nil && pod.Limits.Pod == nil {
				t.Errorf("container %q has no recommendation", fitted.ContainerName)
			}
			sane = sane && ordinary(fitted.Target, fitted.LowerBound, fitted.UpperBound)
		}
		for _, b := range []*resourcepolicy.Bounds{pod.Limits.Container, pod.Limits.Pod} {
			if b != nil {
				sane = sane && ordinary(b.Min, b.Max, b.Default)
			}
		}
		if !sane || pod.Limits.Pod != nil || doubled(pod, all) {
			return
		}
		if diff := cmp.Diff(recommendationsOf(once), recommendationsOf(resourcepolicy.Fit(pod, recommendationsOf(once))), same); diff != "" {
			t.Errorf("(-once +twice):\n%s", diff)
		}
		for _, fitted := range once {
			proportional(t, pod, fitted)
		}
	})
}

// doubled tells whether a name occurs twice, which no API server allows.
func doubled(pod resourcepolicy.Pod, all []resourcepolicy.Recommendation) bool {
	seen := map[string]int{}
	for _, c := range pod.Containers {
		seen["c/"+c.Name]++
	}
	for _, r := range all {
		seen["r/"+r.ContainerName]++
	}
	for _, n := range seen {
		if n > 1 {
			return true
		}
	}
	return false
}

// proportional requires that limits in proportion leave a pod that was valid so.
func proportional(t *testing.T, pod resourcepolicy.Pod, fitted resourcepolicy.Fitted) {
	t.Helper()
	for _, c := range pod.Containers {
		if c.Name != fitted.ContainerName {
			continue
		}
		limits, _ := resourcepolicy.ProportionalLimits(c, fitted.Target, pod.Limits.Defaults())
		for name, limit := range limits {
			request, now := fitted.Target[name], c.Limits[name]
			if was := c.Requests[name]; was.Value() != 0 && (now.Value() == 0 || was.Cmp(now) > 0) {
				continue
			}
			if limit.Cmp(request) < 0 {
				t.Errorf("%s of %s is limited to %s and requests %s", name, c.Name, limit.String(), request.String())
			}
		}
	}
}
