package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	vpafake "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned/fake"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	"github.com/quartet-autoscaling/quartet/admission/patch"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/ledger"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/serving"
	"github.com/quartet-autoscaling/quartet/internal/vertical"
)

const object = `
metadata: {namespace: shop, name: web, uid: vpa-1, creationTimestamp: "2026-03-01T12:00:00Z"}
spec: {targetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
status: {recommendation: {containerRecommendations: [{containerName: app, target: {cpu: 200m, memory: 100Mi}}]}}
`

const newPod = `
apiVersion: v1
kind: Pod
metadata:
  generateName: web-7d4f-
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-7d4f, uid: rs-1, controller: true}]
spec: {containers: [{name: app, image: web, resources: {requests: {cpu: 100m, memory: 100Mi}, limits: {cpu: 300m}}}]}
`

// world is a running webhook before fake API servers.
type world struct {
	t      testing.TB
	client kubernetes.Interface
	vpas   *vpafake.Clientset
	w      *webhook
	ledger string
	events *record.FakeRecorder
	store  *decisionapi.Store
}

func start(t testing.TB, mode runtimeflags.Mode, objects ...runtime.Object) *world {
	t.Helper()
	vpa := &vpav1.VerticalPodAutoscaler{}
	if err := yaml.UnmarshalStrict([]byte(object), vpa); err != nil {
		t.Fatal(err)
	}
	owner := true
	objects = append(append(objects, configurations()...),
		&appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web-7d4f", UID: "rs-1",
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", Controller: &owner}},
		}})
	x := made(t, objects)
	x.ledger, x.vpas = t.TempDir(), vpafake.NewSimpleClientset(vpa)
	x.run(started(mode))
	return x
}

// made is a world before it runs.
func made(t testing.TB, objects []runtime.Object) *world {
	t.Helper()
	return &world{
		t: t, client: fake.NewClientset(objects...), events: record.NewFakeRecorder(10),
		store: decisionapi.NewStore(decisionapi.StoreConfig{Component: apiComponent, Kind: patch.Kind}),
	}
}

// started are the settings of a webhook of a mode, on a port of its own.
func started(mode runtimeflags.Mode) settings {
	s := settings{flags: runtimeflags.New(runtimeflags.Serving), port: serving.NewOptions(), options: NewOptions(), clock: clock.RealClock{}}
	s.flags.Mode, s.options.Namespace, s.port.BindAddress, s.options.Port = mode, "quartet-system", "127.0.0.1", 0
	return s
}

// configurations are those that the chart makes.
func configurations() []runtime.Object {
	return []runtime.Object{
		&admissionregistrationv1.MutatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "quartet-vpa-admission"}, Webhooks: []admissionregistrationv1.MutatingWebhook{{Name: "pods"}, {Name: "vpas"}},
		},
		&admissionregistrationv1.ValidatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: "quartet-vpa-admission"}, Webhooks: []admissionregistrationv1.ValidatingWebhook{{Name: "vpas"}},
		},
	}
}

// run assembles the parts as build does, and serves.
func (x *world) run(s settings) {
	x.t.Helper()
	w := &webhook{units: map[decision.Unit]bool{}, limits: vertical.NewLimitRanges(x.client)}
	var err error
	must := func() {
		x.t.Helper()
		if err != nil {
			x.t.Fatal(err)
		}
	}
	w.vpas, err = vertical.NewObjects(x.vpas)
	must()
	w.controllers, err = vertical.NewControllers(x.client, false)
	must()
	err = w.stand(s, x.client)
	must()
	if x.ledger != "" {
		w.ledger, err = ledger.Open[patch.Snapshot, patch.State, patch.Decision](ledger.Config{Dir: x.ledger, Component: name, Build: "test"})
		must()
	}
	w.publisher = &publisher{recorder: x.events, store: x.store}
	m, err := newMetrics(prometheus.NewRegistry())
	must()
	err = w.assemble(x.t.Context(), s, m)
	must()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	for _, run := range []func(context.Context){w.vpas.Run, w.controllers.Run, w.limits.Run} {
		go run(ctx)
	}
	go func() { ended <- w.serve(ctx) }()
	x.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			x.t.Errorf("serve: %v", err)
		}
	})
	err = w.keeper.Sync(ctx)
	must()
	eventually(x.t, "the caches are filled", func() bool { return w.listed().Synced() == nil })
	x.w = w
	w.standing.tick(ctx)
}

// trusted are the authorities of the configuration now.
func (x *world) trusted() *x509.CertPool {
	x.t.Helper()
	c, err := x.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(x.t.Context(), "quartet-vpa-admission", metav1.GetOptions{})
	if err != nil {
		x.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.Webhooks[0].ClientConfig.CABundle)
	return pool
}

// post sends a body as the API server does: trusting the caBundle of the
// configuration, by the name of the Service.
func (x *world) post(path string, body []byte) (int, []byte) {
	x.t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: x.trusted(), ServerName: "vpa-admission.quartet-system.svc"},
	}}
	response, err := client.Post("https://"+x.w.listener.Addr().String()+path, "application/json", bytes.NewReader(body))
	if err != nil {
		x.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	return response.StatusCode, content
}

func (x *world) review(path string, request admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	x.t.Helper()
	request.UID, request.Namespace = "review-1", "shop"
	if request.Operation == "" {
		request.Operation = admissionv1.Create
	}
	body, err := json.Marshal(admissionv1.AdmissionReview{Request: &request})
	if err != nil {
		x.t.Fatal(err)
	}
	code, content := x.post(path, body)
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(content, &review); err != nil || code != http.StatusOK || review.Response == nil || review.Response.UID != "review-1" {
		x.t.Fatalf("answered %d %s: %v", code, content, err)
	}
	return review.Response
}

func raw(t testing.TB, text string) runtime.RawExtension {
	t.Helper()
	content, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return runtime.RawExtension{Raw: content}
}

const wantPatch = `[{"op":"add","path":"/spec/containers/0/resources/requests/cpu","value":"200m"},` +
	`{"op":"add","path":"/spec/containers/0/resources/limits/cpu","value":"600m"},` +
	`{"op":"add","path":"/metadata/annotations","value":{"vpaObservedContainers":"app",` +
	`"vpaUpdates":"Pod resources updated by web: container 0: memory: limit NOT set since originalLimit is nil or 0, cpu request, memory request, cpu limit"}}]`

func TestNewPodIsPatched(t *testing.T) {
	x := start(t, runtimeflags.ModeAuto)
	got := x.review(PathPods, admissionv1.AdmissionRequest{Object: raw(t, newPod)})
	if !got.Allowed || string(got.Patch) != wantPatch {
		t.Errorf("allowed %t with patch\n%s, want\n%s", got.Allowed, got.Patch, wantPatch)
	}
	d, ok := x.store.Get("shop", "web")
	if !ok || d.Reason != patch.ReasonPatched || d.Outcome.Result != decision.Succeeded || !strings.Contains(string(d.Detail.Raw), "web-7d4f-*") {
		t.Errorf("last decision %+v", d)
	}
	lease, err := x.client.CoordinationV1().Leases("quartet-system").Get(t.Context(), "vpa-admission-controller", metav1.GetOptions{})
	if err != nil || lease.Spec.RenewTime == nil {
		t.Errorf("lease %+v: %v", lease, err)
	}
	x.replay(1)
}

// replay runs what was recorded through the rules again.
func (x *world) replay(decisions int) {
	x.t.Helper()
	files, err := filepath.Glob(filepath.Join(x.ledger, "*"+ledger.Extension))
	if err != nil || len(files) != 1 {
		x.t.Fatalf("ledgers %v: %v", files, err)
	}
	file, err := os.Open(files[0])
	if err != nil {
		x.t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	report, err := ledger.Replay(file, patch.Rules())
	if err != nil || report.Decisions != decisions || len(report.Differences) > 0 {
		x.t.Errorf("replayed %d decisions, want %d, with differences %v: %v", report.Decisions, decisions, report.Differences, err)
	}
}

func TestPodsThatAreLeftAlone(t *testing.T) {
	upstream := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "vpa-webhook-config"}}
	tests := map[string]struct {
		mode    runtimeflags.Mode
		objects []runtime.Object
		request admissionv1.AdmissionRequest
		reason  string
	}{
		"in mode Recommend":               {mode: runtimeflags.ModeRecommend, request: admissionv1.AdmissionRequest{Object: raw(t, newPod)}, reason: patch.ReasonPatched},
		"beside another webhook":          {mode: runtimeflags.ModeAuto, objects: []runtime.Object{upstream}, request: admissionv1.AdmissionRequest{Object: raw(t, newPod)}, reason: patch.ReasonOtherWriter},
		"of nobody":                       {mode: runtimeflags.ModeAuto, request: admissionv1.AdmissionRequest{Object: raw(t, "metadata: {name: alone}")}},
		"of a controller that is unknown": {mode: runtimeflags.ModeAuto, request: admissionv1.AdmissionRequest{Object: raw(t, strings.ReplaceAll(newPod, "web-7d4f", "new"))}},
		"that are no pods":                {mode: runtimeflags.ModeAuto, request: admissionv1.AdmissionRequest{Object: runtime.RawExtension{Raw: []byte(`{"spec":"no"}`)}}},
		"that are there already":          {mode: runtimeflags.ModeAuto, request: admissionv1.AdmissionRequest{Operation: admissionv1.Update, Object: raw(t, newPod)}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			x := start(t, tc.mode, tc.objects...)
			if got := x.review(PathPods, tc.request); !got.Allowed || got.Patch != nil || got.Result != nil {
				t.Errorf("answered %+v", got)
			}
			d, ok := x.store.Get("shop", "web")
			if ok != (tc.reason != "") || d.Reason != tc.reason {
				t.Errorf("last decision %q, want %q", d.Reason, tc.reason)
			}
			_, err := x.client.CoordinationV1().Leases("quartet-system").Get(t.Context(), "vpa-admission-controller", metav1.GetOptions{})
			if quiet := tc.reason != ""; quiet != apierrors.IsNotFound(err) {
				t.Errorf("where pods are not patched the lease is not renewed: %v", err)
			}
			detail, _ := x.w.standing.otherWriters(t.Context())
			if seen := strings.Contains(detail, "vpa-webhook-config"); seen != (tc.objects != nil) {
				t.Errorf("readiness says %q", detail)
			}
			if told := len(x.events.Events); (told > 0) != (tc.objects != nil) {
				t.Errorf("%d events", told)
			}
		})
	}
}

func TestLimitRangeCapsThePatch(t *testing.T) {
	x := start(t, runtimeflags.ModeAuto, &corev1.LimitRange{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "small"},
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type: corev1.LimitTypeContainer, Max: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("450m")},
		}}},
	})
	got := x.review(PathPods, admissionv1.AdmissionRequest{Object: raw(t, newPod)})
	for _, want := range []string{`requests/cpu","value":"150m"`, `limits/cpu","value":"450m"`, "cpu capped to fit Max in container LimitRange"} {
		if !strings.Contains(string(got.Patch), want) {
			t.Errorf("patch %s lacks %s", got.Patch, want)
		}
	}
}

func TestInvalidObjectIsRefusedByField(t *testing.T) {
	const invalid = "spec: {targetRef: {kind: Deployment, name: web}, updatePolicy: {updateMode: Recreate, minReplicas: 0}}"
	tests := map[string]struct {
		mode    runtimeflags.Mode
		request admissionv1.AdmissionRequest
		refused string
		warned  string
	}{
		"valid":                   {mode: runtimeflags.ModeAuto, request: admissionv1.AdmissionRequest{Object: raw(t, object)}},
		"invalid":                 {mode: runtimeflags.ModeAuto, request: admissionv1.AdmissionRequest{Object: raw(t, invalid)}, refused: "spec.updatePolicy.minReplicas"},
		"invalid, only watched":   {mode: runtimeflags.ModeRecommend, request: admissionv1.AdmissionRequest{Object: raw(t, invalid)}, warned: "spec.updatePolicy.minReplicas"},
		"without a target":        {mode: runtimeflags.ModeAuto, request: admissionv1.AdmissionRequest{Object: raw(t, "spec: {}")}, refused: "spec.targetRef"},
		"invalid after an update": {mode: runtimeflags.ModeAuto, request: admissionv1.AdmissionRequest{Operation: admissionv1.Update, Object: raw(t, invalid), OldObject: raw(t, object)}, refused: "spec.updatePolicy.minReplicas"},
		"unreadable":              {mode: runtimeflags.ModeAuto, request: admissionv1.AdmissionRequest{Object: runtime.RawExtension{Raw: []byte(`[]`)}}, refused: "cannot unmarshal"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			x := start(t, tc.mode)
			tc.request.Kind = metav1.GroupVersionKind{Group: "autoscaling.k8s.io", Version: "v1", Kind: "VerticalPodAutoscaler"}
			got := x.review(PathVPAs, tc.request)
			if got.Allowed != (tc.refused == "") {
				t.Fatalf("allowed %t", got.Allowed)
			}
			if tc.refused != "" && (got.Result.Code != http.StatusUnprocessableEntity || !strings.Contains(got.Result.Message, tc.refused)) {
				t.Errorf("refused with %+v", got.Result)
			}
			if !strings.Contains(strings.Join(got.Warnings, "\n"), tc.warned) || (tc.warned == "") != (len(got.Warnings) == 0) {
				t.Errorf("warnings %q", got.Warnings)
			}
		})
	}
}

func TestWhatIsNoReview(t *testing.T) {
	x := start(t, runtimeflags.ModeAuto)
	for body, want := range map[string]int{
		"{": http.StatusBadRequest, "{}": http.StatusBadRequest,
		`"` + strings.Repeat("a", maxReview) + `"`: http.StatusRequestEntityTooLarge,
	} {
		if code, _ := x.post(PathPods, []byte(body)); code != want {
			t.Errorf("%.10s... answered %d, want %d", body, code, want)
		}
	}
}

func TestObjectsThatAreGoneAreForgotten(t *testing.T) {
	x := start(t, runtimeflags.ModeAuto)
	x.review(PathPods, admissionv1.AdmissionRequest{Object: raw(t, newPod)})
	x.w.forgetGone()
	if _, ok := x.store.Get("shop", "web"); !ok {
		t.Error("an object that is there was forgotten")
	}
	if err := x.vpas.AutoscalingV1().VerticalPodAutoscalers("shop").Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the decision is forgotten", func() bool {
		x.w.forgetGone()
		_, known := x.store.Get("shop", "web")
		return !known
	})
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come about that %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
