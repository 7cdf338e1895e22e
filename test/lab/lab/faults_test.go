package lab_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/lab/labtest"
	"github.com/quartet-autoscaling/quartet/test/lab/stages"
)

// TestFaults: what a kubelet, a kernel and a cloud do to pods and nodes, in one lab.
func TestFaults(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Options{Name: "faults", Nodes: 2})
	t.Run("a resize is played through", func(t *testing.T) { testResize(t, l) })
	t.Run("a resize is refused", func(t *testing.T) { testResizeRefused(t, l) })
	t.Run("a container runs out of memory", func(t *testing.T) { testOOMKill(t, l) })
	t.Run("a node fails and heals", func(t *testing.T) { testNodeFails(t, l) })
	t.Run("a node boots slowly, or never", func(t *testing.T) { testSlowBoot(t, l) })
	t.Run("a node goes slowly, or never", func(t *testing.T) { testSlowDeletion(t, l) })
}

// startPod starts a pod of two containers, of which one asks for 100m and 64Mi, and waits until it runs.
func startPod(t *testing.T, l *lab.Lab, name, node string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{
			{Name: "sidecar", Image: "nothing-to-pull"},
			{Name: "main", Image: "nothing-to-pull", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi"),
			}}},
		}},
	}
	if err := l.Client().Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	eventually(t, "pod "+name, func() error {
		if err := read(t, l, pod); err != nil {
			return err
		}
		if pod.Status.Phase != corev1.PodRunning {
			return fmt.Errorf("it is %s", pod.Status.Phase)
		}
		return nil
	})
	return pod
}

func read(t *testing.T, l *lab.Lab, object ctrlclient.Object) error {
	t.Helper()
	return l.Client().Get(t.Context(), ctrlclient.ObjectKeyFromObject(object), object)
}

func kubectl(t *testing.T, l *lab.Lab, args ...string) string {
	t.Helper()
	out, err := l.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// resize asks for another CPU request of the container main.
func resize(t *testing.T, l *lab.Lab, pod, cpu string) {
	t.Helper()
	kubectl(t, l, "patch", "pod", pod, "--subresource", "resize", "--patch",
		fmt.Sprintf(`{"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":%q}}}]}}`, cpu))
}

// awaitRuns waits until main runs, and is allotted, what it is to, with no condition of a resize left.
func awaitRuns(t *testing.T, l *lab.Lab, pod *corev1.Pod, cpu string) {
	t.Helper()
	want := resource.MustParse(cpu)
	eventually(t, "main to run with "+cpu, func() error {
		if err := read(t, l, pod); err != nil {
			return err
		}
		s := pod.Status.ContainerStatuses[1]
		if s.Resources == nil || !s.Resources.Requests.Cpu().Equal(want) || !s.AllocatedResources.Cpu().Equal(want) {
			return fmt.Errorf("it runs with %v, is allotted %v", s.Resources, s.AllocatedResources)
		}
		if c := condition(pod, corev1.PodResizePending, corev1.PodResizeInProgress); c != nil {
			return fmt.Errorf("it has the condition %s", c)
		}
		return nil
	})
}

// condition returns the pod's first condition of these types, or nil.
func condition(pod *corev1.Pod, types ...corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		for _, kind := range types {
			if pod.Status.Conditions[i].Type == kind {
				return &pod.Status.Conditions[i]
			}
		}
	}
	return nil
}

func testResize(t *testing.T, l *lab.Lab) {
	pod := startPod(t, l, "resized", "node-0")
	awaitRuns(t, l, pod, "100m") // A container that starts shows what it runs with.
	before := pod.Status.ContainerStatuses[1]

	kubectl(t, l, "annotate", "pod", pod.Name, stages.ResizeDelay+"=1500ms")
	begin := time.Now()
	resize(t, l, pod.Name, "250m")
	eventually(t, "the resize to be in progress", func() error {
		if err := read(t, l, pod); err != nil {
			return err
		}
		if condition(pod, corev1.PodResizeInProgress) == nil {
			return errors.New("it has no such condition")
		}
		return nil
	})
	if got := pod.Status.ContainerStatuses[1].Resources.Requests.Cpu().String(); got != "100m" {
		t.Errorf("main runs with %s before its resize ended", got)
	}
	awaitRuns(t, l, pod, "250m")
	if took := time.Since(begin); took < 1500*time.Millisecond {
		t.Errorf("it took %s, want its delay or more", took)
	}
	after := pod.Status.ContainerStatuses[1]
	after.Resources, after.AllocatedResources = before.Resources, before.AllocatedResources
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the resize changed more of the status (-before +after):\n%s", diff)
	}
}

func testResizeRefused(t *testing.T, l *lab.Lab) {
	pod := startPod(t, l, "refused", "node-0")
	pending := func(reason string) {
		t.Helper()
		eventually(t, "the resize to be "+reason, func() error {
			if err := read(t, l, pod); err != nil {
				return err
			}
			if c := condition(pod, corev1.PodResizePending); c == nil || c.Reason != reason || c.Status != corev1.ConditionTrue {
				return fmt.Errorf("the condition is %v", c)
			}
			return nil
		})
	}
	kubectl(t, l, "annotate", "pod", pod.Name, stages.Resize+"=Deferred")
	resize(t, l, pod.Name, "200m")
	pending("Deferred")
	kubectl(t, l, "annotate", "pod", pod.Name, "--overwrite", stages.Resize+"=Infeasible")
	pending("Infeasible")
	if got := pod.Status.ContainerStatuses[1].Resources.Requests.Cpu().String(); got != "100m" {
		t.Errorf("main runs with %s though its resize was refused", got)
	}
	resize(t, l, pod.Name, "100m") // taken back
	awaitRuns(t, l, pod, "100m")
	resize(t, l, pod.Name, "300m")
	pending("Infeasible")
	kubectl(t, l, "annotate", "pod", pod.Name, stages.Resize+"-")
	awaitRuns(t, l, pod, "300m")
}

func testOOMKill(t *testing.T, l *lab.Lab) {
	ctx := t.Context()
	pod := startPod(t, l, "greedy", "node-0")
	for want := int32(1); want <= 2; want++ {
		if err := l.OOMKill(ctx, "default", "greedy", "main"); err != nil {
			t.Fatal(err)
		}
		resize(t, l, "greedy", fmt.Sprintf("%d00m", want+1))
		awaitRuns(t, l, pod, fmt.Sprintf("%d00m", want+1))
		s := pod.Status.ContainerStatuses[1]
		last := s.LastTerminationState.Terminated
		if s.RestartCount != want || s.State.Running == nil || !s.Ready || last == nil || last.Reason != "OOMKilled" || last.ExitCode != 137 ||
			last.StartedAt.IsZero() || last.FinishedAt.Before(&last.StartedAt) || s.State.Running.StartedAt.Before(&last.FinishedAt) {
			t.Errorf("after kill %d the status is %+v, last %+v", want, s, last)
		}
		if c := condition(pod, corev1.PodReady); c.Status != corev1.ConditionTrue {
			t.Errorf("after kill %d the pod is not Ready: %+v", want, c)
		}
	}
	if s := pod.Status.ContainerStatuses[0]; s.RestartCount != 0 || s.LastTerminationState.Terminated != nil {
		t.Errorf("the other container suffered too: %+v", s)
	}
	if err := l.OOMKill(ctx, "default", "greedy", "nobody"); err == nil {
		t.Error("a container that is not there was killed")
	}
}

func testNodeFails(t *testing.T, l *lab.Lab) {
	ctx := t.Context()
	running := startPod(t, l, "running", "node-1")
	doomed := startPod(t, l, "doomed", "node-1")
	if err := l.FailNode(ctx, "node-1"); err != nil {
		t.Fatal(err)
	}
	if err := read(t, l, running); err != nil || condition(running, corev1.PodReady).Status != corev1.ConditionFalse {
		t.Errorf("a pod of a failed node is Ready: %v", err)
	}
	eventually(t, "the taint of a silent node", func() error {
		if out := kubectl(t, l, "get", "node", "node-1", "-o", "jsonpath={.spec.taints[*].key}"); !containsWord(out, corev1.TaintNodeUnreachable) {
			return fmt.Errorf("its taints are %q", out)
		}
		return nil
	})
	if err := l.Client().Delete(ctx, doomed); err != nil {
		t.Fatal(err)
	}
	kubectl(t, l, "annotate", "node", "node-1", "somebody=looks") // It must not heal by that.
	time.Sleep(time.Second)                                       // Nothing is to happen, so there is nothing to wait for.
	if err := read(t, l, doomed); err != nil || doomed.DeletionTimestamp == nil {
		t.Errorf("a pod went from a failed node: %v", err)
	}
	if out := kubectl(t, l, "get", "node", "node-1", "--no-headers"); !containsWord(out, "NotReady") {
		t.Errorf("the failed node is %q", out)
	}
	if err := l.HealNode(ctx, "node-1"); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, l, doomed)
	if err := read(t, l, running); err != nil || condition(running, corev1.PodReady).Status != corev1.ConditionTrue {
		t.Errorf("a pod of a healed node is not Ready: %v", err)
	}
	startPod(t, l, "late", "node-1")
}

func testSlowBoot(t *testing.T, l *lab.Lab) {
	ctx := t.Context()
	begin := time.Now()
	err := l.AddNodes(ctx, lab.NodeGroup{Prefix: "slow", Count: 1, Labels: map[string]string{stages.BootSeconds: "3"}})
	if took := time.Since(begin); err != nil || took < 2*time.Second { // The creation's time has whole seconds.
		t.Errorf("it took %s: %v", took, err)
	}
	dead := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "dead", Annotations: map[string]string{stages.BootSeconds: stages.Never}}}
	if err := l.Client().Create(ctx, dead); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // Nothing is to happen.
	if out := kubectl(t, l, "get", "node", "dead", "-o", "jsonpath={.status.conditions}"); out != "" {
		t.Errorf("a node that never boots has the conditions %s", out)
	}
}

func testSlowDeletion(t *testing.T, l *lab.Lab) {
	ctx := t.Context()
	err := l.AddNodes(ctx, lab.NodeGroup{Prefix: "lingering", Count: 1, Labels: map[string]string{stages.DeletionSeconds: "3"}})
	if err != nil {
		t.Fatal(err)
	}
	lingering := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "lingering-0"}}
	begin := time.Now()
	if err := l.Client().Delete(ctx, lingering); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, l, lingering)
	if took := time.Since(begin); took < 2*time.Second {
		t.Errorf("it was gone after %s", took)
	}

	stuck := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "slow-0"}}
	if err := l.HoldNode(ctx, stuck.Name); err != nil {
		t.Fatal(err)
	}
	if err := l.Client().Delete(ctx, stuck); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // Nothing is to happen.
	if err := read(t, l, stuck); err != nil || stuck.DeletionTimestamp == nil {
		t.Errorf("a held node does not wait for its release: %v", err)
	}
	if err := l.ReleaseNode(ctx, stuck.Name); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, l, stuck)
}

func awaitGone(t *testing.T, l *lab.Lab, object ctrlclient.Object) {
	t.Helper()
	eventually(t, "the end of "+object.GetName(), func() error {
		err := read(t, l, object)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("it is there"), err)
	})
}

func containsWord(text, word string) bool {
	return slices.Contains(strings.Fields(text), word)
}
