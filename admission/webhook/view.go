package webhook

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/admission/patch"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
)

// View is what a webhook with these flags makes of objects, apart from a cluster.
// With it patches can be held against another webhook's.
type View struct {
	Options *Options
}

// Snapshot is what the patch of a new pod is decided by: the object that scales it
// and the LimitRanges of its namespace. The arguments are not changed.
func (v View) Snapshot(now time.Time, vpa *vpav1.VerticalPodAutoscaler, pod *corev1.Pod, limits []corev1.LimitRange) patch.Snapshot {
	unit := decision.Unit{Kind: patch.Kind, Namespace: vpa.Namespace, Name: vpa.Name, UID: string(vpa.UID)}
	asked := v.Options.asked()
	return patch.Snapshot{
		Now: now, Mode: patch.ModeAuto, Limits: resourcepolicy.Combine(limits), Pod: patch.Of(pod, nameOf(pod)),
		VPA: newProjections().get(unit, vpa), Gates: asked.gates, MaxBoost: asked.maxBoost, Sidecars: asked.sidecars, FollowPodLevel: asked.followPodLevel,
	}
}

// Operations are the JSON patch that a decision on the pod becomes.
func (v View) Operations(d patch.Decision, pod *corev1.Pod) []patch.Operation {
	return operationsOf(d, pod)
}
