package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/utils/ptr"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/crash"
)

// recommended is what createRecommended has the workload's pods ask for.
const recommended = "700m"

// createRecommended makes a VPA whose recommendation is there at once. It names a
// recommender that nobody runs, so that ours leaves it alone.
func (s *stage) createRecommended(mode vpav1.UpdateMode) {
	s.t.Helper()
	v := s.vpa(mode)
	v.Spec.Recommenders = []*vpav1.VerticalPodAutoscalerRecommenderSelector{{Name: "the-scene"}}
	client := s.vpas().AutoscalingV1().VerticalPodAutoscalers(s.namespace)
	v, err := client.Create(s.t.Context(), v, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	cpu := func(q string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(q)}
	}
	v.Status = vpav1.VerticalPodAutoscalerStatus{
		Conditions: []vpav1.VerticalPodAutoscalerCondition{{Type: vpav1.RecommendationProvided, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}},
		Recommendation: &vpav1.RecommendedPodResources{ContainerRecommendations: []vpav1.RecommendedContainerResources{{
			ContainerName: "worker", Target: cpu(recommended), LowerBound: cpu("500m"), UpperBound: cpu("900m"),
		}}},
	}
	if _, err := client.UpdateStatus(s.t.Context(), v, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// requestsText are the CPU requests of the workload's pods, in order.
func (s *stage) requestsText() string {
	s.t.Helper()
	var all []string
	for _, p := range s.pods(workload) {
		all = append(all, p.Spec.Containers[0].Resources.Requests.Cpu().String())
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// unpatched are the pods that do not ask for what is recommended.
func unpatched(pods []corev1.Pod) []corev1.Pod {
	return slices.DeleteFunc(slices.Clone(pods), func(p corev1.Pod) bool {
		return p.Spec.Containers[0].Resources.Requests.Cpu().String() == recommended
	})
}

// awaitAdmission waits until the updater has seen the webhook's lease, which both
// take their time for at their start: the rounds are to be of one length.
func awaitAdmission(s *stage) []crash.Invariant {
	s.t.Helper()
	s.createRecommended(vpav1.UpdateModeRecreate) // Without an object nobody looks for the lease.
	eventually(s.t, 60*time.Second, func() error {
		line, err := readyDetail(suite.release.Process("vpa-updater"), "admission")
		if err == nil && !strings.Contains(line, "was renewed") {
			err = errors.New(line)
		}
		return err
	})
	return nil
}

// playUpdates gives four pods that ask for too little a recommendation: each is
// evicted once, under a budget, and comes back with what was recommended.
func playUpdates(s *stage) crash.Outcome {
	s.t.Helper()
	const pods = 4
	broken := s.watchBudgets()
	d := s.deployment(pods)
	d.Spec.Template.Spec.TerminationGracePeriodSeconds = ptr.To(int64(1))
	s.create(s.budget(workload, intstr.FromInt32(pods/2)), d)
	seen := map[types.UID]bool{}
	for _, p := range s.awaitRunning(workload, pods) {
		seen[p.UID] = true
	}
	s.createRecommended(vpav1.UpdateModeRecreate)
	eventually(s.t, 90*time.Second, func() error {
		all := s.pods(workload)
		for _, p := range all {
			seen[p.UID] = true
		}
		if left := unpatched(all); len(left) > 0 || len(all) != pods {
			return fmt.Errorf("%d of %d pods ask for too little", len(left), len(all))
		}
		return nil
	})
	s.awaitRunning(workload, pods)
	return crash.Outcome{
		"requests":       s.requestsText(),
		"pods ever":      fmt.Sprint(len(seen)),
		"pods pending":   fmt.Sprint(s.pending()),
		"budgets broken": broken(),
	}
}

// playAdmissions grows a workload pod by pod. Whatever becomes of the webhook, no
// pod is refused; those that came while it was away are made anew afterwards.
func playAdmissions(s *stage) crash.Outcome {
	s.t.Helper()
	const pods = 16
	s.createRecommended(vpav1.UpdateModeInitial)
	d := s.deployment(0)
	d.Spec.Template.Spec.TerminationGracePeriodSeconds = ptr.To(int64(1))
	s.create(d)
	for n := range int32(pods) {
		patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n+1)
		if err := s.client.Patch(s.t.Context(), &appsv1.Deployment{ObjectMeta: s.meta(workload)}, ctrlclient.RawPatch(types.MergePatchType, patch)); err != nil {
			s.t.Fatal(err)
		}
		s.awaitRunning(workload, int(n)+1)
	}
	eventually(s.t, 60*time.Second, func() error {
		left := unpatched(s.pods(workload))
		for i := range left {
			if err := ctrlclient.IgnoreNotFound(s.client.Delete(s.t.Context(), &left[i])); err != nil {
				return err
			}
		}
		if len(left) > 0 {
			s.awaitRunning(workload, pods)
			return fmt.Errorf("%d pods were not patched", len(left))
		}
		return nil
	})
	s.awaitRunning(workload, pods)
	return crash.Outcome{
		"requests":     s.requestsText(),
		"pods pending": fmt.Sprint(s.pending()),
		"pods refused": s.refusals(),
	}
}

// refusals are the events that tell of pods which could not be made.
func (s *stage) refusals() string {
	s.t.Helper()
	var events corev1.EventList
	if err := s.client.List(s.t.Context(), &events, ctrlclient.InNamespace(s.namespace)); err != nil {
		s.t.Fatal(err)
	}
	var all []string
	for _, e := range events.Items {
		if e.Reason == "FailedCreate" {
			all = append(all, e.Message)
		}
	}
	return strings.Join(all, "; ")
}

// witnessCertificate holds vpa-admission to the certificate that it has, and to
// the lease that lets the updater evict.
func witnessCertificate(s *stage) []crash.Invariant {
	s.t.Helper()
	had, err := webhookTrust(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return []crash.Invariant{
		{Name: "the certificate is kept", Check: func(ctx context.Context) error {
			return settled(ctx, func() error {
				has, err := webhookTrust(ctx)
				if err == nil && !cmp.Equal(had, has) {
					err = errors.New("it is another one")
				}
				return err
			})
		}},
		{Name: "the updater may evict", Check: func(ctx context.Context) error {
			return settled(ctx, func() error {
				var lease coordinationv1.Lease
				key := ctrlclient.ObjectKey{Namespace: suite.release.Namespace(), Name: "vpa-admission-controller"}
				if err := suite.lab.Client().Get(ctx, key, &lease); err != nil {
					return err
				}
				if lease.Spec.RenewTime == nil || time.Since(lease.Spec.RenewTime.Time) > 30*time.Second {
					return fmt.Errorf("lease %s was renewed at %v", key, lease.Spec.RenewTime)
				}
				return nil
			})
		}},
	}
}

// webhookTrust is the webhook's certificate, by its Secret's keys, and under its
// configuration's name what the API server trusts it by.
func webhookTrust(ctx context.Context) (map[string][]byte, error) {
	var secret corev1.Secret
	if err := suite.lab.Client().Get(ctx, ctrlclient.ObjectKey{Namespace: suite.release.Namespace(), Name: "vpa-admission-webhook"}, &secret); err != nil {
		return nil, err
	}
	var webhooks admissionregistrationv1.MutatingWebhookConfiguration
	if err := suite.lab.Client().Get(ctx, ctrlclient.ObjectKey{Name: "quartet-vpa-admission"}, &webhooks); err != nil {
		return nil, err
	}
	trust := secret.Data
	for _, w := range webhooks.Webhooks {
		trust[webhooks.Name+" "+w.Name] = w.ClientConfig.CABundle
	}
	return trust, nil
}
