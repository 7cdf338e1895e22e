package vertical_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/quartet-autoscaling/quartet/internal/vertical"
)

// What is kept of LimitRanges follows them at once.
func TestLimitRangesFollowTheirObjects(t *testing.T) {
	client := fake.NewClientset()
	limits := vertical.NewLimitRanges(client)
	go limits.Run(t.Context())
	ranges := client.CoreV1().LimitRanges("shop")
	of := func(name, most string) *corev1.LimitRange {
		return &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type: corev1.LimitTypeContainer, Max: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(most)},
		}}}}
	}
	most := func() string {
		b := limits.Of("shop").Container
		if b == nil {
			return ""
		}
		return b.Max.Cpu().String()
	}
	becomes := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); most() != want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the maximum is %q, want %q", most(), want)
			}
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); !limits.Synced(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the cache is not filled")
		}
	}
	becomes("")
	_, err := ranges.Create(t.Context(), of("a", "4"), metav1.CreateOptions{})
	must(err)
	becomes("4")
	_, err = ranges.Create(t.Context(), of("b", "2"), metav1.CreateOptions{})
	must(err)
	becomes("2")
	_, err = ranges.Update(t.Context(), of("b", "3"), metav1.UpdateOptions{})
	must(err)
	becomes("3")
	must(ranges.Delete(t.Context(), "b", metav1.DeleteOptions{}))
	becomes("4")
	must(ranges.Delete(t.Context(), "a", metav1.DeleteOptions{}))
	becomes("")
	if limits.Of("other").Container != nil {
		t.Error("another namespace has limits")
	}
}
