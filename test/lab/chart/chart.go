// Package chart renders a Helm chart for a machine instead of a cluster: with a port of this machine for each of the
// chart's components, and with Services that lead to it. It decides what of a rendered chart is applied first, what
// later, and what is not applied but run. It talks to no API server.
package chart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// Config says what to render.
type Config struct {
	Helm              string // the program
	Env               []string
	WorkDir           string // an existing folder for the values and for helm's own files
	Chart             string // the chart's folder
	Release           string
	Namespace         string
	KubernetesVersion string
	Values            map[string]any // count over the chart's own, and over the ports of this machine
	TakePort          func() (int, error)
}

// Rendered is a rendered chart in the order in which it is applied.
type Rendered struct {
	CRDs        []*unstructured.Unstructured // first, and to be waited for
	Objects     []*unstructured.Unstructured
	Deployments []*appsv1.Deployment         // run, not applied
	Callbacks   []*unstructured.Unstructured // APIServices and webhooks: last, when their servers run
}

// Render renders the chart.
func Render(ctx context.Context, c Config) (*Rendered, error) {
	values, err := c.values()
	if err != nil {
		return nil, err
	}
	encoded, err := yaml.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("encoding the chart's values: %w", err)
	}
	file := filepath.Join(c.WorkDir, c.Release+"-values.yaml")
	if err := os.WriteFile(file, encoded, 0o600); err != nil {
		return nil, fmt.Errorf("writing the chart's values: %w", err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, c.Helm, "template", c.Release, c.Chart, "--namespace", c.Namespace,
		"--values", file, "--include-crds", "--skip-tests", "--kube-version", c.KubernetesVersion)
	cmd.Env = append(append([]string{}, c.Env...),
		"HELM_CACHE_HOME="+filepath.Join(c.WorkDir, "helm"),
		"HELM_CONFIG_HOME="+filepath.Join(c.WorkDir, "helm"),
		"HELM_DATA_HOME="+filepath.Join(c.WorkDir, "helm"),
	)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("rendering chart %s: %w: %s", c.Chart, err, strings.TrimSpace(stderr.String()))
	}
	manifest := filepath.Join(c.WorkDir, c.Release+"-manifest.yaml")
	if err := os.WriteFile(manifest, stdout.Bytes(), 0o600); err != nil {
		return nil, fmt.Errorf("writing the rendered chart: %w", err)
	}
	return sortOut(&stdout, c.Namespace)
}

// values returns what to render with: a port of this machine for each component of the chart, which is each value
// that is a map with a port, another where it has a port for webhooks too, and the caller's values over that.
func (c Config) values() (map[string]any, error) {
	content, err := os.ReadFile(filepath.Join(c.Chart, "values.yaml"))
	if err != nil {
		return nil, fmt.Errorf("reading the chart's values: %w", err)
	}
	var defaults map[string]any
	if err := yaml.Unmarshal(content, &defaults); err != nil {
		return nil, fmt.Errorf("decoding the chart's values: %w", err)
	}
	names := make([]string, 0, len(defaults))
	for name := range defaults {
		names = append(names, name)
	}
	sort.Strings(names)
	values := map[string]any{}
	for _, name := range names {
		component, ok := defaults[name].(map[string]any)
		if !ok || component["port"] == nil {
			continue
		}
		ports := map[string]any{"bindAddress": "127.0.0.1"}
		// The API server asks a Service without a cluster address at the port of its reference, so that has to be
		// the port of the process as well.
		for _, key := range [][2]string{{"port", "servicePort"}, {"webhookPort", "webhookServicePort"}} {
			if component[key[0]] == nil {
				continue
			}
			port, err := c.TakePort()
			if err != nil {
				return nil, err
			}
			ports[key[0]], ports[key[1]] = port, port
		}
		values[name] = ports
	}
	return merge(values, c.Values), nil
}

// merge returns base with the values of over in it, maps key by key.
func merge(base, over map[string]any) map[string]any {
	merged := map[string]any{}
	for name, value := range base {
		merged[name] = value
	}
	for name, value := range over {
		from, isMap := merged[name].(map[string]any)
		to, wantsMap := value.(map[string]any)
		if isMap && wantsMap {
			value = merge(from, to)
		}
		merged[name] = value
	}
	return merged
}

// sortOut decodes a rendered chart.
func sortOut(manifest io.Reader, namespace string) (*Rendered, error) {
	var r Rendered
	decoder := utilyaml.NewYAMLOrJSONDecoder(manifest, 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return &r, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decoding the rendered chart: %w", err)
		}
		if len(object.Object) == 0 {
			continue
		}
		if err := r.add(object, namespace); err != nil {
			return nil, fmt.Errorf("%s %s of the rendered chart: %w", object.GetKind(), object.GetName(), err)
		}
	}
}

func (r *Rendered) add(object *unstructured.Unstructured, namespace string) error {
	switch object.GetKind() {
	case "CustomResourceDefinition":
		r.CRDs = append(r.CRDs, object)
	case "APIService", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration":
		r.Callbacks = append(r.Callbacks, object)
	case "Deployment":
		var deployment appsv1.Deployment
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &deployment); err != nil {
			return err
		}
		if deployment.Namespace == "" {
			deployment.Namespace = namespace
		}
		r.Deployments = append(r.Deployments, &deployment)
	case "Service":
		if err := leadHere(object); err != nil {
			return err
		}
		r.Objects = append(r.Objects, object)
	case "DaemonSet", "StatefulSet", "Job", "CronJob", "Pod":
		return errors.New("the lab cannot run this kind")
	default:
		r.Objects = append(r.Objects, object)
	}
	return nil
}

// leadHere makes a Service an alias of this machine, which the API server follows for aggregated APIs and webhooks.
func leadHere(service *unstructured.Unstructured) error {
	ports, _, err := unstructured.NestedSlice(service.Object, "spec", "ports")
	if err != nil {
		return err
	}
	spec := map[string]any{"type": "ExternalName", "externalName": "localhost"}
	if len(ports) > 0 {
		spec["ports"] = ports
	}
	return unstructured.SetNestedMap(service.Object, spec, "spec")
}
