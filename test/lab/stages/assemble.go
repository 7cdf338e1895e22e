package stages

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

//go:embed stages.yaml
var own []byte

// amendments change stages of kwok's by their names.
var amendments = map[string]func(stage map[string]any) error{
	"node-initialize": delayBoot,
	"pod-ready":       reportResources,
}

// Assemble returns kwok's documents, the stages among them amended, and ours. It fails where kwok's are not as the
// amendments expect them: another version's, say.
func Assemble(stock []byte) ([]byte, error) {
	var all bytes.Buffer
	amended := 0
	for _, document := range bytes.Split(stock, []byte("\n---\n")) {
		document = bytes.TrimPrefix(document, []byte("---\n"))
		var object map[string]any
		if err := yaml.Unmarshal(document, &object); err != nil {
			return nil, fmt.Errorf("reading kwok's stages: %w", err)
		}
		name, _, err := unstructured.NestedString(object, "metadata", "name")
		if err != nil {
			return nil, fmt.Errorf("reading kwok's stages: %w", err)
		}
		if amend, ok := amendments[name]; ok && object["kind"] == "Stage" {
			if err := amend(object); err != nil {
				return nil, fmt.Errorf("amending kwok's stage %s: %w", name, err)
			}
			if document, err = yaml.Marshal(object); err != nil {
				return nil, fmt.Errorf("amending kwok's stage %s: %w", name, err)
			}
			amended++
		}
		all.WriteString("---\n")
		all.Write(document)
		all.WriteByte('\n')
	}
	if amended != len(amendments) {
		return nil, fmt.Errorf("%d of kwok's stages amended, want %d", amended, len(amendments))
	}
	all.WriteString("---\n")
	all.Write(own)
	return all.Bytes(), nil
}

// ofNode is the jq expression of a node's annotation or, where it has none, its label.
func ofNode(key string) string {
	return fmt.Sprintf(".metadata.annotations[%q] // .metadata.labels[%q]", key, key)
}

// delayBoot makes a new node wait until its boot time is over. The end of the wait is counted from its creation,
// because every change of the node begins the wait anew.
func delayBoot(stage map[string]any) error {
	expressions, found, err := unstructured.NestedSlice(stage, "spec", "selector", "matchExpressions")
	if err != nil || !found {
		return errors.Join(errors.New("it has no selector"), err)
	}
	boots := map[string]any{"jq": map[string]any{
		"key": ofNode(BootSeconds), "operator": "NotIn", "values": []any{Never},
	}}
	if err := unstructured.SetNestedSlice(stage, append(expressions, boots), "spec", "selector", "matchExpressions"); err != nil {
		return err
	}
	if _, delayed, _ := unstructured.NestedMap(stage, "spec", "delay"); delayed {
		return errors.New("it has a delay already")
	}
	end := "(" + ofNode(BootSeconds) + ") as $seconds | if $seconds then" +
		" (.metadata.creationTimestamp | fromdate) + ($seconds | tonumber) | todate else empty end"
	return unstructured.SetNestedMap(stage, map[string]any{
		"durationMilliseconds": int64(0),
		"durationFrom":         map[string]any{"jq": map[string]any{"expression": end}},
	}, "spec", "delay")
}

// reportResources makes a container that starts show the resources that it runs with.
func reportResources(stage map[string]any) error {
	template, _, err := unstructured.NestedString(stage, "spec", "next", "statusTemplate")
	if err != nil {
		return err
	}
	before, after, ok := strings.Cut(template, "containerStatuses:\n{{ range .spec.containers }}\n")
	if !ok {
		return errors.New("its template does not begin container statuses as expected")
	}
	const name = "  name: {{ .name | Quote }}\n"
	image, rest, ok := strings.Cut(after, name)
	if !ok || strings.Contains(image, "{{ end }}") {
		return errors.New("its template does not name containers as expected")
	}
	const reported = "  started: true\n" +
		"  resources: {{ or .resources dict | toJson }}\n" +
		"  allocatedResources: {{ or (or .resources dict).requests dict | toJson }}\n"
	template = before + "containerStatuses:\n{{ range .spec.containers }}\n" + image + name + reported + rest
	return unstructured.SetNestedField(stage, template, "spec", "next", "statusTemplate")
}
