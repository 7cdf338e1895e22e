package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/lab/stages"
)

// wanted is the CPU that byHand recommends for the workers, which ask for 100m.
const wanted = "300m"

// byHand makes an object of a recommender that does not run, and recommends in its
// place.
func (s *stage) byHand(mode vpav1.UpdateMode) {
	s.t.Helper()
	vpa := s.vpa(mode)
	vpa.Spec.Recommenders = []*vpav1.VerticalPodAutoscalerRecommenderSelector{{Name: "by-hand"}}
	client := s.vpas().AutoscalingV1().VerticalPodAutoscalers(s.namespace)
	made, err := client.Create(s.t.Context(), vpa, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	cpu := func(q string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(q)}
	}
	made.Status.Recommendation = &vpav1.RecommendedPodResources{ContainerRecommendations: []vpav1.RecommendedContainerResources{{
		ContainerName: "worker", LowerBound: cpu("200m"), Target: cpu(wanted), UpperBound: cpu("400m"),
	}}}
	if _, err := client.UpdateStatus(s.t.Context(), made, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// workersThat run with an annotation of the lab, "" for none: two of them, running.
func (s *stage) workersThat(annotation string) (uids []types.UID) {
	s.t.Helper()
	deployment := s.deployment(2)
	if annotation != "" {
		deployment.Spec.Template.Annotations = map[string]string{stages.Resize: annotation}
	}
	s.create(deployment)
	eventually(s.t, time.Minute, func() error {
		pods := s.pods(workload)
		uids = uids[:0]
		for _, p := range pods {
			if p.Status.Phase != corev1.PodRunning {
				return fmt.Errorf("pod %s is %s", p.Name, p.Status.Phase)
			}
			uids = append(uids, p.UID)
		}
		if len(pods) != 2 {
			return fmt.Errorf("%d pods, want 2", len(pods))
		}
		return nil
	})
	return uids
}

// rightSized tells whether both workers ask for and run with what is wanted, and
// are the given ones or, where kept is false, others.
func (s *stage) rightSized(uids []types.UID, kept bool) error {
	pods := s.pods(workload)
	if len(pods) != 2 {
		return fmt.Errorf("%d pods, want 2", len(pods))
	}
	for _, p := range pods {
		if slices.Contains(uids, p.UID) != kept {
			return fmt.Errorf("pod %s is there from the beginning: %t", p.Name, !kept)
		}
		asked := p.Spec.Containers[0].Resources.Requests.Cpu()
		if asked.Cmp(resource.MustParse(wanted)) != 0 {
			return fmt.Errorf("pod %s asks for %s", p.Name, asked)
		}
		if p.Status.Phase != corev1.PodRunning || len(p.Status.ContainerStatuses) != 1 || p.Status.ContainerStatuses[0].Resources == nil {
			return fmt.Errorf("pod %s is %s", p.Name, p.Status.Phase)
		}
		if has := p.Status.ContainerStatuses[0].Resources.Requests.Cpu(); has.Cmp(*asked) != 0 {
			return fmt.Errorf("pod %s runs with %s", p.Name, has)
		}
		if marked := p.Annotations["vpaInPlaceUpdated"] == "true"; marked != kept {
			return fmt.Errorf("pod %s is marked as resized: %t", p.Name, marked)
		}
	}
	return nil
}

// TestVPAResizesInPlace: pods that run get what is recommended and stay.
func TestVPAResizesInPlace(t *testing.T) {
	t.Parallel()
	s := newStageWithoutBroker(t, suite.lab, "")
	uids := s.workersThat("")
	s.byHand(vpav1.UpdateModeInPlaceOrRecreate)
	eventually(t, 2*time.Minute, func() error { return s.rightSized(uids, true) })
	eventually(t, 30*time.Second, func() error {
		events := &corev1.EventList{}
		if err := s.client.List(t.Context(), events, ctrlclient.InNamespace(s.namespace)); err != nil {
			return err
		}
		told := map[types.UID]bool{}
		for _, e := range events.Items {
			if e.Reason == "InPlaceResizedByVPA" {
				told[e.InvolvedObject.UID] = true
			}
		}
		if len(told) != 2 {
			return fmt.Errorf("%d pods have the event, want 2", len(told))
		}
		return nil
	})
	for _, p := range s.pods(workload) {
		if n := p.Status.ContainerStatuses[0].RestartCount; n != 0 {
			t.Errorf("pod %s was restarted %d times", p.Name, n)
		}
	}
}

// TestVPAInfeasibleResizeIsFollowedByAnEviction: the node can never have room, and
// the pods come back elsewhere with what is recommended.
func TestVPAInfeasibleResizeIsFollowedByAnEviction(t *testing.T) {
	t.Parallel()
	s := newStageWithoutBroker(t, suite.lab, "")
	uids := s.workersThat("Infeasible")
	s.byHand(vpav1.UpdateModeInPlaceOrRecreate)
	eventually(t, 3*time.Minute, func() error { return s.rightSized(uids, false) })
}

// TestVPADeferredResizeIsWaitedFor: while the node has no room the pods stay, and
// the decision names what the kubelet said and until when it is waited for. When
// there is room the resize goes on, and nothing was evicted.
func TestVPADeferredResizeIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := newStageWithoutBroker(t, suite.lab, "")
	uids := s.workersThat("Deferred")
	s.byHand(vpav1.UpdateModeInPlaceOrRecreate)
	eventually(t, 2*time.Minute, func() error {
		out, err := explain(t, s.lab.Kubeconfig(), "explain", "vpa", workload, "-n", s.namespace)
		if err != nil {
			return err
		}
		for _, want := range []string{"ResizeDeferred", "The lab was told that this resize is deferred", "it may be evicted"} {
			if !strings.Contains(out, want) {
				return fmt.Errorf("explain does not say %q:\n%s", want, out)
			}
		}
		return nil
	})
	for _, p := range s.pods(workload) {
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{stages.Resize: nil}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.client.Patch(t.Context(), &p, ctrlclient.RawPatch(types.MergePatchType, patch)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 2*time.Minute, func() error { return s.rightSized(uids, true) })
}
