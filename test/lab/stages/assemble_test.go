package stages_test

import (
	"strings"
	"testing"

	"github.com/quartet-autoscaling/quartet/test/lab/stages"
)

const (
	node = `---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata:
  name: node-initialize
spec:
  resourceRef: { apiGroup: v1, kind: Node }
  selector:
    matchExpressions:
    - { key: .status.phase, operator: DoesNotExist }
`
	pod = `---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata:
  name: pod-ready
spec:
  next:
    statusTemplate: |
      containerStatuses:
      {{ range .spec.containers }}
      - image: {{ .image | Quote }}
        name: {{ .name | Quote }}
        ready: true
      {{ end }}
`
	metric = `---
kind: Metric
metadata:
  name: node-initialize
`
)

func TestAssemble(t *testing.T) {
	t.Parallel()
	got, err := stages.Assemble([]byte(node + metric + pod))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"kind: Metric", "lab.quartet.dev/boot-seconds", "allocatedResources:", "name: pod-resize-begin", "name: node-let-go",
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

// TestAssembleRefusesOtherStages: kwok's stages of a version that the amendments do not know are an error, not a lab
// that behaves otherwise.
func TestAssembleRefusesOtherStages(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"no pod-ready":         node,
		"no selector":          strings.Replace(node, "selector", "matching", 1) + pod,
		"a delay":              node + "  delay: { durationMilliseconds: 5 }\n" + pod,
		"other containers":     node + strings.Replace(pod, "{{ range .spec", "{{ range $.spec", 1),
		"containers unnamed":   node + strings.Replace(pod, "name: {{", "called: {{", 1),
		"not even a YAML file": node + pod + "---\n{",
	}
	for name, stock := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := stages.Assemble([]byte(stock)); err == nil {
				t.Errorf("assembled to\n%s", got)
			}
		})
	}
}
