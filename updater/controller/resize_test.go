package controller

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// resized is the object in a mode that resizes.
func resized(mode string) string {
	return strings.Replace(object, "name: web}}", "name: web}, updatePolicy: {updateMode: "+mode+"}}", 1)
}

// neverRoom is what the API server says of a resize that the node can never have
// room for.
const neverRoom = `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"a\" is forbidden: node didn't have enough capacity","reason":"Forbidden",` +
	`"details":{"name":"a","kind":"pods","causes":[{"reason":"NodeCapacity","message":"cpu"}]},"code":403}`

// patch resizes or annotates.
func (e *evictions) patch(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/shop/pods/")
	w.Header().Set("Content-Type", "application/json")
	if pod, ok := strings.CutSuffix(path, "/resize"); ok && e.unfit[pod] != "" {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, e.unfit[pod])
		return
	}
	if r.Header.Get("Content-Type") != "application/strategic-merge-patch+json" {
		http.Error(w, "unexpected "+r.Header.Get("Content-Type"), http.StatusUnsupportedMediaType)
		return
	}
	e.patched[path] = string(body)
	_, _ = io.WriteString(w, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}`)
}

func TestResizesInPlace(t *testing.T) {
	x := startWith(t, setup{mode: runtimeflags.ModeAuto, vpa: resized("InPlaceOrRecreate")}, cluster(t, time.Now())...)
	d := x.pass()
	want := map[string]string{
		"a/resize": `{"metadata":{"uid":"uid-a"},"spec":{"containers":[{"name":"app","resources":{"requests":{"cpu":"200m"}}}]}}`,
		"a":        `{"metadata":{"annotations":{"vpaInPlaceUpdated":"true"},"uid":"uid-a"}}`,
	}
	if diff := cmp.Diff(want, x.evictions.patched); diff != "" {
		t.Errorf("patches (-want +got):\n%s", diff)
	}
	if d.Reason != eviction.ReasonResize || d.Outcome.Result != decision.Succeeded || len(x.evictions.asked) != 0 {
		t.Errorf("decided %s with outcome %+v, evicted %v", d.Reason, d.Outcome, x.evictions.asked)
	}
	if told := x.told(); told != "Normal InPlaceResizedByVPA Pod was resized in place by VPA Updater." {
		t.Errorf("events %q", told)
	}
	x.replay(1)
}

func TestRefusedResizeIsFollowedByAnEviction(t *testing.T) {
	x := startWith(t, setup{mode: runtimeflags.ModeAuto, vpa: resized("InPlaceOrRecreate")}, cluster(t, time.Now())...)
	x.evictions.unfit["a"] = neverRoom
	d := x.pass()
	// The next in need is resized, and so leaves no room for the eviction.
	if _, ok := x.evictions.patched["b/resize"]; !ok || len(x.evictions.asked) != 0 {
		t.Errorf("patched %v, evicted %v", x.evictions.patched, x.evictions.asked)
	}
	if want := `resize a: pods "a" is forbidden: node didn't have enough capacity cpu`; d.Outcome.Error != want {
		t.Errorf("outcome %+v, want %s", d.Outcome, want)
	}
	x.evictions.unfit["b"] = neverRoom
	x.pass()
	if diff := cmp.Diff([]string{"a"}, x.evictions.asked); diff != "" {
		t.Errorf("evictions (-want +got):\n%s", diff)
	}
	if told := x.told(); !strings.Contains(told, "Warning ResizeRefused Could not resize Pod a in place") || !strings.Contains(told, "EvictedPod VPA Updater evicted Pod a") {
		t.Errorf("events %q", told)
	}
	x.replay(2)
}

// TestWhatLastsIsToldOnce: in mode InPlace a resize that the API server refuses for
// good is not tried again, and told of when that begins.
func TestWhatLastsIsToldOnce(t *testing.T) {
	x := startWith(t, setup{mode: runtimeflags.ModeAuto, vpa: resized("InPlace"), options: gateInPlace(t)}, cluster(t, time.Now())...)
	x.evictions.unfit["a"] = neverRoom
	if d := x.pass(); d.Reason != eviction.ReasonResize || d.Outcome.Result != decision.Failed {
		t.Errorf("decided %s with outcome %+v", d.Reason, d.Outcome)
	}
	x.evictions.unfit["a"] = "" // It would be let through now, and is not tried.
	for range 3 {
		x.pass()
	}
	if _, ok := x.evictions.patched["a/resize"]; ok || len(x.evictions.asked) != 0 {
		t.Errorf("patched %v, evicted %v", x.evictions.patched, x.evictions.asked)
	}
	if told := x.told(); strings.Count(told, "InPlaceResizeSkipped") != 1 {
		t.Errorf("events %q", told)
	}
	x.replay(4)
}

func gateInPlace(t *testing.T) func(*Options) {
	t.Helper()
	return func(o *Options) {
		fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
		o.AddFlags(fs)
		if err := fs.Parse([]string{"--feature-gates=InPlace=true"}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMemoryGoesDownByUsage asks the metrics API once for both pods.
func TestMemoryGoesDownByUsage(t *testing.T) {
	objects := cluster(t, time.Now())
	for _, o := range objects {
		if pod, ok := o.(*corev1.Pod); ok {
			pod.Spec.Containers[0].Resources = corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("800Mi")},
				Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1600Mi")},
			}
		}
	}
	asked := 0
	used := &usage{list: func(context.Context, string) (*metricsapi.PodMetricsList, error) {
		asked++
		list := &metricsapi.PodMetricsList{}
		for pod, memory := range map[string]string{"a": "500Mi", "b": "300Mi"} {
			list.Items = append(list.Items, metricsapi.PodMetrics{ObjectMeta: metav1.ObjectMeta{Name: pod}, Containers: []metricsapi.ContainerMetrics{
				{Name: "app", Usage: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)}},
			}})
		}
		return list, nil
	}}
	vpa := strings.NewReplacer("cpu: 200m", "memory: 200Mi", "cpu: 150m", "memory: 150Mi", "cpu: 400m", "memory: 400Mi").Replace(resized("InPlaceOrRecreate"))
	x := startWith(t, setup{mode: runtimeflags.ModeAuto, vpa: vpa, usage: used}, objects...)
	d := x.pass()
	want := `{"metadata":{"uid":"uid-b"},"spec":{"containers":[{"name":"app","resources":{"requests":{"memory":"200Mi"},"limits":{"memory":"400Mi"}}}]}}`
	if diff := cmp.Diff(want, x.evictions.patched["b/resize"]); diff != "" || len(x.evictions.patched) != 2 || len(x.evictions.asked) != 0 {
		t.Errorf("patched %v, evicted %v: (-want +got)\n%s", x.evictions.patched, x.evictions.asked, diff)
	}
	if steps := stepsOf(d.Steps); !strings.Contains(steps, "it uses 500Mi, and its limit would be 400Mi") || !strings.Contains(steps, "c: container app requests 800Mi memory") {
		t.Errorf("steps %s", steps)
	}
	if asked != 1 {
		t.Errorf("the metrics API was asked %d times", asked)
	}
	x.replay(1)
}

// TestDeferredResizeIsFollowed waits for a resize that is deferred, through a
// restart, and evicts after its time.
func TestDeferredResizeIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var asked []string
		for turn := range 8 {
			// Each minute a new process, which remembers nothing, looks at the cluster.
			objects := cluster(t, time.Now())
			for _, o := range objects {
				if pod, ok := o.(*corev1.Pod); ok && pod.Name == "a" {
					pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("200m")}
					pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", Resources: &corev1.ResourceRequirements{
						Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m")},
					}}}
					pod.Status.Conditions = []corev1.PodCondition{{
						Type: corev1.PodResizePending, Status: corev1.ConditionTrue, Reason: corev1.PodReasonDeferred,
						Message: "Node didn't have enough resource: cpu", LastTransitionTime: metav1.NewTime(begin),
					}}
				}
				if pod, ok := o.(*corev1.Pod); ok && pod.Name == "b" {
					pod.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("200m")
				}
			}
			x := startWith(t, setup{mode: runtimeflags.ModeAuto, vpa: resized("InPlaceOrRecreate")}, objects...)
			d := x.pass()
			asked = append(asked, d.Reason)
			if waits := turn <= 4; waits && !strings.Contains(stepsOf(d.Steps), "Node didn't have enough resource: cpu") {
				t.Errorf("turn %d: steps %v", turn, d.Steps)
			}
			if d.Reason == eviction.ReasonEvict {
				if diff := cmp.Diff([]string{"a"}, x.evictions.asked); diff != "" {
					t.Errorf("evictions (-want +got):\n%s", diff)
				}
				break
			}
			time.Sleep(time.Minute)
		}
		want := []string{
			eviction.ReasonResizing, eviction.ReasonResizing, eviction.ReasonResizing, eviction.ReasonResizing, eviction.ReasonResizing, eviction.ReasonEvict,
		}
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("decisions (-want +got):\n%s", diff)
		}
	})
}

// TestBoostEnds: a pod gets what is recommended, and the annotation goes, in a mode
// that leaves running pods alone.
func TestBoostEnds(t *testing.T) {
	objects := cluster(t, time.Now())
	for _, o := range objects {
		if pod, ok := o.(*corev1.Pod); ok && pod.Name == "c" {
			pod.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("800m")
			pod.Annotations = map[string]string{"vpaCpuStartupBoost/app": `{"requests":{"cpu":"50m"},"limits":{}}`}
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(time.Now().Add(-time.Hour))}}
		}
	}
	object := strings.Replace(resized("Initial"), "spec: {", "spec: {startupBoost: {cpu: {type: Factor, factor: 4, durationSeconds: 60}}, ", 1)
	gate := func(o *Options) {
		fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
		o.AddFlags(fs)
		if err := fs.Parse([]string{"--feature-gates=CPUStartupBoost=true"}); err != nil {
			t.Fatal(err)
		}
	}
	x := startWith(t, setup{mode: runtimeflags.ModeAuto, vpa: object, options: gate}, objects...)
	d := x.pass()
	want := map[string]string{
		"c/resize": `{"metadata":{"uid":"uid-c"},"spec":{"containers":[{"name":"app","resources":{"requests":{"cpu":"200m"}}}]}}`,
		"c":        `{"metadata":{"annotations":{"vpaCpuStartupBoost/app":null,"vpaInPlaceUpdated":"true"},"uid":"uid-c"}}`,
	}
	if diff := cmp.Diff(want, x.evictions.patched); diff != "" || d.Reason != eviction.ReasonEndBoost || len(x.evictions.asked) != 0 {
		t.Errorf("decided %s: %s, evicted %v, patches (-want +got):\n%s", d.Reason, d.Message, x.evictions.asked, diff)
	}
	if told := x.told(); told != "Normal InPlaceResizedByVPA Pod was resized in place by VPA Updater." {
		t.Errorf("events %q", told)
	}
	x.replay(1)
}

func stepsOf(steps []decision.Step) string {
	var out []string
	for _, s := range steps {
		out = append(out, s.Rule+" "+s.Reason+" "+s.Message)
	}
	return strings.Join(out, "\n")
}
