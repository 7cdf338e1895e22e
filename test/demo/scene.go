package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/queue"
)

// What scene.yaml says, for the parts that work beside it.
const (
	namespace    = "demo"
	workload     = "workers"
	podSelector  = "app=workers"
	minReplicas  = 1
	maxReplicas  = 20
	averageValue = 40.0
	tolerance    = 0.1
	workerRate   = 12.0 // messages per second
	noonRate     = 130.0
	nightRate    = 2.0
	burstsPerDay = 3
	burstFactor  = 2.5

	steady        = "api"
	steadyRequest = "40m"
	steadyCPU     = "400m"
	steadyMemory  = "300Mi"

	poolName = "general"
	minNodes = 1
	maxNodes = 6
)

//go:embed scene.yaml
var scene string

//go:embed pool.yaml
var pool string

// credentials is the Secret that the queue's source names, empty where it names
// none.
func credentials(broker queue.Broker) (string, error) {
	if broker.Credentials() == nil {
		return "", nil
	}
	secret, err := json.Marshal(&corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: queue.CredentialsSecret},
		StringData: broker.Credentials(),
	})
	if err != nil {
		return "", fmt.Errorf("write down the queue's credentials: %w", err)
	}
	return "---\n" + string(secret) + "\n", nil
}

// apply puts the scene's objects into the cluster with the lab's own kubectl: the
// pool first, so that the pods find a node.
func apply(ctx context.Context, l *lab.Lab, broker queue.Broker) error {
	source, err := json.Marshal(broker.Source()) // JSON is YAML
	if err != nil {
		return fmt.Errorf("write down the queue's source: %w", err)
	}
	secret, err := credentials(broker)
	if err != nil {
		return err
	}
	for _, text := range []string{pool, strings.ReplaceAll(scene, "${SOURCE}", string(source)) + secret} {
		if _, err := l.KubectlInput(ctx, text, "apply", "-f", "-"); err != nil {
			return fmt.Errorf("apply the scene: %w", err)
		}
	}
	return l.SetUsage(ctx, lab.Usage{
		Namespace: namespace, Selector: labels.SelectorFromSet(labels.Set{"app": steady}),
		CPU: resource.MustParse(steadyCPU), Memory: resource.MustParse(steadyMemory),
	})
}

// chartValues are the demo's: all six binaries, which look every second or every
// few, and record what they decide in the lab's folder. A day takes minutes, so
// what would take minutes takes seconds.
func chartValues(ledgers string) map[string]any {
	component := func(args ...any) map[string]any {
		return map[string]any{"enabled": true, "extraArgs": append([]any{"--ledger-dir=" + ledgers}, args...)}
	}
	adapter := component()
	adapter["secretNamespaces"] = []any{"*"} // the demo's namespace is not there yet
	return map[string]any{
		"metricsAdapter": adapter,
		"hpaController":  component("--horizontal-pod-autoscaler-sync-period=1s"),
		"vpaRecommender": component("--recommender-interval=5s"),
		"vpaUpdater":     component("--updater-interval=5s"),
		"vpaAdmission":   component(),
		"clusterScaler": component("--scan-interval=1s", "--scale-down-unneeded-time=10s",
			"--scale-down-delay-after-add=5s", "--drain-backoff=10s", "--drain-timeout=30s"),
	}
}
