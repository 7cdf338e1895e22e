package main

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

// loadTemplates are objects as the API server made them, with its defaults and
// managed fields, that the load is copied from.
type loadTemplates struct {
	pod        *corev1.Pod
	replicaSet *appsv1.ReplicaSet
	deployment *appsv1.Deployment
	hpa        *autoscalingv2.HorizontalPodAutoscaler
}

// templates creates one of each, with its status, and takes it away again.
func (h hpaLoad) templates(ctx context.Context, l *lab.Lab) (*loadTemplates, error) {
	t := &loadTemplates{pod: newPod(), replicaSet: newReplicaSet(), deployment: newDeployment(), hpa: newHPA(h.metric(0))}
	then := metav1.NewTime(time.Now().Add(-loadAge).Truncate(time.Second))
	return t, made(ctx, l, then, []template{
		{t.pod, func() { t.pod.Status = podStatus(then, t.pod) }},
		{t.replicaSet, func() { t.replicaSet.Status = replicaSetStatus() }},
		{t.deployment, func() { t.deployment.Status = deploymentStatus(then) }},
		{t.hpa, func() { t.hpa.Status = hpaStatus(then, h.status) }},
	})
}

// template is an object to copy. status gives it one that the API server takes by
// itself; nil where it has none, or takes it with the object.
type template struct {
	object ctrlclient.Object
	status func()
}

// made has the API server make each of them, and takes it away again.
func made(ctx context.Context, l *lab.Lab, then metav1.Time, templates []template) error {
	for _, o := range templates {
		if err := l.Client().Create(ctx, o.object); err != nil {
			return fmt.Errorf("create a %T to copy: %w", o.object, err)
		}
		if o.status != nil {
			o.status()
			if err := l.Client().Status().Update(ctx, o.object); err != nil {
				return fmt.Errorf("write the status of a %T to copy: %w", o.object, err)
			}
		}
		if err := l.Client().Delete(ctx, o.object, ctrlclient.GracePeriodSeconds(0)); err != nil {
			return fmt.Errorf("delete a %T that is copied: %w", o.object, err)
		}
		o.object.SetCreationTimestamp(then)
	}
	return nil
}

func templateMeta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "template", Labels: podLabels(0)}
}

func podSpec() corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{{
		Name: "main", Image: "registry.example.com/shop/web:1.0", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
		Env: []corev1.EnvVar{{Name: "LOG_LEVEL", Value: "info"}},
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU:    *resource.NewMilliQuantity(loadRequest, resource.DecimalSI),
			corev1.ResourceMemory: *resource.NewQuantity(loadMemory, resource.BinarySI),
		}},
		ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{}}},
	}}}
}

func newPod() *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: templateMeta(), Spec: podSpec()}
	p.Spec.Containers[0].ReadinessProbe.TCPSocket.Port.IntVal = 8080
	return p
}

func podTemplate() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: podLabels(0)}, Spec: newPod().Spec}
}

func newReplicaSet() *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{ObjectMeta: templateMeta(), Spec: appsv1.ReplicaSetSpec{
		Replicas: ptr.To[int32](loadPods), Selector: &metav1.LabelSelector{MatchLabels: podLabels(0)}, Template: podTemplate(),
	}}
}

func newDeployment() *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: templateMeta(), Spec: appsv1.DeploymentSpec{
		Replicas: ptr.To[int32](loadPods), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{loadLabel: loadName(0)}},
		Template: podTemplate(),
	}}
	delete(d.Spec.Template.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	return d
}

func newHPA(metric autoscalingv2.MetricSpec) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: templateMeta(), Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "template"},
		MinReplicas:    ptr.To[int32](loadMin), MaxReplicas: loadMax, Metrics: []autoscalingv2.MetricSpec{metric},
	}}
}

// podStatus is that of a pod whose containers run.
func podStatus(then metav1.Time, pod *corev1.Pod) corev1.PodStatus {
	s := corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &then, PodIP: "10.128.0.1", HostIP: "10.0.0.1"}
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		s.ContainerStatuses = append(s.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Ready: true, Started: ptr.To(true), Image: c.Image,
			ImageID: "registry.example.com/shop/web@sha256:0", ContainerID: "containerd://0",
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: then}},
		})
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		s.Conditions = append(s.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: then})
	}
	return s
}

func replicaSetStatus() appsv1.ReplicaSetStatus {
	return appsv1.ReplicaSetStatus{
		Replicas: loadPods, FullyLabeledReplicas: loadPods, ReadyReplicas: loadPods, AvailableReplicas: loadPods, ObservedGeneration: 1,
	}
}

func deploymentStatus(then metav1.Time) appsv1.DeploymentStatus {
	s := appsv1.DeploymentStatus{
		ObservedGeneration: 1, Replicas: loadPods, UpdatedReplicas: loadPods, ReadyReplicas: loadPods, AvailableReplicas: loadPods,
	}
	for kind, reason := range map[appsv1.DeploymentConditionType]string{
		appsv1.DeploymentAvailable: "MinimumReplicasAvailable", appsv1.DeploymentProgressing: "NewReplicaSetAvailable",
	} {
		s.Conditions = append(s.Conditions, appsv1.DeploymentCondition{
			Type: kind, Status: corev1.ConditionTrue, Reason: reason, LastUpdateTime: then, LastTransitionTime: then,
		})
	}
	return s
}

func hpaStatus(then metav1.Time, current []autoscalingv2.MetricStatus) autoscalingv2.HorizontalPodAutoscalerStatus {
	s := autoscalingv2.HorizontalPodAutoscalerStatus{
		ObservedGeneration: ptr.To[int64](1), LastScaleTime: &then, CurrentReplicas: loadPods, DesiredReplicas: loadPods, CurrentMetrics: current,
	}
	for _, c := range []autoscalingv2.HorizontalPodAutoscalerCondition{
		{Type: autoscalingv2.AbleToScale, Status: corev1.ConditionTrue, Reason: "ReadyForNewScale", Message: "recommended size matches current size"},
		{Type: autoscalingv2.ScalingActive, Status: corev1.ConditionTrue, Reason: "ValidMetricFound", Message: "loaded"},
		{Type: autoscalingv2.ScalingLimited, Status: corev1.ConditionFalse, Reason: "DesiredWithinRange", Message: "loaded"},
	} {
		c.LastTransitionTime = then
		s.Conditions = append(s.Conditions, c)
	}
	return s
}

// place gives a copy its own name and identity, and its owner.
func place(o *metav1.ObjectMeta, i, kind, number int, owner *metav1.OwnerReference) {
	o.Namespace, o.UID, o.Labels = loadSpace(i), loadUID(kind, number), podLabels(i)
	if owner != nil {
		owner.Controller, owner.BlockOwnerDeletion = ptr.To(true), ptr.To(true)
		o.OwnerReferences = []metav1.OwnerReference{*owner}
	}
}

func (t *loadTemplates) podOf(i, p int) *corev1.Pod {
	o := t.pod.DeepCopy()
	o.Name = podName(i, p)
	o.GenerateName = loadName(i) + "-" + loadHash + "-"
	place(&o.ObjectMeta, i, uidPod, i*loadPods+p, &metav1.OwnerReference{
		APIVersion: "apps/v1", Kind: "ReplicaSet", Name: loadName(i) + "-" + loadHash, UID: loadUID(uidReplicaSet, i),
	})
	o.Spec.NodeName = fmt.Sprintf("node-%d", i%100)
	return o
}

func (t *loadTemplates) replicaSetOf(i int) *appsv1.ReplicaSet {
	o := t.replicaSet.DeepCopy()
	o.Name = loadName(i) + "-" + loadHash
	place(&o.ObjectMeta, i, uidReplicaSet, i, &metav1.OwnerReference{
		APIVersion: "apps/v1", Kind: "Deployment", Name: loadName(i), UID: loadUID(uidDeployment, i),
	})
	o.Spec.Selector.MatchLabels, o.Spec.Template.Labels = podLabels(i), podLabels(i)
	return o
}

func (t *loadTemplates) deploymentOf(i int) *appsv1.Deployment {
	o := t.deployment.DeepCopy()
	o.Name = loadName(i)
	place(&o.ObjectMeta, i, uidDeployment, i, nil)
	o.Spec.Selector.MatchLabels = map[string]string{loadLabel: loadName(i)}
	o.Spec.Template.Labels = map[string]string{loadLabel: loadName(i), "tier": "front"}
	return o
}

func (t *loadTemplates) hpaOf(i int, metric autoscalingv2.MetricSpec) *autoscalingv2.HorizontalPodAutoscaler {
	o := t.hpa.DeepCopy()
	o.Name = loadName(i)
	place(&o.ObjectMeta, i, uidHPA, i, nil)
	o.Spec.ScaleTargetRef.Name = loadName(i)
	o.Spec.Metrics = []autoscalingv2.MetricSpec{metric}
	return o
}

func metaLen(list ctrlclient.ObjectList) int { return meta.LenList(list) }
