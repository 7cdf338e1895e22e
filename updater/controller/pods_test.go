package controller

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"

	"github.com/quartet-autoscaling/quartet/internal/vertical"
)

// TestEndedPodsAreLeftOut: a controller counts pods that have ended, or are being
// deleted, no more, and neither does the updater. Nor does it count those without a
// node, as upstream.
func TestEndedPodsAreLeftOut(t *testing.T) {
	c, err := newPodCache(fake.NewClientset(), false)
	if err != nil {
		t.Fatal(err)
	}
	now := metav1.Now()
	for name, change := range map[string]func(*corev1.Pod){
		"runs":    func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning },
		"pending": func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending },
		"placed nowhere": func(p *corev1.Pod) {
			p.Status.Phase, p.Spec.NodeName = corev1.PodPending, ""
		},
		"done":   func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded },
		"failed": func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed },
		"going":  func(p *corev1.Pod) { p.Status.Phase, p.DeletionTimestamp = corev1.PodRunning, &now },
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "batch/v1", Kind: "Job", Name: "nightly", Controller: ptr.To(true)},
		}}, Spec: corev1.PodSpec{NodeName: "node-1"}}
		change(pod)
		if err := c.informer.GetIndexer().Add(pod); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]bool{}
	for _, pod := range c.of("shop", vertical.Ref{Kind: "Job", Name: "nightly"}) {
		got[pod.Name] = true
	}
	if diff := cmp.Diff(map[string]bool{"runs": true, "pending": true}, got); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
}
