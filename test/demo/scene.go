package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

// What scene.yaml says, for the parts that work beside it.
const (
	namespace      = "demo"
	workload       = "workers"
	podSelector    = "app=workers"
	minReplicas    = 1
	maxReplicas    = 20
	averageValue   = 40.0
	tolerance      = 0.1
	workerRate     = 12.0 // messages per second
	noonRate       = 130.0
	nightRate      = 2.0
	burstsPerDay   = 3
	burstFactor    = 2.5
	syncPeriodFlag = "--horizontal-pod-autoscaler-sync-period=1s"
)

//go:embed scene.yaml
var scene string

// apply puts the scene's objects into the cluster with the lab's own kubectl.
func apply(ctx context.Context, l *lab.Lab, broker string) error {
	path := filepath.Join(l.Dir(), "scene.yaml")
	text := strings.ReplaceAll(scene, "${BROKER}", broker)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the scene: %w", err)
	}
	if _, err := l.Kubectl(ctx, "apply", "-f", path); err != nil {
		return fmt.Errorf("apply the scene: %w", err)
	}
	return nil
}

// chartValues are the demo's: both loops look each second, and record what they
// decide in the lab's folder.
func chartValues(ledgers string) map[string]any {
	return map[string]any{
		"metricsAdapter": map[string]any{"extraArgs": []any{"--ledger-dir=" + ledgers}},
		"hpaController":  map[string]any{"extraArgs": []any{"--ledger-dir=" + ledgers, syncPeriodFlag}},
	}
}
