package vpa

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/model"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/quartet-autoscaling/quartet/recommender/controller"
)

const (
	namespace = "shop"
	day       = 24 * time.Hour
)

// aggregation is how history is made. Upstream has one for the process.
type aggregation struct {
	interval        time.Duration
	intervals       int64
	memory, cpu     time.Duration
	oomRatio, bytes float64
}

var aggregations = []aggregation{
	{interval: day, intervals: 8, memory: day, cpu: day, oomRatio: 1.2, bytes: 100 << 20},
	{interval: 12 * time.Hour, intervals: 20, memory: 36 * time.Hour, cpu: 6 * time.Hour, oomRatio: 1.5, bytes: 10 << 20},
	{interval: time.Hour, intervals: 200, memory: 48 * time.Hour, cpu: 12 * time.Hour, oomRatio: 1, bytes: 1},
}

// aggregationOf is the index of the aggregation of a seed.
func aggregationOf(seed uint64) int { return int(seed / 12 % uint64(len(aggregations))) }

func (a aggregation) initialize() {
	model.InitializeAggregationsConfig(model.NewAggregationsConfig(a.interval, a.intervals, a.memory, a.cpu, a.oomRatio, a.bytes))
}

// restart is which recommenders start anew before a turn, and from what.
type restart int

const (
	// restartOwn: both, each from its own checkpoints of version v3; restartSwapped:
	// each from the other's; restartOurs: ours alone, from the lossless annotation.
	noRestart restart = iota
	restartOwn
	restartSwapped
	restartOurs
)

// cluster is what both recommenders see. Objects in it are not changed but
// replaced.
type cluster struct {
	random  *rand.Rand
	gates   bool
	options *controller.Options
	// long lets weeks pass, of containers that stay; rolling lets pods get other
	// labels and containers, within a week.
	long, rolling bool
	start, now    time.Time
	// late is for how many turns there are no metrics yet.
	turn, late int
	// lost tells that a target was missing.
	lost bool
	apps []*app
	// vpas have no status: each side has its own.
	vpas          []*vpav1.VerticalPodAutoscaler
	usage         []metricsapi.PodMetrics
	updates       []update
	restart       restart
	seen, skipped map[string]int
	log           []string
}

// update is a pod that changed.
type update struct{ before, after *corev1.Pod }

// app is a Deployment with its pods.
type app struct {
	name             string
	revision, serial int
	containers       []string
	cpu, memory      map[string]float64
	pods             map[string]*corev1.Pod
	// shown are pods that were there in a turn before.
	shown map[string]bool
	// lost is for how many turns more the Deployment cannot be read.
	lost int
}

func newCluster(s scenario, now time.Time) *cluster {
	r := rand.New(rand.NewPCG(s.seed, 21))
	c := &cluster{random: r, gates: s.gates, start: now, now: now, seen: map[string]int{}, skipped: map[string]int{}}
	c.long = r.IntN(3) == 0
	c.rolling = !c.long && r.IntN(2) == 0
	if c.chance(4) {
		c.late = 1 + r.IntN(3)
	}
	c.drawFlags(aggregations[aggregationOf(s.seed)])
	for i := range 1 + r.IntN(2) {
		a := &app{name: fmt.Sprintf("app%d", i), containers: []string{"main", "proxy", "zoo"}[:1+r.IntN(3)],
			cpu: map[string]float64{}, memory: map[string]float64{}, pods: map[string]*corev1.Pod{}, shown: map[string]bool{}}
		for range 1 + r.IntN(3) {
			a.add(c)
		}
		c.apps = append(c.apps, a)
	}
	for i := range 1 + r.IntN(2) {
		c.vpas = append(c.vpas, c.vpa(fmt.Sprintf("vpa%d", i), c.apps[i%len(c.apps)]))
	}
	return c
}

func (c *cluster) chance(one int) bool { return c.random.IntN(one) == 0 }

func (c *cluster) happened(what string) {
	c.seen[what]++
	c.log = append(c.log, fmt.Sprintf("turn %d at %s: %s", c.turn, c.now.UTC().Format(time.DateTime), what))
}

// drawFlags draws what the flags say, of both.
func (c *cluster) drawFlags(a aggregation) {
	c.options = controller.NewOptions()
	o := &c.options.Rules
	o.PeakInterval, o.PeakIntervals, o.OOMRatio, o.OOMBytes = a.interval, a.intervals, a.oomRatio, a.bytes
	o.Memory.HalfLife, o.CPU.HalfLife = a.memory, a.cpu
	if c.chance(2) {
		return
	}
	c.happened("flags")
	r := c.random
	o.CPU.Round, o.Memory.Round = 1+r.Int64N(60), 1+r.Int64N(1<<20)
	o.Margin, o.CPU.Target, o.Memory.Target = r.Float64(), 0.5+0.45*r.Float64(), 0.5+0.45*r.Float64()
	o.CPU.Lower, o.CPU.Upper = 0.1+0.4*r.Float64(), 0.95+0.03*r.Float64()
	o.Memory.Confidence, o.CPU.Confidence = time.Duration(1+r.IntN(50))*time.Hour, time.Duration(1+r.IntN(50))*time.Hour
	o.MinCPUMillicores, o.MinMemoryMb = float64(r.IntN(100)), float64(r.IntN(500))
	if c.chance(2) {
		c.options.MaxCPU.Quantity = *resource.NewMilliQuantity(r.Int64N(3000), resource.DecimalSI)
		c.options.MaxMemory.Quantity = *resource.NewQuantity(r.Int64N(4e9), resource.BinarySI)
	}
}

// vpa draws an object for the app.
func (c *cluster) vpa(name string, a *app) *vpav1.VerticalPodAutoscaler {
	v := &vpav1.VerticalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "uid-1", Generation: 1,
		CreationTimestamp: metav1.NewTime(c.now)}}
	v.Spec.TargetRef = reference("Deployment", a.name)
	v.Spec.ResourcePolicy = c.policy()
	return v
}

// policy draws the container policies. Amounts are whole: what becomes of
// fractions is listed, and shown by a test of its own.
func (c *cluster) policy() *vpav1.PodResourcePolicy {
	if c.chance(3) {
		return nil
	}
	r, p := c.random, &vpav1.PodResourcePolicy{}
	for _, name := range []string{"main", "*", "proxy"} {
		if !c.chance(2) {
			continue
		}
		container := vpav1.ContainerResourcePolicy{ContainerName: name}
		if c.chance(6) {
			off := vpav1.ContainerScalingModeOff
			container.Mode = &off
			c.happened("policy: Off")
		}
		if c.chance(2) {
			container.MinAllowed = amounts(r.Int64N(500), r.Int64N(1e9))
		}
		if c.chance(2) {
			container.MaxAllowed = amounts(r.Int64N(2000), r.Int64N(3e9))
			if c.chance(3) {
				delete(container.MaxAllowed, corev1.ResourceMemory)
			}
		}
		if c.chance(4) {
			container.ControlledResources = &[][]corev1.ResourceName{{corev1.ResourceCPU}, {corev1.ResourceMemory}, {corev1.ResourceMemory, corev1.ResourceCPU}, {}}[r.IntN(4)]
			c.happened("policy: controlledResources")
		}
		c.perVPA(&container)
		p.ContainerPolicies = append(p.ContainerPolicies, container)
	}
	return p
}

// serves is what is compared of upstream's newer features. What is not is not drawn,
// and counted.
var serves = struct{ perVPA, inForce, inPlace, startupBoost bool }{inPlace: true, inForce: true}

// perVPA draws what upstream looks at with the gate PerVPAConfig only.
func (c *cluster) perVPA(p *vpav1.ContainerResourcePolicy) {
	r := c.random
	if !c.chance(4) {
		return
	}
	if c.gates && !serves.perVPA {
		c.skipped["per-container settings of OOMs and memory peaks, with the gate PerVPAConfig"]++
		return
	}
	p.OOMBumpUpRatio = resource.NewMilliQuantity(1000+r.Int64N(2000), resource.DecimalSI)
	p.OOMMinBumpUp = resource.NewQuantity(r.Int64N(500<<20), resource.BinarySI)
	c.happened("policy: oomBumpUpRatio")
}

func amounts(milli, bytes int64) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(milli, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(bytes, resource.BinarySI)}
}

// pods are all of the cluster's, by name.
func (c *cluster) pods() []*corev1.Pod {
	var out []*corev1.Pod
	for _, a := range c.apps {
		for _, name := range slices.Sorted(maps.Keys(a.pods)) {
			out = append(out, a.pods[name])
		}
	}
	return out
}

// target is the app that an object scales.
func (c *cluster) target(v *vpav1.VerticalPodAutoscaler) *app {
	for _, a := range c.apps {
		if a.name == v.Spec.TargetRef.Name {
			return a
		}
	}
	return nil
}

// labels are those of the pods: what stays over rollouts, and what does not.
func (a *app) labels() map[string]string {
	return map[string]string{"app": a.name, "pod-template-hash": fmt.Sprintf("r%d", a.revision)}
}

// add makes a pod of the present revision.
func (a *app) add(c *cluster) *corev1.Pod {
	a.serial++
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s-%02d", a.name, a.serial), Labels: a.labels()}}
	p.Status.Phase = corev1.PodRunning
	for _, name := range a.containers {
		if a.cpu[name] == 0 {
			a.cpu[name], a.memory[name] = 1+c.random.ExpFloat64()*800, 1e6+c.random.ExpFloat64()*1.5e9
		}
		container := corev1.Container{Name: name}
		if !c.chance(5) {
			container.Resources.Requests = amounts(100, int64(a.memory[name]*(0.5+c.random.Float64())))
		}
		p.Spec.Containers = append(p.Spec.Containers, container)
		status := corev1.ContainerStatus{Name: name, State: running(c.now)}
		switch {
		case !c.chance(4):
		case !serves.inForce:
			c.skipped["the memory in force where a resize is under way"]++
		default:
			// What is in force, which a resize that is under way makes another.
			status.Resources = &corev1.ResourceRequirements{Requests: amounts(100, int64(a.memory[name]*(0.5+c.random.Float64())))}
		}
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, status)
	}
	if c.chance(3) {
		always := corev1.ContainerRestartPolicyAlways
		p.Spec.InitContainers = []corev1.Container{{Name: "setup"}, {Name: "mesh", RestartPolicy: &always}}
	}
	a.pods[p.Name] = p
	return p
}

func running(at time.Time) corev1.ContainerState {
	return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(at)}}
}
