package lab

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"
)

// OOMKill kills a running container of a fake pod as the kernel does when memory runs out, and starts it again as a
// kubelet does: exit code 137, reason OOMKilled, one restart more. In between the pod is not Ready. It returns when
// the container runs again. A container that its pod's policy never restarts cannot be killed.
func (l *Lab) OOMKill(ctx context.Context, namespace, pod, container string) error {
	key := ctrlclient.ObjectKey{Namespace: namespace, Name: pod}
	change := func(apply func(*corev1.Pod, *corev1.ContainerStatus) error) error {
		return l.changeContainer(ctx, key, container, apply)
	}
	err := change(kill)
	if err == nil {
		err = change(restart)
	}
	if err != nil {
		return fmt.Errorf("killing container %s of pod %s for its memory: %w", container, key, err)
	}
	return nil
}

// changeContainer changes a container's status on top of whatever else happens to the pod meanwhile.
func (l *Lab) changeContainer(ctx context.Context, key ctrlclient.ObjectKey, container string, apply func(*corev1.Pod, *corev1.ContainerStatus) error) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		var pod corev1.Pod
		if err := l.client.Get(ctx, key, &pod); err != nil {
			return err
		}
		i := slices.IndexFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == container })
		if i < 0 {
			return fmt.Errorf("it has no status of that container")
		}
		if err := apply(&pod, &pod.Status.ContainerStatuses[i]); err != nil {
			return err
		}
		ready := corev1.ConditionTrue
		if slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return !s.Ready }) {
			ready = corev1.ConditionFalse
		}
		setReady(&pod, ready)
		return l.client.Status().Update(ctx, &pod)
	})
}

func kill(pod *corev1.Pod, s *corev1.ContainerStatus) error {
	if s.State.Running == nil || pod.Status.Phase != corev1.PodRunning {
		return fmt.Errorf("it does not run, its pod is %s", pod.Status.Phase)
	}
	if pod.Spec.RestartPolicy == corev1.RestartPolicyNever {
		return fmt.Errorf("its pod is never restarted")
	}
	s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: 137, Reason: "OOMKilled", StartedAt: s.State.Running.StartedAt, FinishedAt: metav1.Now(),
	}}
	s.Ready, s.Started = false, ptr.To(false)
	return nil
}

func restart(_ *corev1.Pod, s *corev1.ContainerStatus) error {
	if s.State.Terminated == nil {
		return fmt.Errorf("somebody else started it again")
	}
	s.LastTerminationState = s.State
	s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
	s.RestartCount++
	s.Ready, s.Started = true, ptr.To(true)
	return nil
}

// setReady writes both conditions that follow the containers.
func setReady(pod *corev1.Pod, status corev1.ConditionStatus) {
	for i := range pod.Status.Conditions {
		c := &pod.Status.Conditions[i]
		if c.Type != corev1.PodReady && c.Type != corev1.ContainersReady || c.Status == status {
			continue
		}
		c.Status, c.LastTransitionTime = status, metav1.Now()
		c.Reason, c.Message = "", ""
		if status != corev1.ConditionTrue {
			c.Reason = "ContainersNotReady"
		}
	}
}
