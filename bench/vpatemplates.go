package main

import (
	"context"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/utils/ptr"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

// vpaTemplates are objects as the API server made them that the load is copied from.
type vpaTemplates struct {
	loadTemplates
	vpa        *vpav1.VerticalPodAutoscaler
	checkpoint *vpav1.VerticalPodAutoscalerCheckpoint
	now        time.Time
}

// newVPATemplates creates one of each, with its status, and takes it away again.
func newVPATemplates(ctx context.Context, l *lab.Lab) (*vpaTemplates, error) {
	t := &vpaTemplates{
		loadTemplates: loadTemplates{pod: newVPAPod(), replicaSet: newReplicaSet(), deployment: newDeployment()},
		vpa:           newVPA(), checkpoint: newCheckpoint(), now: time.Now().Truncate(time.Second),
	}
	t.replicaSet.Spec.Template.Spec, t.deployment.Spec.Template.Spec = newVPAPod().Spec, newVPAPod().Spec
	then := metav1.NewTime(t.now.Add(-vpaHistory))
	return t, made(ctx, l, then, []template{
		{t.pod, func() { t.pod.Status = podStatus(then, t.pod) }},
		{t.replicaSet, func() { t.replicaSet.Status = replicaSetStatus() }},
		{t.deployment, func() { t.deployment.Status = deploymentStatus(then) }},
		{t.checkpoint, nil},
		{t.vpa, func() { t.vpa.Status = vpaStatus(then) }},
	})
}

// newVPAPod has all containers.
func newVPAPod() *corev1.Pod {
	p := newPod()
	p.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = *resource.NewMilliQuantity(vpaCPU, resource.DecimalSI)
	for _, name := range vpaContainers[1:] {
		c := *p.Spec.Containers[0].DeepCopy()
		c.Name, c.Ports = name, nil
		p.Spec.Containers = append(p.Spec.Containers, c)
	}
	return p
}

func newVPA() *vpav1.VerticalPodAutoscaler {
	return &vpav1.VerticalPodAutoscaler{ObjectMeta: templateMeta(), Spec: vpav1.VerticalPodAutoscalerSpec{
		TargetRef:    &autoscalingv1.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "template"},
		UpdatePolicy: &vpav1.PodUpdatePolicy{UpdateMode: ptr.To(vpav1.UpdateModeRecreate)},
	}}
}

// vpaStatus is one with a recommendation that calls for a write.
func vpaStatus(then metav1.Time) vpav1.VerticalPodAutoscalerStatus {
	amounts := func() corev1.ResourceList {
		return corev1.ResourceList{
			corev1.ResourceCPU:    *resource.NewMilliQuantity(vpaBefore, resource.DecimalSI),
			corev1.ResourceMemory: *resource.NewQuantity(vpaMemory, resource.BinarySI),
		}
	}
	s := vpav1.VerticalPodAutoscalerStatus{
		Recommendation: &vpav1.RecommendedPodResources{},
		Conditions: []vpav1.VerticalPodAutoscalerCondition{
			{Type: vpav1.RecommendationProvided, Status: corev1.ConditionTrue, LastTransitionTime: then},
		},
	}
	for _, name := range vpaContainers {
		s.Recommendation.ContainerRecommendations = append(s.Recommendation.ContainerRecommendations, vpav1.RecommendedContainerResources{
			ContainerName: name, Target: amounts(), LowerBound: amounts(), UpperBound: amounts(), UncappedTarget: amounts(),
		})
	}
	return s
}

// newCheckpoint has no status of its own right: the API server takes it whole.
func newCheckpoint() *vpav1.VerticalPodAutoscalerCheckpoint {
	return &vpav1.VerticalPodAutoscalerCheckpoint{ObjectMeta: templateMeta(), Spec: vpav1.VerticalPodAutoscalerCheckpointSpec{
		VPAObjectName: "template", ContainerName: vpaContainers[0],
	}}
}

func (t *vpaTemplates) vpaOf(i int) *vpav1.VerticalPodAutoscaler {
	o := t.vpa.DeepCopy()
	o.Name = loadName(i)
	place(&o.ObjectMeta, i, uidVPA, i, nil)
	o.Spec.TargetRef.Name = loadName(i)
	return o
}

// checkpointOf has the history of a container that was looked at once a minute.
func (t *vpaTemplates) checkpointOf(i, container int) *vpav1.VerticalPodAutoscalerCheckpoint {
	o := t.checkpoint.DeepCopy()
	o.Name = loadName(i) + "-" + vpaContainers[container]
	place(&o.ObjectMeta, i, uidCheckpoint, i*len(vpaContainers)+container, nil)
	o.Spec = vpav1.VerticalPodAutoscalerCheckpointSpec{VPAObjectName: loadName(i), ContainerName: vpaContainers[container]}
	last := metav1.NewTime(t.now.Add(-time.Minute))
	midnight := metav1.NewTime(t.now.Truncate(24 * time.Hour))
	o.Status = vpav1.VerticalPodAutoscalerCheckpointStatus{
		Version: "v3", LastUpdateTime: last, FirstSampleStart: metav1.NewTime(t.now.Add(-vpaHistory)), LastSampleStart: last,
		TotalSamplesCount: int(vpaHistory / time.Minute),
		// The bucket of the usage and those beside it.
		CPUHistogram: vpav1.HistogramCheckpoint{
			ReferenceTimestamp: midnight, TotalWeight: 200, BucketWeights: map[int]uint32{7: 6000, 8: 10000, 9: 5000},
		},
		MemoryHistogram: vpav1.HistogramCheckpoint{
			ReferenceTimestamp: midnight, TotalWeight: 2, BucketWeights: map[int]uint32{16: 5000, 17: 10000},
		},
	}
	return o
}
