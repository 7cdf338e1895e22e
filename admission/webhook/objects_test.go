package webhook

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	vpafake "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned/fake"
	"sigs.k8s.io/yaml"

	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/vertical/features"
)

func TestObjectWithoutUpdatePolicyIsGivenTheDefault(t *testing.T) {
	tests := map[string]struct {
		mode      runtimeflags.Mode
		operation admissionv1.Operation
		object    string
		want      string
	}{
		"created":            {mode: runtimeflags.ModeAuto, operation: admissionv1.Create, object: object, want: defaulted},
		"updated":            {mode: runtimeflags.ModeAuto, operation: admissionv1.Update, object: object, want: defaulted},
		"deleted":            {mode: runtimeflags.ModeAuto, operation: admissionv1.Delete, object: object},
		"with one":           {mode: runtimeflags.ModeAuto, operation: admissionv1.Create, object: strings.Replace(object, "spec: {", "spec: {updatePolicy: {minReplicas: 1}, ", 1)},
		"only watched":       {mode: runtimeflags.ModeRecommend, operation: admissionv1.Create, object: object},
		"that is no object":  {mode: runtimeflags.ModeAuto, operation: admissionv1.Create, object: "[]"},
		"whose spec is none": {mode: runtimeflags.ModeAuto, operation: admissionv1.Create, object: "{spec: {}}", want: defaulted},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := &reviewer{mode: tc.mode}
			got, err := r.defaults(t.Context(), &admissionv1.AdmissionRequest{Operation: tc.operation, Object: raw(t, tc.object)})
			if err != nil || !got.Allowed || string(got.Patch) != tc.want || (got.PatchType != nil) != (tc.want != "") {
				t.Errorf("answered %+v: %v", got, err)
			}
		})
	}
}

// An object that is Off is chosen where it asks for a startup boost, and before a
// younger one.
func TestObjectThatIsOffMayBoost(t *testing.T) {
	boosting, younger, owner := &vpav1.VerticalPodAutoscaler{}, &vpav1.VerticalPodAutoscaler{}, true
	text := strings.Replace(object, "spec: {", "spec: {updatePolicy: {updateMode: 'Off'}, startupBoost: {cpu: {type: Factor, factor: 3, durationSeconds: 60}}, ", 1)
	if err := yaml.UnmarshalStrict([]byte(text), boosting); err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict([]byte(strings.NewReplacer("2026-03", "2026-04", "name: web, uid: vpa-1", "name: late, uid: vpa-2").Replace(object)), younger); err != nil {
		t.Fatal(err)
	}
	x := made(t, append(configurations(), &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "web-7d4f", UID: "rs-1",
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", Controller: &owner}},
	}}))
	x.vpas = vpafake.NewSimpleClientset(boosting, younger)
	s := started(runtimeflags.ModeAuto)
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s.options.Features.AddFlags(fs)
	if err := fs.Parse([]string{"--feature-gates=" + features.CPUStartupBoost + "=true"}); err != nil {
		t.Fatal(err)
	}
	x.run(s)
	got := string(x.review(PathPods, admissionv1.AdmissionRequest{Object: raw(t, newPod)}).Patch)
	for _, want := range []string{`requests/cpu","value":"300m"`, `limits/cpu","value":"900m"`, `"vpaCpuStartupBoost/app":"{\"requests\":{\"cpu\":\"100m\",\"memory\":\"100Mi\"},\"limits\":{\"cpu\":\"300m\"}}"`} {
		if !strings.Contains(got, want) {
			t.Errorf("patch %s lacks %s", got, want)
		}
	}
}

func TestNamespacesThatAreIgnored(t *testing.T) {
	vpa := &vpav1.VerticalPodAutoscaler{}
	if err := yaml.UnmarshalStrict([]byte(object), vpa); err != nil {
		t.Fatal(err)
	}
	x := made(t, configurations())
	x.vpas = vpafake.NewSimpleClientset(vpa)
	s := started(runtimeflags.ModeAuto)
	s.options.Ignored = []string{"shop"}
	x.run(s)
	if got := x.review(PathPods, admissionv1.AdmissionRequest{Object: raw(t, newPod)}); !got.Allowed || got.Patch != nil {
		t.Errorf("answered %+v", got)
	}
}
