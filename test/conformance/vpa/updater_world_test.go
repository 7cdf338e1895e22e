package vpa

import (
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/updater/controller"
)

// fleet is what both updaters see: one object and the pods of its target, in
// groups by their controllers. Pods are not changed but replaced.
type fleet struct {
	draw
	options *controller.Options
	now     time.Time
	turn    int
	vpa     *vpav1.VerticalPodAutoscaler
	limits  []corev1.LimitRange
	groups  []group
	pods    map[string]*corev1.Pod
	// refused are the pods that the API server refuses to evict or to resize in
	// this turn, and why.
	refused map[string]refusal
	serial  int
}

// group is a controller and how many pods it wants; fewer than none where it
// cannot be found.
type group struct {
	kind, name string
	replicas   int32
}

func (g group) key() string { return g.kind + "/" + g.name }

// refusal is what the API server says to an eviction or a resize.
type refusal int

const (
	noRefusal refusal = iota
	// refusedNow: a disruption budget, or a conflict; refusedForGood: the node can
	// never have room.
	refusedNow
	refusedForGood
)

// kindsOfGroups are those that pods may be owned by. The last is a custom resource.
var kindsOfGroups = []string{"ReplicaSet", "ReplicaSet", "StatefulSet", "DaemonSet", "ReplicationController", "Job", "Fleet"}

func newFleet(d draw, now time.Time) *fleet {
	f := &fleet{draw: d, now: now, pods: map[string]*corev1.Pod{}, options: controller.NewOptions()}
	o := &f.options.Rules
	o.NeedsAdmission = false
	if d.chance(2) {
		o.MinReplicas, o.Tolerance = d.IntN(4), []float64{0, 0.1, 0.25, 0.5, 0.9, 1}[d.IntN(6)]
		o.UpdateThreshold, o.PodLifetime = []float64{0, 0.1, 1}[d.IntN(3)], time.Duration(d.IntN(24))*time.Hour
		o.OOMThreshold, o.SkipBudget = time.Duration(d.IntN(20))*time.Minute, d.chance(2)
		d.happened("flags")
	}
	// Pods are few, so that upstream's sort keeps those of equal need in order.
	kind := kindsOfGroups[d.IntN(len(kindsOfGroups))]
	for i := range 1 + d.IntN(2) {
		g := group{kind: kind, name: fmt.Sprintf("g%d", i)}
		pods := d.IntN(6)
		g.replicas = int32(max(0, pods+d.IntN(3)-1))
		if d.chance(15) {
			g.replicas = -1
		}
		f.groups = append(f.groups, g)
		for range pods {
			f.add(g)
		}
	}
	f.vpa = f.object(f.sample())
	f.vpa.Spec.TargetRef = reference("Deployment", "web")
	f.updatePolicy()
	f.recommend()
	if d.chance(3) {
		f.limits = append(f.limits, d.limitRange(0))
	}
	return f
}

// sample is a pod to draw policies and recommendations for.
func (f *fleet) sample() *corev1.Pod {
	return &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c0"}, {Name: "c1"}}}}
}

func (f *fleet) updatePolicy() {
	modes := []vpav1.UpdateMode{"", vpav1.UpdateModeOff, vpav1.UpdateModeInitial, vpav1.UpdateModeRecreate, "Auto"}
	if serves.inPlace {
		modes = append(modes, vpav1.UpdateModeInPlaceOrRecreate, vpav1.UpdateModeInPlaceOrRecreate, vpav1.UpdateModeInPlaceOrRecreate, vpav1.UpdateModeInPlace, vpav1.UpdateModeInPlace)
	} else {
		f.skipped["modes that resize in place"]++
	}
	mode := modes[f.IntN(len(modes))]
	f.happened("update mode " + string(mode))
	p := &vpav1.PodUpdatePolicy{UpdateMode: &mode}
	if f.chance(4) {
		least := int32(f.IntN(4))
		p.MinReplicas = &least
		f.happened("minReplicas of the object")
	}
	if f.chance(4) {
		seconds := int32(60 * f.IntN(20))
		p.EvictAfterOOMSeconds = &seconds
	}
	for range f.IntN(5) / 3 {
		f.happened("evictionRequirements")
		p.EvictionRequirements = append(p.EvictionRequirements, &vpav1.EvictionRequirement{
			Resources:         [][]corev1.ResourceName{{corev1.ResourceCPU}, {corev1.ResourceMemory}, {corev1.ResourceCPU, corev1.ResourceMemory}}[f.IntN(3)],
			ChangeRequirement: []vpav1.EvictionChangeRequirement{vpav1.TargetHigherThanRequests, vpav1.TargetLowerThanRequests}[f.IntN(2)],
		})
	}
	f.vpa.Spec.UpdatePolicy = p
}

// recommend draws a recommendation: bounds are about their targets, as a
// recommender's are.
func (f *fleet) recommend() {
	changed := f.vpa.DeepCopy()
	changed.Status.Recommendation = nil
	if !f.chance(20) {
		changed.Status.Recommendation = &vpav1.RecommendedPodResources{}
		for _, name := range []string{"c0", "c1", "gone"} {
			if !f.chance(6) {
				changed.Status.Recommendation.ContainerRecommendations = append(changed.Status.Recommendation.ContainerRecommendations, f.recommended(name))
			}
		}
	}
	f.vpa = changed
}

func (f *fleet) recommended(name string) vpav1.RecommendedContainerResources {
	cpu, memory := 20+f.Int64N(1500), (20+f.Int64N(1500))<<20
	r := vpav1.RecommendedContainerResources{ContainerName: name, Target: amounts(cpu, memory),
		LowerBound: amounts(1+f.Int64N(cpu), 1+f.Int64N(memory)), UpperBound: amounts(cpu+f.Int64N(5*cpu), memory+f.Int64N(5*memory))}
	if f.chance(8) {
		without := []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}[f.IntN(2)]
		for _, list := range lists(&r) {
			delete(list, without)
		}
		f.happened("a recommendation of one resource")
	}
	if f.chance(12) {
		r.LowerBound, r.UpperBound = nil, nil
		f.happened("a recommendation without bounds")
	}
	return r
}

// add makes a pod of a group.
func (f *fleet) add(g group) *corev1.Pod {
	f.serial++
	yes := true
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("web-%02d", f.serial), UID: types.UID(fmt.Sprintf("uid-%d", f.serial))}}
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: g.kind, Name: g.name, UID: "uid-of-owner", Controller: &yes}}
	if f.chance(20) {
		p.OwnerReferences = nil
		f.happened("no controller")
	}
	for i := range 1 + f.IntN(2) {
		p.Spec.Containers = append(p.Spec.Containers, f.container(fmt.Sprintf("c%d", i)))
	}
	through(p, p)
	p.Spec.NodeName = "node"
	started := metav1.NewTime(f.now.Add(-time.Duration(f.IntN(30)) * time.Hour))
	p.Status.Phase, p.Status.StartTime = corev1.PodRunning, &started
	for _, c := range p.Spec.Containers {
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: c.Name, State: running(started.Time), Resources: c.Resources.DeepCopy()})
	}
	f.odd(p)
	f.pods[p.Name] = p
	return p
}

// odd makes a pod special, now and then.
func (f *fleet) odd(p *corev1.Pod) {
	switch f.IntN(14) {
	case 0:
		p.Status.Phase = corev1.PodPending
		f.happened("a pending pod")
	case 1:
		p.Status.Phase, p.Spec.NodeName, p.Status.StartTime = corev1.PodPending, "", nil
		f.happened("a pod without a node")
	case 2:
		p.Status.Phase = []corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed}[f.IntN(2)]
		f.happened("a pod that ended")
	case 3:
		p.DeletionTimestamp = &metav1.Time{Time: f.now}
		f.happened("a pod that is deleted")
	case 4:
		p.Status.StartTime = nil
	case 5, 6:
		p.Annotations = map[string]string{"vpaObservedContainers": []string{"c0", "c0, c1", "other", "", "Not a name"}[f.IntN(5)]}
		f.happened("observed containers")
	case 7:
		for i := range p.Status.ContainerStatuses {
			p.Status.ContainerStatuses[i].Resources = nil
		}
	case 8, 9:
		f.kill(p)
	}
}

// kill ends a container for lack of memory.
func (f *fleet) kill(p *corev1.Pod) {
	end := f.now.Add(-time.Duration(f.IntN(1500)) * time.Second)
	s := &p.Status.ContainerStatuses[f.IntN(len(p.Status.ContainerStatuses))]
	s.RestartCount++
	s.LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Reason: "OOMKilled", StartedAt: metav1.NewTime(end.Add(-time.Duration(f.IntN(1500)) * time.Second)), FinishedAt: metav1.NewTime(end),
	}}
	f.happened("kill")
}

// names are the pods' in order.
func (f *fleet) names() []string { return slices.Sorted(maps.Keys(f.pods)) }

// step moves on, and changes what changes by itself.
func (f *fleet) step(now time.Time) {
	f.turn++
	f.now, f.refused = now, map[string]refusal{}
	if f.turn > 1 && f.chance(3) {
		f.recommend()
		f.happened("recommendation changes")
	}
	for _, name := range f.names() {
		switch {
		case f.chance(8):
			f.refused[name] = refusedNow
		case f.chance(12):
			f.refused[name] = refusedForGood
		}
		p := f.pods[name].DeepCopy()
		if f.turn > 1 && p.Status.Phase == corev1.PodPending && p.Spec.NodeName != "" && f.chance(2) {
			p.Status.Phase = corev1.PodRunning
		}
		if f.chance(20) && p.Status.Phase == corev1.PodRunning {
			f.kill(p)
		}
		f.resized(p)
		f.pods[name] = p
	}
}
