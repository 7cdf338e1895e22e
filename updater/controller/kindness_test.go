package controller

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/vertical"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
	"github.com/quartet-autoscaling/quartet/updater/fit"
)

// decode reads an object.
func decode[T any](t *testing.T, text string) *T {
	t.Helper()
	out := new(T)
	if err := yaml.UnmarshalStrict([]byte(text), out); err != nil {
		t.Fatal(err)
	}
	return out
}

// kindController is a controller with full caches and no loop.
func kindController(t *testing.T, o *Options, objects ...runtime.Object) *controller {
	t.Helper()
	client := fake.NewClientset(objects...)
	pods, err := newPodCache(client, true)
	if err != nil {
		t.Fatal(err)
	}
	c := &controller{pods: pods, limits: vertical.NewLimitRanges(client)}
	if c.kind, err = newKindness(c, o, client); err != nil {
		t.Fatal(err)
	}
	for _, fill := range append(c.kind.background(), c.pods.run, c.limits.Run) {
		go fill(t.Context())
	}
	eventually(t, "the caches are filled", func() bool {
		return c.pods.synced() && c.limits.Synced() && c.kind.listed().Synced() == nil
	})
	return c
}

const (
	firstNode = `
metadata: {name: a, labels: {zone: "1", disk: ssd}}
spec: {taints: [{key: soft, effect: PreferNoSchedule}, {key: team, value: shop, effect: NoSchedule}]}
status: {allocatable: {cpu: "2", memory: 4Gi, pods: "10"}, conditions: [{type: Ready, status: "True"}]}`
	cordonedNode = `
metadata: {name: b}
spec: {unschedulable: true}
status: {allocatable: {cpu: "8", memory: 8Gi, pods: "10"}, conditions: [{type: Ready, status: "True"}]}`
	brokenNode = `
metadata: {name: c}
status: {allocatable: {cpu: "8", memory: 8Gi, pods: "10"}, conditions: [{type: Ready, status: Unknown}]}`
	placedPod = `
metadata: {namespace: shop, name: web-1, uid: u1, annotations: {vpaUpdates: "Pod resources updated by web: container 0: cpu request"}}
spec:
  nodeName: a
  nodeSelector: {zone: "1"}
  tolerations: [{key: team, operator: Exists}]
  initContainers: [{name: init, resources: {requests: {cpu: 700m}}}]
  containers: [{name: app, resources: {requests: {cpu: 500m, memory: 1Gi}}}]
  overhead: {cpu: 100m}
status: {phase: Running, qosClass: Burstable, conditions: [{type: Ready, status: "True"}]}`
	daemonPod = `
metadata: {namespace: kube-system, name: agent-1, uid: u2, ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: agent, uid: u3, controller: true}]}
spec: {nodeName: a, containers: [{name: app, resources: {requests: {cpu: 200m}}}]}
status: {phase: Running}`
	endedPod = `
metadata: {namespace: shop, name: done, uid: u4}
spec: {nodeName: a, containers: [{name: app, resources: {requests: {cpu: "1"}}}]}
status: {phase: Succeeded}`
	quota = `
metadata: {namespace: shop, name: compute}
status: {hard: {requests.cpu: "1"}, used: {requests.cpu: 900m}}`
	limitRange = `
metadata: {namespace: shop, name: limits}
spec: {limits: [{type: Container, max: {cpu: "1"}}]}`
	nodePool = `
metadata: {name: big}
spec: {max: 3, template: {capacity: {cpu: "4", memory: 8Gi}, allocatable: {cpu: 3800m}, zones: [z1]}, provider: {kwok: {}}}
status: {nodes: 1, target: 2}`
)

func fitting() *Options {
	o := NewOptions()
	o.Kind.Fit = FitRequire
	return o
}

func TestRoomIsReadFromTheCluster(t *testing.T) {
	c := kindController(t, fitting(), decode[corev1.Node](t, firstNode), decode[corev1.Node](t, cordonedNode), decode[corev1.Node](t, brokenNode),
		decode[corev1.Pod](t, placedPod), decode[corev1.Pod](t, daemonPod), decode[corev1.Pod](t, endedPod),
		decode[corev1.ResourceQuota](t, quota), decode[corev1.LimitRange](t, limitRange))
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := &eviction.Snapshot{Now: now, Config: fitting().rules(), VPA: eviction.VPA{Namespace: "shop", Name: "web"}}
	pod, _, _ := c.pods.informer.GetIndexer().GetByKey("shop/web-1")
	projected := eviction.Pod{}
	c.kind.project(s, pod.(*corev1.Pod), &projected)
	wantPod := eviction.Pod{Ready: true, QOS: corev1.PodQOSBurstable, Patched: true, Place: &fit.Pod{
		Node: "a", Requests: fit.Amounts{"cpu": 800, "memory": 1 << 30}, Selector: map[string]string{"zone": "1"},
		Tolerations: []corev1.Toleration{{Key: "team", Operator: corev1.TolerationOpExists}},
	}}
	wantPod.Place.Fixed = projected.Place.Fixed
	if diff := cmp.Diff(wantPod, projected); diff != "" || len(projected.Place.Fixed) != 1 {
		t.Errorf("pod (-want +got):\n%s", diff)
	}
	s.Pods = map[string]eviction.Pod{"web-1": projected}
	c.kind.gather(s, vertical.Ref{Kind: "Deployment", Name: "web"})
	want := &fit.Cluster{
		Nodes: []fit.Node{
			{Name: "a", Labels: map[string]string{"zone": "1"}, Taints: []corev1.Taint{{Key: "team", Value: "shop", Effect: corev1.TaintEffectNoSchedule}},
				Allocatable: fit.Amounts{"cpu": 2000, "memory": 4 << 30, "pods": 10}, Free: fit.Amounts{"cpu": 1000, "memory": 3 << 30, "pods": 8}},
			{Name: "b", Taints: []corev1.Taint{{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}},
				Allocatable: fit.Amounts{"cpu": 8000, "memory": 8 << 30, "pods": 10}, Free: fit.Amounts{"cpu": 8000, "memory": 8 << 30, "pods": 10}},
		},
		Quotas: []fit.Quota{{Name: "compute", Hard: fit.Amounts{"requests.cpu": 1000}, Used: fit.Amounts{"requests.cpu": 900}}},
		Ranges: []fit.Range{{Name: "limits", Type: corev1.LimitTypeContainer, Max: fit.Amounts{"cpu": 1000}}},
	}
	if diff := cmp.Diff(want, s.Room); diff != "" {
		t.Errorf("room (-want +got):\n%s", diff)
	}
	// What one decision took is not offered to the next, until it shows by itself.
	c.kind.fleet.setAside(decision.Unit{Namespace: "shop"}, &fit.Taken{Place: fit.Place{Node: "a"}, Requests: fit.Amounts{"cpu": 300}, Quotas: map[string]fit.Amounts{"compute": {"requests.cpu": 50}}}, now)
	c.kind.gather(s, vertical.Ref{})
	if cpu, used := s.Room.Nodes[0].Free["cpu"], s.Room.Quotas[0].Used["requests.cpu"]; cpu != 700 || used != 950 {
		t.Errorf("after room was set aside node a has %dm free and the quota %dm used", cpu, used)
	}
	s.Now = now.Add(settling)
	c.kind.gather(s, vertical.Ref{})
	if cpu := s.Room.Nodes[0].Free["cpu"]; cpu != 1000 {
		t.Errorf("long after room was set aside node a has %dm free", cpu)
	}
}

func TestPoolsThatMayGrow(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	daemons := fit.Amounts{"cpu": 300, "pods": 2}
	want := fit.Pool{Name: "big", Zones: []string{"z1"}, Nodes: 2, Max: 3, Free: fit.Amounts{"cpu": 3500, "memory": 8 << 30, "pods": 108}}
	if diff := cmp.Diff(want, projectPool(decode[v1alpha1.NodePool](t, nodePool), daemons, now)); diff != "" {
		t.Errorf("pool (-want +got):\n%s", diff)
	}
	for want, change := range map[string]func(*v1alpha1.NodePool){
		"":                      func(*v1alpha1.NodePool) {},
		"its mode is Recommend": func(p *v1alpha1.NodePool) { p.Spec.Mode = v1alpha1.ModeRecommend },
		"its provider is not reachable": func(p *v1alpha1.NodePool) {
			p.Status.Conditions = []metav1.Condition{{Type: "ProviderReachable", Status: metav1.ConditionFalse}}
		},
		"its provider failed, and is asked again at 2026-03-01T12:05:00Z": func(p *v1alpha1.NodePool) {
			until := metav1.NewTime(now.Add(5 * time.Minute))
			p.Status.BackoffUntil = &until
		},
	} {
		p := decode[v1alpha1.NodePool](t, nodePool)
		change(p)
		if got := still(p, now); got != want {
			t.Errorf("still() = %q, want %q", got, want)
		}
	}
}

func TestWhatTiesAPodToItsNode(t *testing.T) {
	for want, change := range map[string]func(*corev1.Pod){
		"": func(*corev1.Pod) {},
		"affinity between pods": func(p *corev1.Pod) {
			p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: "zone"}}}}
		},
		"a topology spread constraint": func(p *corev1.Pod) {
			p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{WhenUnsatisfiable: corev1.DoNotSchedule}}
		},
		"its volumes": func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
		},
		"its resource claims":    func(p *corev1.Pod) { p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu"}} },
		"ports of the node":      func(p *corev1.Pod) { p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80}} },
		"scheduler packing-tool": func(p *corev1.Pod) { p.Spec.SchedulerName = "packing-tool" },
		"its DaemonSet":          func(p *corev1.Pod) { p.OwnerReferences = controlledBy("DaemonSet", "agent") },
	} {
		pod := decode[corev1.Pod](t, placedPod)
		pod.Spec.Volumes = []corev1.Volume{{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
		pod.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80}}
		change(pod)
		reduced, err := reducing(true)(pod)
		if err != nil {
			t.Fatal(err)
		}
		if got := projectPlace(reduced.(*corev1.Pod)).Tied; got != want {
			t.Errorf("tied by %q, want %q", got, want)
		}
	}
}

const deployment = `
metadata: {namespace: shop, name: web, generation: 4}
spec: {replicas: 1, selector: {}, template: {metadata: {annotations: {kubectl.kubernetes.io/restartedAt: "2026-03-01T11:00:00+01:00"}}, spec: {containers: []}}}
status: {observedGeneration: 4, replicas: 1, updatedReplicas: 1, availableReplicas: 1}`

func TestRolloutsOfDeployments(t *testing.T) {
	o := NewOptions()
	o.Kind.Surge = true
	client := fake.NewClientset(decode[appsv1.Deployment](t, deployment))
	r, err := newRollouts(client)
	if err != nil {
		t.Fatal(err)
	}
	for _, fill := range r.background() {
		go fill(t.Context())
	}
	eventually(t, "Deployments are listed", func() bool { return r.listed().Synced() == nil })
	target := vertical.Ref{Kind: "Deployment", Name: "web"}
	want := &eviction.Deployment{Replicas: 1, Surge: 1, Restarted: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)}
	if diff := cmp.Diff(want, r.look("shop", target)); diff != "" {
		t.Errorf("look (-want +got):\n%s", diff)
	}
	if r.look("shop", vertical.Ref{Kind: "StatefulSet", Name: "web"}) != nil || (*rollouts)(nil).look("shop", target) != nil {
		t.Error("what is no Deployment, or may not be rolled out, is known")
	}
	if d := r.look("shop", vertical.Ref{Kind: "Deployment", Name: "gone"}); d == nil || d.Unknown == "" {
		t.Errorf("of a Deployment that is gone %+v is known", d)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a := &actuator{rollouts: r, fleet: &fleet{config: eviction.Kindness{PerHour: 1}}, clock: fixedClock{at}}
	u := &update{d: eviction.Decision{Rollout: &eviction.Rollout{Deployment: "web", At: at}}, v: &visit{}}
	u.d.Unit.Namespace = "shop"
	a.rollOut(t.Context(), u)
	after, err := client.AppsV1().Deployments("shop").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil || after.Spec.Template.Annotations[restartedAt] != "2026-03-01T12:00:00Z" {
		t.Errorf("the template has %v: %v", after.Spec.Template.Annotations, err)
	}
	if diff := cmp.Diff([]eviction.Result{{Pod: "web", Rollout: true}}, u.v.results); diff != "" || len(a.fleet.look(at).Evictions) != 1 {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	u.d.Rollout.Deployment = "gone"
	a.rollOut(t.Context(), u)
	if len(u.refused) != 1 || !strings.Contains(u.refused[0], "roll out gone: ") {
		t.Errorf("refused %v", u.refused)
	}
}

type fixedClock struct{ at time.Time }

func (c fixedClock) Now() time.Time                  { return c.at }
func (c fixedClock) Since(t time.Time) time.Duration { return c.at.Sub(t) }

// TestFleetRemembersForItsTimes runs against the clock of a bubble.
func TestFleetRemembersForItsTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOptions()
		o.Kind.FleetFailures, o.Rules.Kindness.PerHour = 1, 5
		o.Kind.Windows = []string{"30 0 * * * 1h Etc/UTC"}
		windows, err := o.Kind.windows()
		if err != nil {
			t.Fatal(err)
		}
		f := &fleet{config: o.rules().Kindness, windows: windows}
		now := func() time.Time { return time.Now().UTC().Round(0) }
		f.evicted(now())
		time.Sleep(30 * time.Minute)
		f.evicted(now())
		d := eviction.Decision{Failures: []string{"web-1"}}
		d.Unit, d.At = decision.Unit{Namespace: "shop", Name: "web"}, now()
		f.failed(d)
		look := f.look(now())
		if len(look.Evictions) != 2 || len(look.Failures) != 1 || look.Failures[0].Object != "shop/web" {
			t.Errorf("at %s the fleet knows %+v", now(), look)
		}
		// Bubbles begin at midnight: the window of half past opens now.
		if !look.Windowed || len(look.Windows) != 2 || !look.Windows[0].Opens.Equal(now()) {
			t.Errorf("at %s the windows are %+v", now(), look.Windows)
		}
		time.Sleep(30 * time.Minute)
		if look := f.look(now()); len(look.Evictions) != 1 || len(look.Failures) != 1 {
			t.Errorf("an hour after the first eviction the fleet knows %+v", look)
		}
		time.Sleep(30 * time.Minute)
		if look := f.look(now()); len(look.Evictions) != 0 || len(look.Failures) != 0 {
			t.Errorf("an hour after all the fleet knows %+v", look)
		}
	})
}

func TestWindowsOfTheFlag(t *testing.T) {
	for text, want := range map[string]string{
		"0 22 * * MON-FRI 6h Europe/Berlin": "",
		"0 22 * * * 90m":                    "",
		"0 22 * * 6h":                       "five words",
		"0 22 * * * soon":                   "no duration",
		"0 25 * * * 6h":                     "cron",
		"0 22 * * * 6h Mars/Phobos":         "timeZone",
	} {
		_, err := readWindow(text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("readWindow(%q) = %v, want %q", text, err, want)
		}
	}
	for flag, change := range map[string]func(*Options){
		flagFit:             func(o *Options) { o.Kind.Fit = "Maybe" },
		flagPerMinute:       func(o *Options) { o.Rules.Kindness.PerMinute = -1 },
		flagPerHour:         func(o *Options) { o.Rules.Kindness.PerHour = -1 },
		flagWindow:          func(o *Options) { o.Kind.Windows = []string{"never"} },
		flagBreakerFailures: func(o *Options) { o.Kind.BreakerFailures = -1 },
		flagFleetFailures:   func(o *Options) { o.Kind.FleetFailures = -1 },
		flagBreakerReady:    func(o *Options) { o.Kind.BreakerReady = 0 },
		flagBreakerReset:    func(o *Options) { o.Kind.BreakerTime = 0 },
	} {
		o := NewOptions()
		change(o)
		if err := o.Validate(); err == nil || !strings.HasPrefix(err.Error(), "--"+flag+": ") {
			t.Errorf("Validate() = %v, want an error naming --%s", err, flag)
		}
	}
}

// TestAllowanceHoldsWhenPodsAreRefused: a pod that is refused leaves its place to
// the next, and no more are evicted than the rate allows.
func TestAllowanceHoldsWhenPodsAreRefused(t *testing.T) {
	x := start(t, runtimeflags.ModeAuto, cluster(t, time.Now())...)
	x.evictions.refused["a"] = true
	d := eviction.Decision{Allowance: 1, Budgets: map[string]int{"ReplicaSet/web-1": 3}}
	d.Unit = decision.Unit{Namespace: "shop", Name: "web"}
	for _, pod := range []string{"a", "b", "c"} {
		d.Candidates = append(d.Candidates, eviction.Candidate{Pod: pod, UID: "uid-" + pod, Group: "ReplicaSet/web-1"})
	}
	evicting, err := kubernetes.NewForConfig(&rest.Config{Host: "http://localhost", Transport: x.evictions, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: runtime.ContentTypeJSON}})
	if err != nil {
		t.Fatal(err)
	}
	a := newActuator(evicting.CoreV1().RESTClient(), NewOptions(), &refusals{})
	a.fleet = &fleet{config: eviction.Kindness{PerHour: 1}}
	a.Act(t.Context(), d)
	if diff := cmp.Diff([]string{"a", "b"}, x.evictions.asked); diff != "" {
		t.Errorf("evictions (-want +got):\n%s", diff)
	}
	if n := len(a.fleet.look(time.Now()).Evictions); n != 1 {
		t.Errorf("the fleet counts %d evictions", n)
	}
}

// TestPodThatDoesNotFitIsNotEvicted runs passes beside a quota that is full, and
// beside one that was raised.
func TestPodThatDoesNotFitIsNotEvicted(t *testing.T) {
	full := decode[corev1.ResourceQuota](t, strings.Replace(quota, "900m", "980m", 1))
	homes := []runtime.Object{full, decode[corev1.Node](t, strings.Replace(firstNode, "{key: team, value: shop, effect: NoSchedule}", "", 1))}
	required := func(o *Options) { o.Kind.Fit = FitRequire }
	x := startWith(t, setup{mode: runtimeflags.ModeAuto, vpa: object, options: required}, append(cluster(t, time.Now()), homes...)...)
	d := x.pass()
	if d.Reason != eviction.ReasonBlocked || len(x.evictions.asked) > 0 {
		t.Errorf("decided %s: %s", d.Reason, d.Message)
	}
	said, err := yaml.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"OverQuota", "requests.cpu would be 1130m of 1", "object: ResourceQuota compute"} {
		if !strings.Contains(string(said), want) {
			t.Errorf("the decision does not say %q:\n%s", want, said)
		}
	}
	x.replay(1)
	full = full.DeepCopy()
	full.Status.Hard[corev1.ResourceRequestsCPU] = resource.MustParse("2")
	if _, err := x.client.CoreV1().ResourceQuotas("shop").Update(t.Context(), full, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a pod is evicted", func() bool {
		x.pass()
		return len(x.evictions.asked) > 0
	})
}
