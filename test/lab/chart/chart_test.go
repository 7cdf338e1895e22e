package chart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValuesGiveEachComponentAPort(t *testing.T) {
	dir := t.TempDir()
	const values = `
image: {repository: x, tag: ""}
second: {port: 6443, replicas: 2}
third: {port: 6443, webhookPort: 9443}
first: {port: 6443, logLevel: info}
port: 5
`
	if err := os.WriteFile(filepath.Join(dir, "values.yaml"), []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	next := 100
	c := Config{
		Chart: dir,
		Values: map[string]any{
			"second": map[string]any{"servicePort": 443, "ledger": map[string]any{"dir": "/ledger"}},
			"image":  map[string]any{"tag": "y"},
		},
		TakePort: func() (int, error) { next++; return next, nil },
	}
	got, err := c.values()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"first": map[string]any{"port": 101, "servicePort": 101, "bindAddress": "127.0.0.1"},
		"second": map[string]any{
			"port": 102, "servicePort": 443, "bindAddress": "127.0.0.1",
			"ledger": map[string]any{"dir": "/ledger"},
		},
		"third": map[string]any{
			"port": 103, "servicePort": 103, "webhookPort": 104, "webhookServicePort": 104, "bindAddress": "127.0.0.1",
		},
		"image": map[string]any{"tag": "y"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unexpected values (-want +got):\n%s", diff)
	}
}

func TestSortOut(t *testing.T) {
	const manifest = `---
# Source: tiny/templates/nothing.yaml
---
{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {clusterIP: None, selector: {a: b}, ports: [{port: 443}]}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}
---
{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: a}}
---
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: c}}
`
	r, err := sortOut(strings.NewReader(manifest), "ns")
	if err != nil {
		t.Fatal(err)
	}
	if len(r.CRDs) != 1 || len(r.Deployments) != 1 || len(r.Callbacks) != 1 || len(r.Objects) != 1 {
		t.Fatalf("sorted out as %+v", r)
	}
	if r.Deployments[0].Namespace != "ns" {
		t.Errorf("the deployment's namespace is %q", r.Deployments[0].Namespace)
	}
	want := map[string]any{
		"type": "ExternalName", "externalName": "localhost", "ports": []any{map[string]any{"port": int64(443)}},
	}
	if diff := cmp.Diff(want, r.Objects[0].Object["spec"]); diff != "" {
		t.Errorf("unexpected service (-want +got):\n%s", diff)
	}
	_, err = sortOut(strings.NewReader(`{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: x}}`), "ns")
	if err == nil || !strings.Contains(err.Error(), "DaemonSet x") {
		t.Errorf("what cannot run gives %v", err)
	}
}
