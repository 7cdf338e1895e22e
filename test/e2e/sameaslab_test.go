package e2e

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/lab/labtest"
)

// comparedFlags are those that both controllers get: short times, and pods whose
// usage counts from the start.
var comparedFlags = []string{
	"--horizontal-pod-autoscaler-sync-period=1s", "--horizontal-pod-autoscaler-downscale-stabilization=2s",
	"--horizontal-pod-autoscaler-cpu-initialization-period=0s", "--horizontal-pod-autoscaler-initial-readiness-delay=0s",
}

// TestSameAsUpstream: the same objects under upstream's controller and under ours,
// each in a lab of its own, end with the same counts, conditions, metrics and
// reasons of events.
func TestSameAsUpstream(t *testing.T) {
	t.Parallel()
	var shown [2]map[string]end
	t.Run("labs", func(t *testing.T) {
		for i, name := range []string{"upstream", "ours"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := &sameStage{t: t, lab: labtest.Start(t, lab.Options{Name: "same-" + name, Nodes: 2})}
				s.client = s.lab.Client()
				shown[i] = s.play(i == 0)
			})
		}
	})
	if t.Failed() {
		return
	}
	listed(t, shown[0])
	if d := cmp.Diff(shown[0], shown[1]); d != "" {
		t.Errorf("upstream's ends (-) and ours (+):\n%s", d)
	}
}

// listed brings upstream's ends to what they would be without the defects that
// docs/differences.md lists: each is at the objects that show it, and at no other.
func listed(t *testing.T, ends map[string]end) {
	t.Helper()
	const empty = `{"type":""}`
	const divided = `{"type":"External","external":{"metric":{"name":"nothing"},"current":{"averageValue":"-9223372036854775808m"}}}`
	for _, name := range []string{"failing", "failing-in-part"} {
		e := ends[name]
		if e.Desired != 0 || !slices.Contains(e.Metrics, empty) {
			t.Errorf("upstream shows %s with %d and %v", name, e.Desired, e.Metrics)
		}
		e.Desired, e.Metrics = e.Current, slices.DeleteFunc(slices.Clone(e.Metrics), func(m string) bool { return m == empty })
		if len(e.Metrics) == 0 {
			e.Metrics = nil
		}
		ends[name] = e
	}
	// What a division by zero becomes is the processor's.
	if e := ends["zero"]; runtime.GOARCH == "amd64" {
		if !slices.Equal(e.Metrics, []string{divided}) {
			t.Errorf("upstream shows %v of no pods", e.Metrics)
		}
		e.Metrics = []string{strings.ReplaceAll(divided, "-9223372036854775808m", "0")}
		ends["zero"] = e
	}
}

// sameStage is one of the two labs with all objects.
type sameStage struct {
	t      *testing.T
	lab    *lab.Lab
	client ctrlclient.Client
}

const sameNamespace = "same"

// end is what is left of an object when nothing changes any more.
type end struct {
	Replicas, Current, Desired int32
	Conditions, Metrics        []string
	Reasons                    []string
}

// play starts one of the controllers on all objects and waits until they end as
// they should and stay so.
func (s *sameStage) play(upstream bool) map[string]end {
	s.t.Helper()
	metrics := newStubMetrics(s.t, s.lab)
	for name, value := range map[string]int64{"nothing": 0, "two": 2, "forty": 40, "sixty": 60} {
		metrics.set(name, value)
	}
	s.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: sameNamespace}}, fleets())
	for name, c := range comparedObjects() {
		metrics.use(name, 90)
		if !c.lost {
			s.target(name, c)
		}
	}
	eventually(s.t, 30*time.Second, s.running)
	for name, c := range comparedObjects() {
		s.create(c.hpa(name))
	}
	s.control(upstream)
	var shown map[string]end
	var since time.Time
	eventually(s.t, 40*time.Second, func() error {
		now, err := s.ends()
		if err != nil {
			return err
		}
		if !cmp.Equal(now, shown) {
			shown, since = now, time.Now()
		}
		for name, c := range comparedObjects() {
			if !c.lost && now[name].Replicas != c.end {
				return fmt.Errorf("%s has %d, want %d: %v", name, now[name].Replicas, c.end, now[name].Conditions)
			}
		}
		if time.Since(since) < 4*time.Second {
			return fmt.Errorf("something changed %v ago", time.Since(since))
		}
		return nil
	})
	return shown
}

// control starts upstream's controller, or ours under the chart's rules.
func (s *sameStage) control(upstream bool) {
	s.t.Helper()
	if upstream {
		u, err := s.lab.RunUpstreamHPA(append(comparedFlags, "--kube-api-qps=500", "--kube-api-burst=1000")...)
		if err == nil {
			err = u.WaitReady(s.t.Context())
		}
		if err != nil {
			s.t.Fatal(err)
		}
		return
	}
	release, err := s.lab.InstallChart(s.t.Context(), lab.ChartOptions{Values: onlyHPA(comparedFlags...)})
	if err == nil {
		err = release.WaitReady(s.t.Context())
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// onlyHPA are the chart's values for the HPA controller alone.
func onlyHPA(flags ...string) map[string]any {
	values := map[string]any{}
	for _, name := range []string{"metricsAdapter", "vpaRecommender", "vpaUpdater", "vpaAdmission", "clusterScaler"} {
		values[name] = map[string]any{"enabled": false}
	}
	args := make([]any, len(flags))
	for i, flag := range flags {
		args[i] = flag
	}
	values["hpaController"] = map[string]any{"enabled": true, "extraArgs": args}
	return values
}

func (s *sameStage) create(objects ...ctrlclient.Object) {
	s.t.Helper()
	for _, o := range objects {
		// A kind that was just defined is served a moment later.
		eventually(s.t, 10*time.Second, func() error { return s.client.Create(s.t.Context(), o) })
	}
}

// fleets define a custom resource with a scale.
func fleets() *apiextensionsv1.CustomResourceDefinition {
	open := apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: ptr.To(true)}
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "fleets.example.org"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "example.org", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "fleets", Singular: "fleet", Kind: "Fleet", ListKind: "FleetList"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true, Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &open},
				Subresources: &apiextensionsv1.CustomResourceSubresources{
					Status: &apiextensionsv1.CustomResourceSubresourceStatus{},
					Scale: &apiextensionsv1.CustomResourceSubresourceScale{
						SpecReplicasPath: ".spec.replicas", StatusReplicasPath: ".status.replicas", LabelSelectorPath: ptr.To(".status.selector"),
					},
				},
			}},
		},
	}
}

// target makes what the object scales.
func (s *sameStage) target(name string, c compared) {
	s.t.Helper()
	meta := metav1.ObjectMeta{Namespace: sameNamespace, Name: name}
	labels := map[string]string{"app": name}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "worker", Image: "example.com/worker",
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}},
	}}}}
	switch c.kind {
	case "":
		s.create(&appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: &c.begin, Selector: selector, Template: template}})
	case "StatefulSet":
		s.create(&appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: &c.begin, Selector: selector, Template: template, ServiceName: name}})
	case "Fleet":
		fleet := fleetOf(name)
		fleet.Object["spec"] = map[string]any{"replicas": int64(c.begin)}
		s.create(fleet)
		// Nobody makes its pods: those that it will want are said to be there.
		fleet.Object["status"] = map[string]any{"replicas": int64(c.end), "selector": "app=" + name}
		if err := s.client.Status().Update(s.t.Context(), fleet); err != nil {
			s.t.Fatal(err)
		}
	}
}

func fleetOf(name string) *unstructured.Unstructured {
	fleet := &unstructured.Unstructured{}
	fleet.SetAPIVersion("example.org/v1")
	fleet.SetKind("Fleet")
	fleet.SetNamespace(sameNamespace)
	fleet.SetName(name)
	return fleet
}

// hpa is the object; a least count of 0 is the API's default, and below that 0.
func (c compared) hpa(name string) *autoscalingv2.HorizontalPodAutoscaler {
	ref := autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: c.kind, Name: name}
	switch c.kind {
	case "":
		ref.Kind = "Deployment"
	case "Fleet":
		ref.APIVersion = "example.org/v1"
	}
	hpa := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: sameNamespace, Name: name},
		Spec:       autoscalingv2.HorizontalPodAutoscalerSpec{ScaleTargetRef: ref, MaxReplicas: c.most, Metrics: c.metrics},
	}
	if c.least != 0 {
		hpa.Spec.MinReplicas = ptr.To(max(0, c.least))
	}
	if c.up != nil {
		hpa.Spec.Behavior = &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: c.up}
	}
	return hpa
}

// running tells which pods do not run yet.
func (s *sameStage) running() error {
	var pods corev1.PodList
	if err := s.client.List(s.t.Context(), &pods, ctrlclient.InNamespace(sameNamespace)); err != nil {
		return err
	}
	ready := map[string]int32{}
	for i := range pods.Items {
		for _, c := range pods.Items[i].Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				ready[pods.Items[i].Labels["app"]]++
			}
		}
	}
	for name, c := range comparedObjects() {
		if c.kind != "Fleet" && ready[name] != c.begin {
			return fmt.Errorf("%d pods of %s are ready, want %d", ready[name], name, c.begin)
		}
	}
	return nil
}

// ends reads what there is now.
func (s *sameStage) ends() (map[string]end, error) {
	var list autoscalingv2.HorizontalPodAutoscalerList
	var events corev1.EventList
	if err := s.client.List(s.t.Context(), &list, ctrlclient.InNamespace(sameNamespace)); err != nil {
		return nil, err
	}
	if err := s.client.List(s.t.Context(), &events, ctrlclient.InNamespace(sameNamespace)); err != nil {
		return nil, err
	}
	out := map[string]end{}
	for i := range list.Items {
		hpa := &list.Items[i]
		e := end{Current: hpa.Status.CurrentReplicas, Desired: hpa.Status.DesiredReplicas}
		for _, c := range hpa.Status.Conditions {
			e.Conditions = append(e.Conditions, fmt.Sprintf("%s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message))
		}
		slices.Sort(e.Conditions)
		for j := range hpa.Status.CurrentMetrics {
			raw, err := json.Marshal(&hpa.Status.CurrentMetrics[j])
			if err != nil {
				return nil, err
			}
			e.Metrics = append(e.Metrics, string(raw))
		}
		for j := range events.Items {
			if event := &events.Items[j]; event.InvolvedObject.UID == hpa.UID && !slices.Contains(e.Reasons, event.Reason) {
				e.Reasons = append(e.Reasons, event.Reason)
			}
		}
		slices.Sort(e.Reasons)
		count, err := s.count(hpa)
		if err != nil {
			return nil, err
		}
		e.Replicas = count
		out[hpa.Name] = e
	}
	return out, nil
}

// count is what the target is asked to have, 0 where there is none.
func (s *sameStage) count(hpa *autoscalingv2.HorizontalPodAutoscaler) (int32, error) {
	key := types.NamespacedName{Namespace: sameNamespace, Name: hpa.Name}
	switch c := comparedObjects()[hpa.Name]; {
	case c.lost:
		return 0, nil
	case c.kind == "StatefulSet":
		var o appsv1.StatefulSet
		err := s.client.Get(s.t.Context(), key, &o)
		return ptr.Deref(o.Spec.Replicas, 0), err
	case c.kind == "Fleet":
		fleet := fleetOf(hpa.Name)
		err := s.client.Get(s.t.Context(), key, fleet)
		count, _, _ := unstructured.NestedInt64(fleet.Object, "spec", "replicas")
		return int32(count), err
	}
	var o appsv1.Deployment
	err := s.client.Get(s.t.Context(), key, &o)
	return ptr.Deref(o.Spec.Replicas, 0), err
}
