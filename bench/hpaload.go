package main

import (
	"context"
	"fmt"
	"iter"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/lab/resourcemetrics"
)

// The load of the HPA's benchmarks: each object scales a Deployment of its own.
const (
	loadNamespaces = 20
	loadPods       = 5 // of each Deployment
	loadAge        = time.Hour
	loadHash       = "6d4cf56db6"
	// loadTarget is the utilization that is wanted. One core of ten is 10%, so that
	// the usage can take hundreds of values that call for no change of the count.
	loadTarget  = 50
	loadRequest = 10 * 1000 // thousandths of a core
	// loadUsage is the usage at rest: on target.
	loadUsage = loadRequest * loadTarget / 100
	// loadBefore is the usage that the loaded statuses tell of, so that the first
	// evaluation of each object finds something to write.
	loadBefore = loadUsage + 1
	loadMin    = 2
	loadMax    = 10
	loadMemory = 256 << 20
	loadLabel  = "app"
)

// hpaLoad is so many HPAs with their Deployments, ReplicaSets and pods.
type hpaLoad struct {
	hpas int
	// metric is what each HPA scales by.
	metric func(i int) autoscalingv2.MetricSpec
	// status is what each HPA's status says of the metric before anybody looked.
	status []autoscalingv2.MetricStatus
}

func loadSpace(i int) string { return fmt.Sprintf("load-%02d", i%loadNamespaces) }
func loadName(i int) string  { return fmt.Sprintf("web-%05d", i) }

// resourceLoad scales by the CPU.
func resourceLoad(hpas int) hpaLoad {
	return hpaLoad{
		hpas: hpas,
		metric: func(int) autoscalingv2.MetricSpec {
			return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
				Name:   corev1.ResourceCPU,
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: ptr.To[int32](loadTarget)},
			}}
		},
		status: []autoscalingv2.MetricStatus{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricStatus{
			Name: corev1.ResourceCPU,
			Current: autoscalingv2.MetricValueStatus{
				AverageUtilization: ptr.To[int32](loadTarget), AverageValue: resource.NewMilliQuantity(loadBefore, resource.DecimalSI),
			},
		}}},
	}
}

// into loads everything into a lab and waits until the API server serves it.
func (h hpaLoad) into(ctx context.Context, l *lab.Lab) error {
	t, err := h.templates(ctx, l)
	if err != nil {
		return err
	}
	for i := range min(loadNamespaces, h.hpas) {
		if err := l.Client().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: loadSpace(i)}}); err != nil {
			return fmt.Errorf("create a namespace: %w", err)
		}
	}
	// Pods first and HPAs last, so that whoever watches finds nothing half there.
	if err := l.Store(ctx, h.objects(t)); err != nil {
		return err
	}
	if metrics := l.ResourceMetrics(); metrics != nil {
		metrics.Add(h.usage()...)
	}
	return h.awaitServed(ctx, l)
}

// objects are all that is stored.
func (h hpaLoad) objects(t *loadTemplates) iter.Seq[ctrlclient.Object] {
	return func(yield func(ctrlclient.Object) bool) {
		for i := range h.hpas {
			for p := range loadPods {
				if !yield(t.podOf(i, p)) {
					return
				}
			}
			if !yield(t.replicaSetOf(i)) || !yield(t.deploymentOf(i)) {
				return
			}
		}
		for i := range h.hpas {
			if !yield(t.hpaOf(i, h.metric(i))) {
				return
			}
		}
	}
}

// usage is that of all pods.
func (h hpaLoad) usage() []resourcemetrics.Pod {
	pods := make([]resourcemetrics.Pod, 0, h.hpas*loadPods)
	for i := range h.hpas {
		for p := range loadPods {
			pods = append(pods, resourcemetrics.Pod{
				Namespace: loadSpace(i), Name: podName(i, p), Labels: podLabels(i),
				Usage: resourcemetrics.Usage{MilliCPU: loadUsage, MemoryBytes: loadMemory},
			})
		}
	}
	return pods
}

// servedLimit is how long the API server may take to read what was stored.
const servedLimit = 5 * time.Minute

// awaitServed waits until the API server's own caches, which lists by a selector
// are answered from, hold the last objects.
func (h hpaLoad) awaitServed(ctx context.Context, l *lab.Lab) error {
	ctx, cancel := context.WithTimeout(ctx, servedLimit)
	defer cancel()
	last := h.hpas - 1
	for _, list := range []ctrlclient.ObjectList{
		&corev1.PodList{}, &appsv1.ReplicaSetList{}, &appsv1.DeploymentList{}, &autoscalingv2.HorizontalPodAutoscalerList{},
	} {
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

func podName(i, p int) string { return fmt.Sprintf("%s-%s-%05d", loadName(i), loadHash, p) }

func podLabels(i int) map[string]string {
	return map[string]string{loadLabel: loadName(i), "tier": "front", appsv1.DefaultDeploymentUniqueLabelKey: loadHash}
}

// Kinds of objects, as the first digits of their UIDs.
const (
	uidPod = iota + 1
	uidReplicaSet
	uidDeployment
	uidHPA
	uidVPA
	uidCheckpoint
)

func loadUID(kind, i int) types.UID {
	return types.UID(fmt.Sprintf("%08x-0000-4000-8000-%012x", kind, i))
}
