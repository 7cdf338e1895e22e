package podreview_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/quartet-autoscaling/quartet/admission/podreview"
)

func all([]byte) bool { return true }

// reduced is what a review keeps of a pod.
func reduced(pod *corev1.Pod) *corev1.Pod {
	out := &corev1.Pod{}
	out.Name, out.GenerateName, out.Namespace, out.Annotations = pod.Name, pod.GenerateName, pod.Namespace, pod.Annotations
	for _, o := range pod.OwnerReferences {
		out.OwnerReferences = append(out.OwnerReferences, metav1.OwnerReference{APIVersion: o.APIVersion, Kind: o.Kind, Name: o.Name, UID: o.UID, Controller: o.Controller})
	}
	each := func(all []corev1.Container) (out []corev1.Container) {
		for _, c := range all {
			kept := corev1.Container{Name: c.Name, RestartPolicy: c.RestartPolicy, Resources: c.Resources, Command: c.Command, Args: c.Args}
			for i := range kept.Resources.Claims {
				kept.Resources.Claims[i] = corev1.ResourceClaim{}
			}
			for _, e := range c.Env {
				kept.Env = append(kept.Env, corev1.EnvVar{Name: e.Name, Value: e.Value})
			}
			out = append(out, kept)
		}
		return out
	}
	out.Spec.Containers, out.Spec.InitContainers = each(pod.Spec.Containers), each(pod.Spec.InitContainers)
	if r := pod.Spec.Resources; r != nil {
		out.Spec.Resources = &corev1.ResourceRequirements{Requests: r.Requests, Limits: r.Limits, Claims: slices.Repeat([]corev1.ResourceClaim{{}}, len(r.Claims))}
	}
	return out
}

func body(t testing.TB, pod any) []byte {
	t.Helper()
	object, err := json.Marshal(pod)
	if err != nil {
		t.Skip(err)
	}
	dry := true
	out, err := json.Marshal(admissionv1.AdmissionReview{Request: &admissionv1.AdmissionRequest{
		UID: "u-1", Operation: admissionv1.Create, Namespace: "shop", Name: "web", SubResource: "none", DryRun: &dry,
		Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		Object:   runtime.RawExtension{Raw: object}, OldObject: runtime.RawExtension{Raw: object},
	}})
	if err != nil {
		t.Skip(err)
	}
	return out
}

// compared reads a review both ways.
func compared(t *testing.T, text []byte) {
	t.Helper()
	var want admissionv1.AdmissionReview
	pod := &corev1.Pod{}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(want.Request.Object.Raw, pod); err != nil {
		t.Skip(err)
	}
	got, err := podreview.Read(text, all)
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if err := got.Containers(true); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	pod.Namespace = want.Request.Namespace
	options := cmp.Options{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b resource.Quantity) bool { return a.Cmp(b) == 0 && a.String() == b.String() })}
	if diff := cmp.Diff(reduced(pod), &got.Pod, options); diff != "" {
		t.Errorf("pod (-encoding/json +podreview):\n%s", diff)
	}
	// Whether a map is there at all decides on the form of a patch.
	for i, c := range pod.Spec.Containers {
		r := got.Pod.Spec.Containers[i].Resources
		if (c.Resources.Requests == nil) != (r.Requests == nil) || (c.Resources.Limits == nil) != (r.Limits == nil) {
			t.Errorf("maps of container %d: %v, want %v", i, r, c.Resources)
		}
	}
	if (pod.Annotations == nil) != (got.Pod.Annotations == nil) {
		t.Errorf("annotations %v, want %v", got.Pod.Annotations, pod.Annotations)
	}
	r := want.Request
	if got.UID != string(r.UID) || got.Operation != string(r.Operation) || got.Version != r.Resource.Version || got.SubResource != r.SubResource ||
		got.Name != r.Name || got.DryRun != (r.DryRun != nil && *r.DryRun) {
		t.Errorf("review %+v, want %+v", got, r)
	}
}

const everything = `{"metadata":{"name":"we\"b\u00e9","generateName":"web-","labels":{"a":"b"},"annotations":{"x/y":"1 \\","z":null},
 "ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-7d","uid":"rs-1","controller":true,"blockOwnerDeletion":true},null]},
 "spec":{"volumes":[{"name":"v","emptyDir":{}}],"overhead":{"cpu":"1m"},"resources":{"requests":{"cpu":"1"},"limits":{},"claims":[{"name":"g"}]},
 "initContainers":[{"name":"mesh","restartPolicy":"Always","resources":{"requests":null,"limits":{"memory":"1Gi"}}}],
 "containers":[{"name":"app","command":["a","b\n"],"args":[],"env":[{"name":"E","value":"v"},{"name":"F","valueFrom":{"fieldRef":{"fieldPath":"x"}}}],
  "resources":{"requests":{"cpu":0.5,"memory":"1e3"},"claims":[{"name":"x","request":"y"}]},"livenessProbe":{"httpGet":{"port":8080,"path":"/{]\"}"}}},{}]}}`

func TestReadAsEncodingJSON(t *testing.T) {
	for name, pod := range map[string]string{
		"everything": everything, "nothing": `{}`, "null": `null`, "null within": `{"metadata":null,"spec":null}`,
		"nulls": `{"metadata":{"annotations":null,"ownerReferences":null},"spec":{"containers":null,"resources":null}}`,
		"empty": `{"metadata":{"annotations":{}},"spec":{"containers":[],"resources":{}}}`,
	} {
		t.Run(name, func(t *testing.T) { compared(t, body(t, json.RawMessage(pod))) })
	}
}

func TestOnlyWantedAnnotationsAreKept(t *testing.T) {
	got, err := podreview.Read(body(t, json.RawMessage(everything)), func(name []byte) bool { return string(name) == "z" })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"z": ""}, got.Pod.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if err := got.Containers(false); err != nil || got.Pod.Spec.Containers[0].Env != nil || got.Pod.Spec.Containers[0].Command != nil {
		t.Errorf("containers %+v, %v", got.Pod.Spec.Containers, err)
	}
}

func TestWhatIsNoReview(t *testing.T) {
	for _, text := range []string{
		"", "{", "[]", "{}", `{"request":null}`, `{"request":{"uid":1}}`, `{"request":{"object":{"metadata":{"name":[]}}}}`, `{"request":{"object":"`,
		`{"request":{"dryRun":"x"}}`, `{"request":{"uid":"\x"}}`, `{"request":{"object":{"spec":}}}`, `{"request":{"object":{"spec":]}}}`, `{"a" 1}`, `{"a":1 "b":2}`,
	} {
		if _, err := podreview.Read([]byte(text), all); err == nil {
			t.Errorf("%s was read", text)
		}
	}
	for _, spec := range []string{`"no"`, `{"containers":{}}`, `{"containers":[{"resources":{"requests":{"cpu":"much"}}}]}`, `{"containers":[{"resources":{"requests":{"cpu":true}}}]}`} {
		got, err := podreview.Read([]byte(`{"request":{"object":{"spec":`+spec+`}}}`), all)
		if err != nil {
			t.Fatal(err)
		}
		if got.Containers(true) == nil {
			t.Errorf("spec %s was read", spec)
		}
	}
}

// FuzzRead takes any pod: what encoding/json reads is read the same. Any bytes are
// read or refused.
func FuzzRead(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte(strings.ReplaceAll(everything, "\n", "")))
	f.Fuzz(func(t *testing.T, text []byte) {
		if got, err := podreview.Read(text, all); err == nil {
			_ = got.Containers(true)
		}
		if got, err := podreview.Read(slices.Concat([]byte(`{"request":{"object":`), text, []byte(`}}`)), all); err == nil {
			_ = got.Containers(true)
		}
		pod := &corev1.Pod{}
		if json.Unmarshal(text, pod) != nil {
			return
		}
		compared(t, body(t, pod))
	})
}
