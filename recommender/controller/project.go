package controller

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/internal/vertical"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

const statusSubresource = "status"

// projectVPA takes over what the rules look at.
func projectVPA(vpa *vpav1.VerticalPodAutoscaler) estimator.VPA {
	out := estimator.VPA{Namespace: vpa.Namespace, Name: vpa.Name, UID: string(vpa.UID), Generation: vpa.Generation}
	out.Target = projectTarget(vpa)
	out.Passive = vertical.UpdateMode(vpa) == vpav1.UpdateModeOff
	out.WholeCPU = wholeCPU(vpa.Annotations)
	if vpa.Spec.ResourcePolicy != nil {
		for i := range vpa.Spec.ResourcePolicy.ContainerPolicies {
			out.Policies = append(out.Policies, projectPolicy(&vpa.Spec.ResourcePolicy.ContainerPolicies[i]))
		}
	}
	provided := false
	for _, c := range vpa.Status.Conditions {
		out.Conditions = append(out.Conditions, string(c.Type))
		provided = provided || c.Type == vpav1.RecommendationProvided && c.Status == corev1.ConditionTrue
	}
	slices.Sort(out.Conditions)
	if r := vpa.Status.Recommendation; provided && r != nil {
		for _, c := range r.ContainerRecommendations {
			out.Recommended = append(out.Recommended, estimator.ContainerRecommendation{
				Container: c.ContainerName, Target: amounts(c.Target), Lower: amounts(c.LowerBound),
				Upper: amounts(c.UpperBound), Uncapped: amounts(c.UncappedTarget),
			})
		}
	}
	return out
}

func projectTarget(vpa *vpav1.VerticalPodAutoscaler) estimator.Target {
	ref := vpa.Spec.TargetRef
	if ref == nil {
		return estimator.Target{}
	}
	return estimator.Target{APIVersion: ref.APIVersion, Kind: ref.Kind, Name: ref.Name}
}

func projectPolicy(p *vpav1.ContainerResourcePolicy) estimator.Policy {
	out := estimator.Policy{
		Container: p.ContainerName, Off: p.Mode != nil && *p.Mode == vpav1.ContainerScalingModeOff,
		Min: amounts(p.MinAllowed), Max: amounts(p.MaxAllowed), Limited: p.ControlledResources != nil, Tuning: tuning(p),
	}
	if p.ControlledResources != nil {
		for _, name := range *p.ControlledResources {
			out.Controlled = append(out.Controlled, string(name))
		}
	}
	return out
}

// amounts are in millicores and bytes, rounded up.
func amounts(list corev1.ResourceList) estimator.Amounts {
	var out estimator.Amounts
	if q, set := list[corev1.ResourceCPU]; set {
		out.CPU = pointer(q.MilliValue())
	}
	if q, set := list[corev1.ResourceMemory]; set {
		out.Memory = pointer(q.Value())
	}
	return out
}

func pointer(v int64) *int64 { return &v }

// oomKilled is the reason of a container that was killed for memory.
const oomKilled = "OOMKilled"

// killed is when the container was last killed for memory: the later one of the
// ends that the status tells of.
func killed(s *corev1.ContainerStatus) time.Time {
	for _, end := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
		if end != nil && end.Reason == oomKilled && !end.FinishedAt.IsZero() {
			return utc(end.FinishedAt.Time)
		}
	}
	return time.Time{}
}

// projectRecords takes over the pods with their usage.
func projectRecords(pods []*podRecord, usage usages) map[string]estimator.Pod {
	if len(pods) == 0 {
		return nil
	}
	out := make(map[string]estimator.Pod, len(pods))
	for _, pod := range pods {
		out[pod.name] = projectPod(pod, usage[types.NamespacedName{Namespace: pod.namespace, Name: pod.name}])
	}
	return out
}

func projectPod(pod *podRecord, usage podUsage) estimator.Pod {
	out := estimator.Pod{Sampled: usage.at, Containers: make(map[string]estimator.Container, len(pod.containers))}
	for _, c := range pod.containers {
		container, name := c.Container, c.name.Value()
		for _, u := range usage.containers {
			if u.name == name {
				container.Usage = u.Amounts
			}
		}
		out.Containers[name] = container
	}
	return out
}

// projectWriter finds another recommender among those who wrote the status.
func projectWriter(vpa *vpav1.VerticalPodAutoscaler) *estimator.Writer {
	var ours time.Time
	var other *estimator.Writer
	for _, f := range vpa.ManagedFields {
		switch {
		case f.Subresource != statusSubresource || f.Time == nil:
		case f.Manager == fieldManager:
			ours = utc(f.Time.Time)
		case upstream(f.Manager) && (other == nil || f.Time.After(other.At)):
			other = &estimator.Writer{Name: f.Manager, At: utc(f.Time.Time)}
		}
	}
	if other != nil {
		other.AfterUs = !ours.IsZero() && other.At.After(ours)
	}
	return other
}

// upstream tells whether a field manager is the upstream recommender: it is
// named after the file of the binary, which is recommender, or so with the
// architecture, or vpa-recommender where a distribution renamed it.
func upstream(manager string) bool {
	return manager == "recommender" || strings.HasPrefix(manager, "recommender-") || manager == "vpa-recommender"
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Round(0)
}
