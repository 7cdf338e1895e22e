package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsinformers "k8s.io/client-go/informers/apps/v1"
	"k8s.io/client-go/kubernetes"
	appsclient "k8s.io/client-go/kubernetes/typed/apps/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/quartet-autoscaling/quartet/internal/component"
	"github.com/quartet-autoscaling/quartet/internal/vertical"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// restartedAt is the annotation of a template by which kubectl has a workload
// rolled out.
const restartedAt = "kubectl.kubernetes.io/restartedAt"

// rollouts reads Deployments and rolls them out. It is nil where it may not.
type rollouts struct {
	client   appsclient.DeploymentsGetter
	informer cache.SharedIndexInformer
}

func newRollouts(client kubernetes.Interface) (*rollouts, error) {
	r := &rollouts{client: client.AppsV1(), informer: appsinformers.NewDeploymentInformer(client, metav1.NamespaceAll, 0, cache.Indexers{})}
	return r, r.informer.SetTransform(reduceDeployment)
}

// reduceDeployment keeps what a rollout depends on.
func reduceDeployment(o any) (any, error) {
	d, ok := o.(*appsv1.Deployment)
	if !ok {
		return o, nil
	}
	out := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
		Namespace: d.Namespace, Name: d.Name, UID: d.UID, ResourceVersion: d.ResourceVersion, Generation: d.Generation,
	}}
	out.Spec.Replicas, out.Spec.Strategy, out.Spec.Paused = d.Spec.Replicas, d.Spec.Strategy, d.Spec.Paused
	if at, ok := d.Spec.Template.Annotations[restartedAt]; ok {
		out.Spec.Template.Annotations = map[string]string{restartedAt: at}
	}
	out.Status = appsv1.DeploymentStatus{
		ObservedGeneration: d.Status.ObservedGeneration, Replicas: d.Status.Replicas,
		UpdatedReplicas: d.Status.UpdatedReplicas, AvailableReplicas: d.Status.AvailableReplicas,
	}
	return out, nil
}

func (r *rollouts) background() []func(context.Context) {
	if r == nil {
		return nil
	}
	return []func(context.Context){r.informer.RunWithContext}
}

func (r *rollouts) listed() component.Caches {
	if r == nil {
		return nil
	}
	return component.Caches{{Objects: "Deployments", Synced: r.informer.HasSynced}}
}

// look gives what a rollout of a target depends on; nil where it is no Deployment
// or may not be rolled out.
func (r *rollouts) look(namespace string, target vertical.Ref) *eviction.Deployment {
	if r == nil || target.Kind != "Deployment" {
		return nil
	}
	o, found, err := r.informer.GetIndexer().GetByKey(namespace + "/" + target.Name)
	d, ok := o.(*appsv1.Deployment)
	switch {
	case err != nil:
		return &eviction.Deployment{Unknown: err.Error()}
	case !found || !ok:
		return &eviction.Deployment{Unknown: "it is not there"}
	}
	out := &eviction.Deployment{Replicas: 1, Surge: maxSurge(d), Paused: d.Spec.Paused}
	if n := d.Spec.Replicas; n != nil {
		out.Replicas = *n
	}
	s := d.Status
	out.UnderWay = s.ObservedGeneration < d.Generation || s.UpdatedReplicas < out.Replicas || s.Replicas > s.UpdatedReplicas || s.AvailableReplicas < s.UpdatedReplicas
	if at, err := time.Parse(time.RFC3339, d.Spec.Template.Annotations[restartedAt]); err == nil {
		out.Restarted = at.UTC()
	}
	return out
}

// maxSurge is by how many pods the Deployment may exceed its count meanwhile,
// rounded up as its controller does.
func maxSurge(d *appsv1.Deployment) int32 {
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return 0
	}
	most := intstr.FromString("25%")
	if r := d.Spec.Strategy.RollingUpdate; r != nil && r.MaxSurge != nil {
		most = *r.MaxSurge
	}
	replicas := 1
	if n := d.Spec.Replicas; n != nil {
		replicas = int(*n)
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(&most, replicas, true)
	if err != nil || n < 0 {
		return 0
	}
	return int32(min(n, 1<<30))
}

// rollOut marks a Deployment's template, as kubectl rollout restart does.
func (r *rollouts) rollOut(ctx context.Context, namespace string, what eviction.Rollout) error {
	type object map[string]any
	body, err := json.Marshal(object{"spec": object{"template": object{"metadata": object{
		"annotations": map[string]string{restartedAt: what.At.UTC().Format(time.RFC3339)},
	}}}})
	if err != nil {
		return fmt.Errorf("write the patch of a template: %w", err)
	}
	_, err = r.client.Deployments(namespace).Patch(ctx, what.Deployment, types.StrategicMergePatchType, body, metav1.PatchOptions{FieldManager: name})
	return err
}
