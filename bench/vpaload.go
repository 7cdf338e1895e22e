package main

import (
	"context"
	"fmt"
	"iter"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/lab/resourcemetrics"
)

// vpaContainers are those of each pod.
var vpaContainers = []string{"main", "proxy"}

const (
	// vpaCPU is what a container uses, in thousandths of a core, and vpaCPUSpread by
	// how much that moves.
	vpaCPU       = 100
	vpaCPUSpread = 25
	vpaMemory    = 256 << 20
	// vpaBefore is what the loaded statuses recommend of CPU: no recommender would.
	vpaBefore = 60
	// vpaHistory is how long the loaded checkpoints go back.
	vpaHistory = 8 * 24 * time.Hour
)

// vpaLoad is so many VPAs, each with a Deployment and its ReplicaSet, and all
// together so many pods of two containers, with a checkpoint for each container of a
// VPA that has pods.
type vpaLoad struct{ vpas, pods int }

// podsOf spreads the pods as evenly as it goes.
func (v vpaLoad) podsOf(i int) int {
	if i < v.pods%v.vpas {
		return v.pods/v.vpas + 1
	}
	return v.pods / v.vpas
}

// into loads everything into a lab that has upstream's custom resources, and waits
// until the API server serves it.
func (v vpaLoad) into(ctx context.Context, l *lab.Lab) error {
	begin := time.Now()
	if v.podsOf(0) > loadPods {
		return fmt.Errorf("%d pods are more than %d for each of %d VPAs", v.pods, loadPods, v.vpas)
	}
	t, err := newVPATemplates(ctx, l)
	if err != nil {
		return err
	}
	for i := range min(loadNamespaces, v.vpas) {
		if err := l.Client().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: loadSpace(i)}}); err != nil {
			return fmt.Errorf("create a namespace: %w", err)
		}
	}
	// Pods first and VPAs last, so that whoever watches finds nothing half there.
	if err := l.Store(ctx, v.objects(t)); err != nil {
		return err
	}
	if metrics := l.ResourceMetrics(); metrics != nil {
		metrics.Add(v.usage()...)
	}
	if err := v.awaitServed(ctx, l); err != nil {
		return err
	}
	say("%d VPAs with %d containers loaded in %.1f s", v.vpas, v.pods*len(vpaContainers), time.Since(begin).Seconds())
	return nil
}

// objects are all that is stored.
func (v vpaLoad) objects(t *vpaTemplates) iter.Seq[ctrlclient.Object] {
	return func(yield func(ctrlclient.Object) bool) {
		for i := range v.vpas {
			for p := range v.podsOf(i) {
				if !yield(t.podOf(i, p)) {
					return
				}
			}
			if !yield(t.replicaSetOf(i)) || !yield(t.deploymentOf(i)) {
				return
			}
		}
		for i := range v.vpas {
			for n := range vpaContainers {
				if v.podsOf(i) > 0 && !yield(t.checkpointOf(i, n)) {
					return
				}
			}
		}
		for i := range v.vpas {
			if !yield(t.vpaOf(i)) {
				return
			}
		}
	}
}

// usage is that of all containers.
func (v vpaLoad) usage() []resourcemetrics.Pod {
	pods := make([]resourcemetrics.Pod, 0, v.pods)
	for i := range v.vpas {
		for p := range v.podsOf(i) {
			pods = append(pods, resourcemetrics.Pod{
				Namespace: loadSpace(i), Name: podName(i, p), Labels: podLabels(i), Containers: vpaContainers,
				Usage: resourcemetrics.Usage{MilliCPU: vpaCPU, MemoryBytes: vpaMemory},
			})
		}
	}
	return pods
}

// awaitServed waits until the API server's own caches hold the last objects.
func (v vpaLoad) awaitServed(ctx context.Context, l *lab.Lab) error {
	ctx, cancel := context.WithTimeout(ctx, servedLimit)
	defer cancel()
	last := v.vpas - 1
	lists := []ctrlclient.ObjectList{&appsv1.ReplicaSetList{}, &appsv1.DeploymentList{}, &vpav1.VerticalPodAutoscalerList{}}
	if v.podsOf(last) > 0 {
		lists = append(lists, &corev1.PodList{}, &vpav1.VerticalPodAutoscalerCheckpointList{})
	}
	for _, list := range lists {
		for metaLen(list) == 0 {
			err := l.Client().List(ctx, list, ctrlclient.InNamespace(loadSpace(last)), ctrlclient.MatchingLabels{loadLabel: loadName(last)})
			if err == nil {
				err = pause(ctx, 50*time.Millisecond)
			}
			if err != nil {
				return fmt.Errorf("wait for what was loaded: %w", err)
			}
		}
	}
	return nil
}
