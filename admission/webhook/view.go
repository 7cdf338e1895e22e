package webhook

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/admission/patch"
	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
	"github.com/quartet-autoscaling/quartet/internal/vertical"
)

// View is what a webhook makes of objects, apart from a cluster. With it patches
// can be held against another webhook's.
type View struct {
	// Mode is the binary's.
	Mode string
}

// Snapshot is what the patch of a new pod is decided by: the object that scales it
// and the LimitRanges of its namespace. The arguments are not changed.
func (v View) Snapshot(now time.Time, vpa *vpav1.VerticalPodAutoscaler, pod *corev1.Pod, limits []corev1.LimitRange) patch.Snapshot {
	return patch.Snapshot{
		Now: now, Mode: v.Mode, Limits: resourcepolicy.Combine(limits), Pod: patch.Of(pod, nameOf(pod)),
		VPA: patch.VPA{
			Namespace: vpa.Namespace, Name: vpa.Name, UID: string(vpa.UID), UpdateMode: vertical.UpdateMode(vpa),
			Policy: vertical.Policy(vpa), Recommendations: vertical.Recommendations(vpa),
		},
	}
}
