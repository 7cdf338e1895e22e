// Package e2e holds the end-to-end tests: the chart's binaries on the lab's real
// control plane, under exactly the chart's RBAC, with a real broker. What one
// package can test alone is tested there.
package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	externalv1beta1 "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/tool"
)

// suite is the lab that the tests share. Each test has a namespace and a broker
// of its own. TestMain starts it and replays, at the end, what was recorded.
var suite struct {
	lab     *lab.Lab
	release *lab.Release
	ledgers string
}

const startLimit = 15 * time.Minute

// atOnce is how many tests run at the same time, unless -parallel says otherwise.
// They wait for the cluster most of the time, so there may be more of them than
// processors.
const atOnce = 6

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", strconv.Itoa(max(atOnce, runtime.GOMAXPROCS(0)))); err != nil {
			panic(err)
		}
	}
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := replay(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	if err := finish(code != 0); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func start() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	l, err := lab.Start(ctx, lab.Options{Name: "e2e", Nodes: 3, MetricsServer: true, Progress: os.Stderr})
	if err != nil {
		return err
	}
	suite.lab, suite.ledgers = l, filepath.Join(l.Dir(), "ledgers")
	suite.release, err = l.InstallChart(ctx, lab.ChartOptions{Values: chartValues(suite.ledgers)})
	if err == nil {
		err = suite.release.WaitReady(ctx)
	}
	if err != nil {
		return errors.Join(err, finish(true))
	}
	return nil
}

// replay runs every decision that the tests made the binaries record through the
// same rules again: not one field may differ.
func replay() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	if err := suite.release.Uninstall(ctx); err != nil {
		return fmt.Errorf("stop the binaries: %w", err)
	}
	replayed, err := tool.Replay(ctx, suite.ledgers)
	if err != nil {
		return err
	}
	fmt.Printf("replayed %v decisions, %d differences\n", replayed.Decisions, len(replayed.Differences))
	// A run of some tests only may leave a binary without anything to decide.
	if only := flag.Lookup("test.run"); only != nil && only.Value.String() != "" {
		return differences(replayed)
	}
	for _, component := range []string{"metrics-adapter", "hpa-controller", "vpa-recommender", "vpa-updater", "vpa-admission", "cluster-scaler"} {
		if replayed.Decisions[component] == 0 {
			return fmt.Errorf("%s recorded no decision", component)
		}
	}
	return differences(replayed)
}

func differences(r tool.Replayed) error {
	if len(r.Differences) > 0 {
		return fmt.Errorf("%d fields differ, the first: %s", len(r.Differences), r.Differences[0])
	}
	return nil
}

// chartValues are the chart's defaults with all six binaries, short times, and
// ledgers.
func chartValues(ledgers string) map[string]any {
	component := func(args ...any) map[string]any {
		return map[string]any{"enabled": true, "extraArgs": append([]any{"--ledger-dir=" + ledgers}, args...)}
	}
	adapter := component()
	adapter["secretNamespaces"] = []any{"*"} // each test has a namespace of its own
	updater := component("--updater-interval=5s")
	updater["fit"], updater["surge"] = "Policy", true // where a test's policy asks for them
	return map[string]any{
		"metricsAdapter": adapter,
		"hpaController": component("--horizontal-pod-autoscaler-sync-period=1s",
			// The tests' pods are young: their usage counts from the start.
			"--horizontal-pod-autoscaler-cpu-initialization-period=1s",
			"--horizontal-pod-autoscaler-initial-readiness-delay=1s"),
		"vpaRecommender": component("--recommender-interval=5s"),
		"vpaUpdater":     updater,
		"vpaAdmission":   component(),
		"clusterScaler": component("--scan-interval=1s", "--scale-down-unneeded-time=3s", "--scale-down-delay-after-add=2s",
			"--drain-backoff=5s", "--drain-timeout=20s"),
	}
}

func finish(failed bool) error {
	if failed {
		suite.lab.KeepLogs()
		fmt.Fprintln(os.Stderr, "e2e: the lab's logs are kept in", suite.lab.Dir())
	}
	return suite.lab.Stop()
}

// decodeExternal reads the one value of an external metric as the API serves it.
func decodeExternal(raw string) (resource.Quantity, time.Time, error) {
	var list externalv1beta1.ExternalMetricValueList
	if err := json.Unmarshal([]byte(raw), &list); err != nil {
		return resource.Quantity{}, time.Time{}, fmt.Errorf("decode the metric: %w", err)
	}
	if len(list.Items) != 1 {
		return resource.Quantity{}, time.Time{}, fmt.Errorf("%d values, want 1", len(list.Items))
	}
	return list.Items[0].Value, list.Items[0].Timestamp.Time, nil
}
