package httpsource_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	httpsource "github.com/quartet-autoscaling/quartet/adapter/source/http"
)

// worker is a pod that takes requests, with all that pods have.
func worker(name string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "shop", Labels: map[string]string{"app": "worker"},
			Annotations: map[string]string{"note": "long"}, Finalizers: []string{"example.com/kept"},
		},
		Spec: corev1.PodSpec{
			NodeName: "node-1",
			Containers: []corev1.Container{
				{Name: "main", Image: "worker:1", Ports: []corev1.ContainerPort{{Name: "metrics", ContainerPort: 9090}, {ContainerPort: 80}}},
				{Name: "log", Image: "log:1"},
			},
			InitContainers: []corev1.Container{{Name: "proxy", Ports: []corev1.ContainerPort{{Name: "admin", ContainerPort: 15000}}}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.0.0.1", HostIP: "192.168.0.1",
			Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
	change(p)
	return p
}

func TestReadyPods(t *testing.T) {
	as := func(*corev1.Pod) {}
	deleted := metav1.NewTime(time.Unix(1700000000, 0))
	pods := []*corev1.Pod{
		worker("b", as), worker("a", as),
		worker("unready", func(p *corev1.Pod) { p.Status.Conditions[1].Status = corev1.ConditionFalse }),
		worker("new", func(p *corev1.Pod) { p.Status.Conditions = nil }),
		worker("done", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
		worker("without-address", func(p *corev1.Pod) { p.Status.PodIP = "" }),
		worker("going", func(p *corev1.Pod) { p.DeletionTimestamp = &deleted }),
		worker("other", func(p *corev1.Pod) { p.Labels["app"] = "web" }),
		worker("elsewhere", func(p *corev1.Pod) { p.Namespace = "jobs" }),
	}
	whole, stripped := fake.NewClientBuilder(), fake.NewClientBuilder()
	for _, p := range pods {
		whole.WithObjects(p)
		kept, err := httpsource.ReadinessOnly(p.DeepCopy())
		if err != nil {
			t.Fatal(err)
		}
		small := kept.(*corev1.Pod)
		if small.Spec.NodeName != "" || small.Annotations != nil || len(small.Spec.Containers) != 1 || len(small.Status.Conditions) > 1 {
			t.Errorf("too much is kept of pod %s: %+v", p.Name, small)
		}
		// The fake refuses a pod that is being deleted and that nothing holds.
		small.Finalizers = p.Finalizers
		stripped.WithObjects(small)
	}
	ports := map[string]int32{"metrics": 9090, "admin": 15000}
	want := []httpsource.Pod{{Name: "a", IP: "10.0.0.1", Ports: ports}, {Name: "b", IP: "10.0.0.1", Ports: ports}}
	for name, reader := range map[string]client.Reader{"whole pods": whole.Build(), "what a cache keeps of them": stripped.Build()} {
		t.Run(name, func(t *testing.T) {
			got, err := httpsource.CachedPods{Reader: reader}.Ready(t.Context(), "shop", labels.SelectorFromSet(labels.Set{"app": "worker"}))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	tombstone := cache.DeletedFinalStateUnknown{Key: "shop/a"}
	if got, err := httpsource.ReadinessOnly(tombstone); got != tombstone || err != nil {
		t.Errorf("a tombstone became %v, %v", got, err)
	}
}

func TestPodsThatCannotBeListed(t *testing.T) {
	reader := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			return errors.New("the cache is not started")
		},
	}).Build()
	if got, err := (httpsource.CachedPods{Reader: reader}).Ready(t.Context(), "shop", labels.Everything()); err == nil {
		t.Errorf("got %v, want an error", got)
	}
}
