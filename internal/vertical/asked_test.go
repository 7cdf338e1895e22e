package vertical_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/quartet-autoscaling/quartet/internal/vertical"
)

func TestPodsOfANewReplicaSetAskOnce(t *testing.T) {
	owner := true
	client := fake.NewClientset(&appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "web-1", UID: "rs-1",
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", Controller: &owner}},
	}})
	asked, fail := 0, true
	client.PrependReactor("get", "replicasets", func(clienttesting.Action) (bool, runtime.Object, error) {
		// Reactors are called one at a time.
		asked++
		return fail, nil, errors.New("not now")
	})
	controllers, err := vertical.NewControllers(client, false)
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-1", UID: "rs-1", Controller: &owner}},
	}}
	if _, _, err := controllers.Topmost(t.Context(), pod); err == nil {
		t.Error("an answer that failed is one")
	}
	fail, asked = false, 0
	var running sync.WaitGroup
	for range 50 {
		running.Go(func() {
			if top, ok, err := controllers.Topmost(t.Context(), pod); err != nil || !ok || top != (vertical.Ref{Kind: "Deployment", Name: "web"}) {
				t.Errorf("topmost %v %t: %v", top, ok, err)
			}
		})
	}
	running.Wait()
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	pod.OwnerReferences[0].UID = "rs-2"
	if _, _, err := controllers.Topmost(gone, pod); err == nil {
		t.Error("who does not wait has an answer")
	}
}
