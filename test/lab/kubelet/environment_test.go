package kubelet

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestTranslate(t *testing.T) {
	m := mounts{newMount("/etc/quartet/tls/", "/host/tls"), newMount("/etc/quartet", "/host/all"), newMount("/ledger", "/host/$1")}
	for in, want := range map[string]string{
		"--tls-cert-file=/etc/quartet/tls/tls.crt": "--tls-cert-file=/host/tls/tls.crt",
		"--ledger-dir=/ledger":                     "--ledger-dir=/host/$1",
		"/etc/quartet/config.yaml":                 "/host/all/config.yaml",
		"/etc/quartets/config.yaml":                "/etc/quartets/config.yaml",
		"/srv/ledger":                              "/srv/ledger",
		"/ledger:/ledger,/ledger":                  "/host/$1:/host/$1,/host/$1",
		"file: \"/etc/quartet/tls/ca.crt\"\n":      "file: \"/host/tls/ca.crt\"\n",
		"":                                         "",
	} {
		if got := m.translate(in); got != want {
			t.Errorf("translate(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestExpand(t *testing.T) {
	variables := map[string]string{"A": "one", "B_2": "$(A)"}
	for in, want := range map[string]string{
		"$(A)":        "one",
		"x$(A)$(A)y":  "xoneoney",
		"$(B_2)":      "$(A)",
		"$(UNKNOWN)":  "$(UNKNOWN)",
		"$$(A)":       "$(A)",
		"$A ${A} (A)": "$A ${A} (A)",
	} {
		if got := expand(in, variables); got != want {
			t.Errorf("expand(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestDownwardAPI(t *testing.T) {
	p := &pod{
		name: "hpa-controller", namespace: "quartet-system",
		spec: corev1.PodSpec{ServiceAccountName: "hpa"},
		meta: podMeta{labels: map[string]string{"app": "x"}, annotations: map[string]string{"note": "y"}},
		container: corev1.Container{Resources: corev1.ResourceRequirements{
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")},
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1500m")},
		}},
	}
	got := map[string]string{}
	for _, path := range []string{
		"metadata.name", "metadata.namespace", "spec.serviceAccountName", "status.podIP",
		"metadata.labels['app']", "metadata.annotations['note']", "spec.unheard-of",
	} {
		value, err := p.field(path)
		if err != nil {
			value = err.Error()
		}
		got[path] = value
	}
	for _, selector := range []corev1.ResourceFieldSelector{
		{Resource: "limits.memory"},
		{Resource: "limits.memory", Divisor: resource.MustParse("1Mi")},
		{Resource: "requests.cpu"},
		{Resource: "limits.cpu"},
	} {
		value, err := p.resource(&selector)
		if err != nil {
			value = err.Error()
		}
		got[selector.Resource+" in "+selector.Divisor.String()] = value
	}
	want := map[string]string{
		"metadata.name":                "hpa-controller-lab",
		"metadata.namespace":           "quartet-system",
		"spec.serviceAccountName":      "hpa",
		"status.podIP":                 "127.0.0.1",
		"metadata.labels['app']":       "x",
		"metadata.annotations['note']": "y",
		"spec.unheard-of":              "the lab does not know the field spec.unheard-of",
		"limits.memory in 0":           "67108864",
		"limits.memory in 1Mi":         "64",
		"requests.cpu in 0":            "2",
		"limits.cpu in 0":              "the container has no limits.cpu",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unexpected answers (-want +got):\n%s", diff)
	}
}
