package vpa

import (
	"fmt"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/admission/webhook"
)

// draw makes random objects, and counts what is rare.
type draw struct {
	*rand.Rand
	seen, skipped map[string]int
	gates         bool
}

func (d draw) chance(one int) bool { return d.IntN(one) == 0 }

func (d draw) happened(what string) { d.seen[what]++ }

// review is a new pod, the object that scales it, and the namespace's LimitRanges.
type review struct {
	pod    *corev1.Pod
	vpa    *vpav1.VerticalPodAutoscaler
	limits []corev1.LimitRange
	// options are the flags of ours.
	options *webhook.Options
}

func (d draw) review() review {
	var r review
	r.pod = d.pod()
	// What the API server sends has no empty lists.
	through(r.pod, r.pod)
	r.vpa = d.object(r.pod)
	for i := range d.IntN(3) {
		r.limits = append(r.limits, d.limitRange(i))
	}
	return r
}

// list draws CPU from milli to ten times that, and memory in the same number of
// MiB, of which some are missing.
func (d draw) list(milli int64) corev1.ResourceList {
	l := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(milli+d.Int64N(9*milli), resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity((milli+d.Int64N(9*milli))<<20+d.Int64N(1<<20), resource.BinarySI),
	}
	switch d.IntN(8) {
	case 0:
		delete(l, corev1.ResourceCPU)
	case 1:
		delete(l, corev1.ResourceMemory)
	case 2:
		l[corev1.ResourceCPU] = *resource.NewQuantity(0, resource.DecimalSI)
		d.happened("a zero")
	case 3:
		l[corev1.ResourceMemory] = resource.MustParse(fmt.Sprintf("%d500m", 1+d.Int64N(1<<40)))
		d.happened("a fraction of a byte")
	}
	return l
}

// maybe is a list, or none, or one with nothing in it.
func (d draw) maybe(milli int64) corev1.ResourceList {
	switch d.IntN(6) {
	case 0:
		return nil
	case 1:
		return corev1.ResourceList{}
	}
	return d.list(milli)
}

func (d draw) pod() *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "web-"}}
	if d.chance(2) {
		p.Name, p.GenerateName = "web-1", ""
	}
	switch d.IntN(4) {
	case 0:
		p.Annotations = map[string]string{}
	case 1:
		p.Annotations = map[string]string{"example.org/a~b": "c"}
	case 2:
		p.Annotations = map[string]string{"vpaUpdates": "Pod resources updated by another: container 0: cpu request", "vpaObservedContainers": "main"}
		d.happened("annotations of before")
	}
	for i := range 1 + d.IntN(3) {
		p.Spec.Containers = append(p.Spec.Containers, d.container(fmt.Sprintf("c%d", i)))
	}
	if d.chance(3) {
		setup, mesh := d.container("setup"), d.container("mesh")
		always := corev1.ContainerRestartPolicyAlways
		mesh.RestartPolicy = &always
		p.Spec.InitContainers = []corev1.Container{setup, mesh}
		d.happened("init containers and sidecars")
	}
	return p
}

func (d draw) container(name string) corev1.Container {
	c := corev1.Container{Name: name, Image: "web"}
	switch d.IntN(6) {
	case 0:
		d.happened("no resources")
	case 1:
		c.Resources.Limits = d.list(100)
		d.happened("limits without requests")
	case 2:
		c.Resources.Requests = d.list(100)
		c.Resources.Limits = c.Resources.Requests.DeepCopy()
		d.happened("limits that are requests")
	default:
		c.Resources.Requests, c.Resources.Limits = d.maybe(50), d.maybe(500)
	}
	if d.chance(8) {
		extra := resource.MustParse("1")
		for _, l := range []corev1.ResourceList{c.Resources.Requests, c.Resources.Limits} {
			if l != nil {
				l["example.org/gpu"] = extra
				d.happened("another resource")
			}
		}
	}
	if d.chance(12) {
		c.Resources.Claims = []corev1.ResourceClaim{{Name: "gpu"}}
	}
	return c
}

// object draws the VPA and what it recommends for the pod.
func (d draw) object(pod *corev1.Pod) *vpav1.VerticalPodAutoscaler {
	v := &vpav1.VerticalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web", UID: "uid-1"}}
	v.Spec.TargetRef = reference("Deployment", "web")
	if !d.chance(4) {
		modes := []vpav1.UpdateMode{"", vpav1.UpdateModeOff, vpav1.UpdateModeInitial, vpav1.UpdateModeRecreate, "Auto", vpav1.UpdateModeInPlaceOrRecreate, vpav1.UpdateModeInPlace}
		mode := modes[d.IntN(len(modes))]
		v.Spec.UpdatePolicy = &vpav1.PodUpdatePolicy{UpdateMode: &mode}
		d.happened("update mode " + string(mode))
	}
	v.Spec.ResourcePolicy = d.resourcePolicy(pod)
	if d.gates && !serves.startupBoost {
		d.skipped["startup boosts, with the gate CPUStartupBoost"]++
	}
	switch d.IntN(10) {
	case 0:
		d.happened("no recommendation")
		return v
	case 1:
		v.Status.Recommendation = &vpav1.RecommendedPodResources{}
		return v
	}
	v.Status.Recommendation = &vpav1.RecommendedPodResources{ContainerRecommendations: d.recommendations(pod)}
	return v
}

func (d draw) recommendations(pod *corev1.Pod) []vpav1.RecommendedContainerResources {
	var out []vpav1.RecommendedContainerResources
	names := []string{"gone"}
	for _, c := range pod.Spec.Containers {
		names = append(names, c.Name)
	}
	for _, name := range names {
		if d.chance(6) {
			continue
		}
		r := vpav1.RecommendedContainerResources{ContainerName: name, LowerBound: d.list(20), Target: d.list(150), UpperBound: d.list(1000), UncappedTarget: d.list(150)}
		if d.chance(8) {
			r.LowerBound, r.UpperBound = nil, nil
			d.happened("a recommendation without bounds")
		}
		if d.chance(15) {
			r.Target[""] = resource.MustParse("1")
			d.happened("a resource without a name")
		}
		out = append(out, r)
	}
	return out
}

func (d draw) resourcePolicy(pod *corev1.Pod) *vpav1.PodResourcePolicy {
	if d.chance(4) {
		return nil
	}
	p := &vpav1.PodResourcePolicy{}
	names := []string{"*"}
	for _, c := range pod.Spec.Containers {
		names = append(names, c.Name)
	}
	d.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		if d.chance(2) {
			continue
		}
		c := vpav1.ContainerResourcePolicy{ContainerName: name, MinAllowed: d.maybe(50), MaxAllowed: d.maybe(200)}
		if d.chance(6) {
			off := vpav1.ContainerScalingModeOff
			c.Mode = &off
			d.happened("policy: Off")
		}
		if d.chance(3) {
			values := []vpav1.ContainerControlledValues{vpav1.ContainerControlledValuesRequestsOnly, vpav1.ContainerControlledValuesRequestsAndLimits}[d.IntN(2)]
			c.ControlledValues = &values
			d.happened("policy: " + string(values))
		}
		p.ContainerPolicies = append(p.ContainerPolicies, c)
	}
	return p
}

// limitRange draws one. Only the first has defaults: of several upstream takes any.
func (d draw) limitRange(i int) corev1.LimitRange {
	l := corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("limits-%d", i)}}
	for _, kind := range []corev1.LimitType{corev1.LimitTypeContainer, corev1.LimitTypePod, corev1.LimitTypePersistentVolumeClaim} {
		if d.chance(2) {
			continue
		}
		item := corev1.LimitRangeItem{Type: kind, Min: d.maybe(20), Max: d.maybe(400)}
		if kind == corev1.LimitTypeContainer && i == 0 {
			item.Default = d.maybe(200)
		}
		l.Spec.Limits = append(l.Spec.Limits, item)
		d.happened("LimitRange of type " + string(kind))
	}
	through(&l, &l)
	return l
}
