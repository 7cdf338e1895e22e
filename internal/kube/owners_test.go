package kube

import (
	"context"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	scalefake "k8s.io/client-go/scale/fake"
	"k8s.io/client-go/tools/cache"
)

func controlledBy(apiVersion, kind, name, uid string) metav1.ObjectMeta {
	yes := true
	return metav1.ObjectMeta{Namespace: "shop", OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "v1", Kind: "Node", Name: "not-a-controller"},
		{APIVersion: apiVersion, Kind: kind, Name: name, UID: types.UID(uid), Controller: &yes},
	}}
}

func TestOwnership(t *testing.T) {
	replicaSet := func(name, uid string, m metav1.ObjectMeta) *appsv1.ReplicaSet {
		m.Namespace, m.Name, m.UID = "shop", name, types.UID(uid)
		return &appsv1.ReplicaSet{ObjectMeta: m}
	}
	client := fake.NewClientset(
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "web"}},
		replicaSet("web-1", "web-1", controlledBy("apps/v1", "Deployment", "web", "web")),
		replicaSet("ro-1", "ro-1", controlledBy("argoproj.io/v1alpha1", "Rollout", "ro", "ro")),
		replicaSet("alone", "alone", metav1.ObjectMeta{}),
	)
	targets, err := NewTargets(client, ScalesFor(&scalefake.FakeScaleClient{}, mapper()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { targets.Run(ctx) })
	defer running.Wait()
	defer cancel()
	if !cache.WaitForCacheSync(ctx.Done(), targets.Synced) {
		t.Fatal("the caches did not fill")
	}
	tests := map[string]struct {
		pod    metav1.ObjectMeta
		target types.UID
		want   Ownership
		top    string
	}{
		"through a ReplicaSet":            {controlledBy("apps/v1", "ReplicaSet", "web-1", "web-1"), "web", Owned, "Deployment web"},
		"to the ReplicaSet":               {controlledBy("apps/v1", "ReplicaSet", "web-1", "web-1"), "web-1", Owned, "Deployment web"},
		"to a custom resource":            {controlledBy("apps/v1", "ReplicaSet", "ro-1", "ro-1"), "ro", Owned, "Rollout ro"},
		"to another":                      {controlledBy("apps/v1", "ReplicaSet", "ro-1", "ro-1"), "web", Elsewhere, "Rollout ro"},
		"a ReplicaSet of nobody":          {controlledBy("apps/v1", "ReplicaSet", "alone", "alone"), "web", Elsewhere, "ReplicaSet alone"},
		"a ReplicaSet that is not cached": {controlledBy("apps/v1", "ReplicaSet", "web-2", "web-2"), "web", Pending, "ReplicaSet web-2"},
		"a ReplicaSet of an older life":   {controlledBy("apps/v1", "ReplicaSet", "web-1", "older"), "web", Pending, "ReplicaSet web-1"},
		"straight":                        {controlledBy("apps/v1", "StatefulSet", "db", "db"), "db", Owned, "StatefulSet db"},
		"a Job":                           {controlledBy("batch/v1", "Job", "load", "load"), "web", Elsewhere, "Job load"},
		"nothing":                         {metav1.ObjectMeta{Namespace: "shop"}, "web", Elsewhere, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: tc.pod}
			if got := targets.Ownership(pod, tc.target); got != tc.want {
				t.Errorf("ownership %d, want %d", got, tc.want)
			}
			if got := targets.TopOwner(pod); got != tc.top {
				t.Errorf("top owner %q, want %q", got, tc.top)
			}
		})
	}
}
