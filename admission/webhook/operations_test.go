package webhook

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/quartet-autoscaling/quartet/admission/patch"
)

func TestEditsBecomeWholeStrings(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{{Args: []string{"-Xmx1g"}}},
		Containers: []corev1.Container{{
			Command: []string{"java", "-Xmx1g"},
			Env:     []corev1.EnvVar{{Name: "JAVA_OPTS", Value: "-Dpassword=x -Xms1g -Xmx1g"}},
		}},
	}}
	first := patch.Operation{Op: "add", Path: "/metadata/annotations/a", Value: "b"}
	got := operationsOf(patch.Decision{
		Operations: []patch.Operation{first},
		Edits: []patch.Edit{
			{Path: "/spec/containers/0/env/0/value", Offset: 13, From: "-Xms1g", To: "-Xms2g"},
			{Path: "/spec/containers/0/env/0/value", Offset: 20, From: "-Xmx1g", To: "-Xmx2g"},
			{Path: "/spec/containers/0/command/1", From: "-Xmx1g", To: "-Xmx2g"},
			{Path: "/spec/initContainers/0/args/0", From: "-Xmx1g", To: "-Xmx2g"},
			{Path: "/spec/containers/0/args/0", From: "-Xmx1g", To: "-Xmx2g"},
			{Path: "/spec/containers/7/env/0/value", From: "-Xmx1g", To: "-Xmx2g"},
			{Path: "/spec/containers/0/command/0", From: "-Xmx1g", To: "-Xmx2g"},
			{Path: "/spec", From: "-Xmx1g", To: "-Xmx2g"},
		},
	}, pod)
	want := []patch.Operation{
		first,
		{Op: "replace", Path: "/spec/containers/0/env/0/value", Value: "-Dpassword=x -Xms2g -Xmx2g"},
		{Op: "replace", Path: "/spec/containers/0/command/1", Value: "-Xmx2g"},
		{Op: "replace", Path: "/spec/initContainers/0/args/0", Value: "-Xmx2g"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
