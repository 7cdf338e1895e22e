package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/internal/kube"
)

// TestCachedScalesAreTheServers compares, for each cached kind, the scale that is
// derived from the object with the one that the API server gives.
func TestCachedScalesAreTheServers(t *testing.T) {
	t.Parallel()
	s := newStage(t, suite.lab)
	client, err := kube.NewClient(suite.lab.Config())
	if err != nil {
		t.Fatal(err)
	}
	scales, err := kube.NewScales(suite.lab.Config())
	if err != nil {
		t.Fatal(err)
	}
	targets, err := kube.NewTargets(client, scales)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { targets.Run(ctx) })
	defer running.Wait()
	defer cancel()

	for kind, object := range scaledObjects(s.namespace) {
		s.create(object)
		t.Run(kind, func(t *testing.T) {
			ref := kube.Ref{Namespace: s.namespace, APIVersion: "apps/v1", Kind: kind, Name: "target"}
			same := func(count int32) {
				eventually(t, time.Minute, func() error {
					read, err := scales.Get(ctx, ref)
					if err != nil {
						return err
					}
					if read.Spec.Replicas != count || read.Status.Replicas != count {
						return fmt.Errorf("the server has %d of %d, want %d", read.Status.Replicas, read.Spec.Replicas, count)
					}
					if targets.Find(ref) == nil {
						return fmt.Errorf("not cached")
					}
					cached, err := targets.Get(ctx, ref)
					if err != nil {
						return err
					}
					if diff := cmp.Diff(read.Scale, cached.Scale); diff != "" || read.Resource != cached.Resource {
						return fmt.Errorf("resource %v, want %v (-server +cache):\n%s", cached.Resource, read.Resource, diff)
					}
					return nil
				})
			}
			same(2)
			read, err := targets.Get(ctx, ref)
			if err == nil {
				err = targets.Set(ctx, read, 3, "test")
			}
			if err != nil {
				t.Fatal(err)
			}
			if now, err := targets.Get(ctx, ref); err != nil || now.Spec.Replicas != 3 {
				t.Errorf("after the write %+v, %v is read", now.Spec, err)
			}
			same(3)
			// The API server keeps no time of a write of the scale. Reads were live until the
			// cache has it.
			written := []metav1.ManagedFieldsEntry{{Manager: "test", Operation: metav1.ManagedFieldsOperationUpdate, Subresource: "scale"}}
			eventually(t, time.Minute, func() error {
				fields := targets.Find(ref).ManagedFields
				if diff := cmp.Diff(written, fields, cmpopts.IgnoreFields(metav1.ManagedFieldsEntry{}, "Time")); diff != "" {
					return fmt.Errorf("who wrote the count (-want +got):\n%s", diff)
				}
				return nil
			})
		})
	}
}

// scaledObjects are objects of the cached kinds, by kind, whose selectors have
// expressions of every operator.
func scaledObjects(namespace string) map[string]ctrlclient.Object {
	template := func(kind string) (*metav1.LabelSelector, corev1.PodTemplateSpec) {
		set := map[string]string{"app": kind, "tier": "front", "zone": "z"}
		selector := &metav1.LabelSelector{
			MatchLabels: map[string]string{"app": kind},
			MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: "zone", Operator: metav1.LabelSelectorOpExists},
				{Key: "tier", Operator: metav1.LabelSelectorOpIn, Values: []string{"front", "back"}},
				{Key: "app", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"x", "a"}},
				{Key: "canary", Operator: metav1.LabelSelectorOpDoesNotExist},
			},
		}
		return selector, corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: set},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}},
		}
	}
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "target"}
	d, s, r := &appsv1.Deployment{ObjectMeta: meta}, &appsv1.StatefulSet{ObjectMeta: meta}, &appsv1.ReplicaSet{ObjectMeta: meta}
	d.Spec.Replicas, s.Spec.Replicas, r.Spec.Replicas = ptr.To[int32](2), ptr.To[int32](2), ptr.To[int32](2)
	d.Spec.Selector, d.Spec.Template = template("deployment")
	s.Spec.Selector, s.Spec.Template = template("statefulset")
	r.Spec.Selector, r.Spec.Template = template("replicaset")
	return map[string]ctrlclient.Object{"Deployment": d, "StatefulSet": s, "ReplicaSet": r}
}
