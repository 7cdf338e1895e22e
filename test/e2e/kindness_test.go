package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

// withVPA adds workers that ask for far too little, and a VPA that updates them.
func (s *stage) withVPA(replicas int32) {
	s.t.Helper()
	s.create(s.deployment(replicas))
	err := s.lab.SetUsage(s.t.Context(), lab.Usage{
		Namespace: s.namespace, Selector: labels.SelectorFromSet(labels.Set{"app": workload}),
		CPU: resource.MustParse("800m"), Memory: resource.MustParse("300Mi"),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.vpas().AutoscalingV1().VerticalPodAutoscalers(s.namespace).Create(s.t.Context(), s.vpa(vpav1.UpdateModeRecreate), metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// explained waits until `explain pod` says a text of each worker, which must be
// those that were there before.
func (s *stage) explained(before map[string]bool, text string) {
	s.t.Helper()
	eventually(s.t, 4*time.Minute, func() error {
		for _, p := range s.pods(workload) {
			if !before[p.Name] {
				s.t.Fatalf("pod %s took the place of another before it was time", p.Name)
			}
			out, err := explain(s.t, s.lab.Kubeconfig(), "explain", "pod", p.Name, "-n", s.namespace)
			if err != nil || !strings.Contains(out, text) {
				return fmt.Errorf("explain pod %s does not say %q: %w\n%s", p.Name, text, err, out)
			}
		}
		return nil
	})
}

// wellSized wants so many running workers with what is recommended.
func (s *stage) wellSized(n int) error {
	pods := s.pods(workload)
	for _, p := range pods {
		request := p.Spec.Containers[0].Resources.Requests.Cpu()
		if request.Cmp(resource.MustParse("800m")) < 0 || p.Status.Phase != corev1.PodRunning {
			return fmt.Errorf("pod %s asks for %s and is %s", p.Name, request, p.Status.Phase)
		}
	}
	if len(pods) != n {
		return fmt.Errorf("%d pods, want %d", len(pods), n)
	}
	return nil
}

// TestVPAKeepsWindowsAndQuota: pods that need an update are not evicted outside of
// the policy's window, nor into a quota that would refuse them, and explain says
// so; once both allow it they are.
func TestVPAKeepsWindowsAndQuota(t *testing.T) {
	t.Parallel()
	s := newStageWithoutBroker(t, suite.lab, "")
	quota := &corev1.ResourceQuota{ObjectMeta: s.meta("compute"), Spec: corev1.ResourceQuotaSpec{
		Hard: corev1.ResourceList{corev1.ResourceRequestsCPU: resource.MustParse("700m")},
	}}
	policy := s.verticalPolicy("calm", v1alpha1.VerticalScalingPolicySpec{
		Fit: v1alpha1.FitRequire,
		Disruption: &v1alpha1.Disruption{Windows: []v1alpha1.RecurringWindow{
			// Half a year away at the least, in whatever month this runs.
			{Cron: "0 0 1 " + time.Now().AddDate(0, 6, 0).Format("1") + " *", Duration: metav1.Duration{Duration: time.Minute}},
		}},
	})
	s.create(quota, policy)
	s.withVPA(2)
	eventually(t, time.Minute, func() error {
		if n := len(s.pods(workload)); n != 2 {
			return fmt.Errorf("%d pods, want 2", n)
		}
		return nil
	})
	before := map[string]bool{}
	for _, p := range s.pods(workload) {
		before[p.Name] = true
	}
	s.explained(before, "OutsideWindow")

	patch := ctrlclient.MergeFrom(policy.DeepCopy())
	policy.Spec.Disruption = nil
	if err := s.client.Patch(t.Context(), policy, patch); err != nil {
		t.Fatal(err)
	}
	s.explained(before, "ResourceQuota compute: requests.cpu would be")

	patch = ctrlclient.MergeFrom(quota.DeepCopy())
	quota.Spec.Hard[corev1.ResourceRequestsCPU] = resource.MustParse("4")
	if err := s.client.Patch(t.Context(), quota, patch); err != nil {
		t.Fatal(err)
	}
	eventually(t, 4*time.Minute, func() error { return s.wellSized(2) })
}

// TestVPASurgesASingleReplica: the one pod of a Deployment is not evicted; a rollout
// brings the new one first.
func TestVPASurgesASingleReplica(t *testing.T) {
	t.Parallel()
	s := newStageWithoutBroker(t, suite.lab, "")
	s.create(s.verticalPolicy("surge", v1alpha1.VerticalScalingPolicySpec{Disruption: &v1alpha1.Disruption{Surge: "SingleReplica"}}))
	s.withVPA(1)
	eventually(t, 4*time.Minute, func() error {
		d := &appsv1.Deployment{}
		if err := s.client.Get(t.Context(), ctrlclient.ObjectKey{Namespace: s.namespace, Name: workload}, d); err != nil {
			return err
		}
		if d.Spec.Template.Annotations["kubectl.kubernetes.io/restartedAt"] == "" {
			return fmt.Errorf("no rollout was asked for")
		}
		return s.wellSized(1)
	})
}
