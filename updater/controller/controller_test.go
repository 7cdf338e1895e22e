package controller

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	vpafake "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned/fake"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/yaml"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/ledger"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

const object = `
metadata: {namespace: shop, name: web, uid: vpa-1, creationTimestamp: "2026-03-01T12:00:00Z"}
spec: {targetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
status: {recommendation: {containerRecommendations: [{containerName: app, target: {cpu: 200m}, lowerBound: {cpu: 150m}, upperBound: {cpu: 400m}}]}}
`

// refusal is what the API server says of a budget that has no room.
const refusal = `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Cannot evict pod as it would violate the pod's disruption budget.",` +
	`"reason":"TooManyRequests","details":{"retryAfterSeconds":10,"causes":[{"reason":"DisruptionBudget","message":"The disruption budget web needs 3 healthy pods and has 3 currently"}]},"code":429}`

// evictions is an API server that evicts, but not the pods in refused, and resizes,
// but not those in unfit.
type evictions struct {
	mu      sync.Mutex
	refused map[string]bool
	asked   []string
	uids    []string
	// unfit are statuses by pod, patched the bodies by path.
	unfit   map[string]string
	patched map[string]string
}

// RoundTrip answers without a network.
func (e *evictions) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w.Result(), nil
}

func (e *evictions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.Method == http.MethodPatch {
		e.patch(w, r)
		return
	}
	pod, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/shop/pods/"), "/eviction")
	var body policyv1.Eviction
	if err := json.NewDecoder(r.Body).Decode(&body); !ok || r.Method != http.MethodPost || err != nil {
		http.Error(w, "unexpected "+r.URL.Path, http.StatusNotFound)
		return
	}
	e.asked, e.uids = append(e.asked, pod), append(e.uids, string(*body.DeleteOptions.Preconditions.UID))
	w.Header().Set("Content-Type", "application/json")
	if e.refused[pod] {
		w.Header().Set("Retry-After", "10")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(refusal))
		return
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Success"}`))
}

func controlledBy(kind, owner string) []metav1.OwnerReference {
	yes, no := true, false
	// The first reference is of an owner that controls nothing.
	return []metav1.OwnerReference{
		{APIVersion: "v1", Kind: "ConfigMap", Name: "settings", Controller: &no},
		{APIVersion: "apps/v1", Kind: kind, Name: owner, UID: "uid-of-owner", Controller: &yes},
	}
}

func webPod(t *testing.T, name, cpu string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	text := "{metadata: {namespace: shop, name: " + name + ", uid: uid-" + name + "}, spec: {nodeName: node-1, containers: [{name: app, resources: {requests: {cpu: " + cpu + "}}}]}," +
		"status: {phase: Running, startTime: '2026-03-01T12:00:00Z'}}"
	if err := yaml.UnmarshalStrict([]byte(text), pod); err != nil {
		t.Fatal(err)
	}
	pod.OwnerReferences = controlledBy("ReplicaSet", "web-1")
	return pod
}

func cluster(t *testing.T, renewed time.Time) []runtime.Object {
	t.Helper()
	three := int32(3)
	set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", UID: "uid-of-owner", OwnerReferences: controlledBy("Deployment", "web")}}
	set.Spec.Replicas = &three
	at := metav1.NewMicroTime(renewed)
	return []runtime.Object{
		set, webPod(t, "a", "50m"), webPod(t, "b", "100m"), webPod(t, "c", "200m"),
		&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "quartet-system", Name: "vpa-admission-controller"}, Spec: coordinationv1.LeaseSpec{RenewTime: &at}},
	}
}

// world is an updater before fake API servers.
type world struct {
	t         *testing.T
	client    kubernetes.Interface
	vpas      *vpafake.Clientset
	c         *controller
	evictions *evictions
	events    *record.FakeRecorder
	store     *decisionapi.Store
	dir       string
}

func start(t *testing.T, mode runtimeflags.Mode, objects ...runtime.Object) *world {
	t.Helper()
	return startWith(t, setup{mode: mode, vpa: object}, objects...)
}

// setup is what a world begins with: a mode, an object and changes of the options.
type setup struct {
	mode    runtimeflags.Mode
	vpa     string
	options func(*Options)
	usage   *usage
}

func startWith(t *testing.T, with setup, objects ...runtime.Object) *world {
	t.Helper()
	vpa := &vpav1.VerticalPodAutoscaler{}
	if err := yaml.UnmarshalStrict([]byte(with.vpa), vpa); err != nil {
		t.Fatal(err)
	}
	x := &world{
		t: t, client: fake.NewClientset(objects...), vpas: vpafake.NewSimpleClientset(vpa), evictions: &evictions{refused: map[string]bool{}, unfit: map[string]string{}, patched: map[string]string{}},
		events: record.NewFakeRecorder(20), dir: t.TempDir(),
		store: decisionapi.NewStore(decisionapi.StoreConfig{Component: apiComponent, Kind: eviction.Kind}),
	}
	evicting, err := kubernetes.NewForConfig(&rest.Config{Host: "http://localhost", Transport: x.evictions, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: runtime.ContentTypeJSON}})
	if err != nil {
		t.Fatal(err)
	}
	s := settings{flags: runtimeflags.New(runtimeflags.Acting), options: NewOptions()}
	s.flags.Mode, s.flags.LeaderElectResourceNamespace = with.mode, "quartet-system"
	if with.options != nil {
		with.options(s.options)
	}
	if x.c, err = newController(s, x.client, x.vpas); err != nil {
		t.Fatal(err)
	}
	if x.c.ledger, err = ledger.Open[eviction.Snapshot, eviction.State, eviction.Decision](ledger.Config{Dir: x.dir, Component: name, Build: "test"}); err != nil {
		t.Fatal(err)
	}
	x.c.usage = with.usage
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	shown := &publisher{recorder: x.events, store: x.store, metrics: m}
	if err := x.c.assemble(t.Context(), s, newActuator(evicting.CoreV1().RESTClient(), s.options, x.c.refusals), shown); err != nil {
		t.Fatal(err)
	}
	for _, fill := range append(x.c.kind.background(), x.c.vpas.Run, x.c.controllers.Run, x.c.limits.Run, x.c.pods.run) {
		go fill(t.Context())
	}
	eventually(t, "the caches are filled", func() bool { return x.c.listed().Synced() == nil })
	return x
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come about that %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func (x *world) pass() decisionapi.Decision {
	x.t.Helper()
	x.c.passes.pass(x.t.Context(), x.t.Context())
	d, ok := x.store.Get("shop", "web")
	if !ok {
		x.t.Fatal("there is no decision")
	}
	return d
}

func (x *world) told() string {
	var all []string
	for len(x.events.Events) > 0 {
		all = append(all, <-x.events.Events)
	}
	return strings.Join(all, "\n")
}

// replay runs what was recorded through the rules again.
func (x *world) replay(decisions int) {
	x.t.Helper()
	files, err := filepath.Glob(filepath.Join(x.dir, "*"+ledger.Extension))
	if err != nil || len(files) != 1 {
		x.t.Fatalf("ledgers %v: %v", files, err)
	}
	file, err := os.Open(files[0])
	if err != nil {
		x.t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	report, err := ledger.Replay(file, eviction.Rules())
	if err != nil || report.Decisions != decisions || len(report.Differences) > 0 {
		x.t.Errorf("replayed %d decisions, want %d, with differences %v: %v", report.Decisions, decisions, report.Differences, err)
	}
}

func TestPodInGreatestNeedIsEvicted(t *testing.T) {
	x := start(t, runtimeflags.ModeAuto, cluster(t, time.Now())...)
	d := x.pass()
	if diff := cmp.Diff([]string{"a"}, x.evictions.asked) + cmp.Diff([]string{"uid-a"}, x.evictions.uids); diff != "" {
		t.Errorf("evictions (-want +got):\n%s", diff)
	}
	if d.Reason != eviction.ReasonEvict || d.Outcome.Result != decision.Succeeded {
		t.Errorf("decided %s with outcome %+v", d.Reason, d.Outcome)
	}
	told := x.told()
	for _, want := range []string{"EvictedPod VPA Updater evicted Pod a", "EvictedByVPA"} {
		if !strings.Contains(told, want) {
			t.Errorf("events %q lack %q", told, want)
		}
	}
	x.replay(1)
}

func TestBudgetThatHasNoRoomIsQuoted(t *testing.T) {
	x := start(t, runtimeflags.ModeAuto, cluster(t, time.Now())...)
	x.evictions.refused["a"] = true
	d := x.pass()
	// The next in need takes the place; what was refused is not tried again.
	if diff := cmp.Diff([]string{"a", "b"}, x.evictions.asked); diff != "" {
		t.Errorf("evictions (-want +got):\n%s", diff)
	}
	want := "evict a: Cannot evict pod as it would violate the pod's disruption budget. The disruption budget web needs 3 healthy pods and has 3 currently"
	if d.Outcome.Result != decision.Failed || d.Outcome.Error != want {
		t.Errorf("outcome %+v, want the budget's words", d.Outcome)
	}
	if told := x.told(); !strings.Contains(told, "EvictionRefused") || !strings.Contains(told, "needs 3 healthy pods") {
		t.Errorf("events %q", told)
	}
	x.replay(1)
}

func TestNothingIsEvicted(t *testing.T) {
	now := time.Now()
	at, holder := metav1.NewMicroTime(now), "vpa-updater-1"
	rival := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "vpa-updater"}, Spec: coordinationv1.LeaseSpec{RenewTime: &at, HolderIdentity: &holder}}
	past := metav1.NewMicroTime(now.Add(-time.Hour))
	left := rival.DeepCopy()
	left.Spec.RenewTime = &past
	tests := map[string]struct {
		mode    runtimeflags.Mode
		renewed time.Time
		more    []runtime.Object
		reason  string
		evicts  bool
		detail  string
	}{
		"in mode Recommend":             {mode: runtimeflags.ModeRecommend, renewed: now, reason: eviction.ReasonEvict, detail: "no other updater seen"},
		"while the webhook is away":     {mode: runtimeflags.ModeAuto, renewed: now.Add(-2 * time.Minute), reason: eviction.ReasonAdmissionAway, detail: "no other updater seen"},
		"beside another updater":        {mode: runtimeflags.ModeAuto, renewed: now, more: []runtime.Object{rival}, reason: eviction.ReasonOtherWriter, detail: "vpa-updater-1"},
		"unless the other one has left": {mode: runtimeflags.ModeAuto, renewed: now, more: []runtime.Object{left}, reason: eviction.ReasonEvict, evicts: true, detail: "no other updater seen"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			x := start(t, tc.mode, append(cluster(t, tc.renewed), tc.more...)...)
			if d := x.pass(); d.Reason != tc.reason {
				t.Errorf("decided %s: %s", d.Reason, d.Message)
			}
			if evicted := len(x.evictions.asked) > 0; evicted != tc.evicts {
				t.Errorf("evicted %v", x.evictions.asked)
			}
			if detail, _ := x.c.leases.otherWriters(t.Context()); !strings.Contains(detail, tc.detail) {
				t.Errorf("readiness says %q", detail)
			}
		})
	}
}

func TestObjectThatIsGoneIsForgotten(t *testing.T) {
	x := start(t, runtimeflags.ModeRecommend, cluster(t, time.Now())...)
	x.pass()
	if err := x.vpas.AutoscalingV1().VerticalPodAutoscalers("shop").Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the decision is forgotten", func() bool {
		x.c.passes.pass(t.Context(), t.Context())
		_, known := x.store.Get("shop", "web")
		return !known
	})
}

func TestValidateNamesTheFlag(t *testing.T) {
	if err := NewOptions().Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	for flag, change := range map[string]func(*Options){
		flagMemoryDecrease: func(o *Options) { o.MemoryDecrease = "Never" },
		flagIgnored:        func(o *Options) { o.Namespace, o.Ignored = "a", []string{"b"} },
		flagInterval:       func(o *Options) { o.Interval = 0 },
		flagMinReplicas:    func(o *Options) { o.Rules.MinReplicas = -1 },
		flagTolerance:      func(o *Options) { o.Rules.Tolerance = 1.5 },
		flagBurst:          func(o *Options) { o.RateLimit, o.Burst = 1, 0 },
		flagLeaseName:      func(o *Options) { o.LeaseName = "" },
		flagLeaseTimeout:   func(o *Options) { o.Rules.LeaseTimeout = 0 },
		flagThreshold:      func(o *Options) { o.Rules.UpdateThreshold = -1 },
		flagLifetime:       func(o *Options) { o.Rules.PodLifetime = -1 },
		flagOOM:            func(o *Options) { o.Rules.OOMThreshold = -1 },
	} {
		o := NewOptions()
		change(o)
		if err := o.Validate(); err == nil || !strings.HasPrefix(err.Error(), "--"+flag+": ") {
			t.Errorf("Validate() = %v, want an error naming --%s", err, flag)
		}
	}
}
