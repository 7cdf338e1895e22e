package toolchain

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
)

const kwokStagesFile = "kwok.yaml"

// kwokStageFiles are the documents of kwok's own module that make nodes and pods behave: nodes become Ready and
// keep their leases, pods run at once and go when deleted, and their usage follows annotations.
var kwokStageFiles = []string{
	"stage/node/fast/node-initialize.yaml",
	"stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
	"stage/pod/fast/pod-ready.yaml",
	"stage/pod/fast/pod-complete.yaml",
	"stage/pod/fast/pod-delete.yaml",
	"metrics/resource/metrics-resource.yaml",
	"metrics/usage/usage-from-annotation.yaml",
}

// writeKwokStages copies kwok's documents from the pinned module into one file of dir.
func writeKwokStages(ctx context.Context, module, dir string) error {
	list := goCommand{Dir: module, Args: []string{"list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok"}}
	source, err := list.run(ctx)
	if err != nil {
		return fmt.Errorf("finding kwok's module: %w", err)
	}
	var all bytes.Buffer
	for _, name := range kwokStageFiles {
		content, err := os.ReadFile(filepath.Join(source, "kustomize", filepath.FromSlash(name)))
		if err != nil {
			return fmt.Errorf("reading kwok's stages: %w", err)
		}
		all.WriteString("---\n")
		all.Write(content)
	}
	if err := os.WriteFile(filepath.Join(dir, kwokStagesFile), all.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing kwok's stages: %w", err)
	}
	return nil
}
