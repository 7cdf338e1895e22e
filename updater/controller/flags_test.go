package controller

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	upstream "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/updater/config"
	"k8s.io/klog/v2"

	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

// notServed are upstream's flags that this binary has not, and what is in their
// place.
var notServed = map[string]string{
	"address":                            "--bind-address and --secure-port: metrics are served by TLS",
	"profiling":                          "the secure port serves no profiles",
	"concurrent-cpu-startup-boost-syncs": "boosts end within a pass",
	"v":                                  "--log-level, which takes its numbers",
}

// otherwise are the defaults that differ from upstream's, and why.
var otherwise = map[string]string{}

// ofLogging are klog's flags: this binary logs by --log-format and --log-level.
var ofLogging = map[string]bool{
	"add-dir-header": true, "alsologtostderr": true, "alsologtostderrthreshold": true, "legacy-stderr-threshold-behavior": true,
	"log-backtrace-at": true, "log-dir": true, "log-file": true, "log-file-max-size": true, "logtostderr": true,
	"one-output": true, "skip-headers": true, "skip-log-headers": true, "stderrthreshold": true, "vmodule": true,
}

// upstreamFlags are those that upstream's updater parses, but for its leader's
// election, whose flags are Kubernetes' own.
func upstreamFlags(t *testing.T) *pflag.FlagSet {
	t.Helper()
	goFlags, pFlags, args := flag.CommandLine, pflag.CommandLine, os.Args
	logging := klog.CaptureState()
	t.Cleanup(func() {
		flag.CommandLine, pflag.CommandLine, os.Args = goFlags, pFlags, args
		logging.Restore()
	})
	flag.CommandLine, pflag.CommandLine = flag.NewFlagSet("upstream", flag.PanicOnError), pflag.NewFlagSet("upstream", pflag.PanicOnError)
	os.Args = []string{"vpa-updater"}
	upstream.InitUpdaterFlags()
	return pflag.CommandLine
}

// TestFlagsAreUpstreams compares names and defaults with upstream's.
func TestFlagsAreUpstreams(t *testing.T) {
	theirs := upstreamFlags(t)
	ours := pflag.NewFlagSet("ours", pflag.ContinueOnError)
	NewOptions().AddFlags(ours)
	runtimeflags.New(runtimeflags.Acting).AddFlags(ours)
	missing, different := map[string]string{}, map[string]string{}
	count := 0
	theirs.VisitAll(func(f *pflag.Flag) {
		if ofLogging[f.Name] {
			return
		}
		count++
		switch own := ours.Lookup(f.Name); {
		case own == nil:
			missing[f.Name] = notServed[f.Name]
		case strings.Trim(own.DefValue, "[]") != f.DefValue:
			different[f.Name] = otherwise[f.Name]
		}
	})
	if diff := cmp.Diff(notServed, missing) + cmp.Diff(otherwise, different); diff != "" {
		t.Errorf("flags of upstream's that are missing or have other defaults (-known +found):\n%s", diff)
	}
	if count < 20 {
		t.Errorf("only %d flags of upstream's", count)
	}
}

func TestNamespacesAreLeftOut(t *testing.T) {
	for name, tc := range map[string]struct {
		options Options
		want    bool
	}{
		"all":             {want: true},
		"the only one":    {options: Options{Namespace: "shop"}, want: true},
		"another one":     {options: Options{Namespace: "bank"}},
		"an ignored one":  {options: Options{Ignored: []string{"bank", "shop"}}},
		"not one of them": {options: Options{Ignored: []string{"bank"}}, want: true},
	} {
		if got := tc.options.serves("shop"); got != tc.want {
			t.Errorf("%s: served %t, want %t", name, got, tc.want)
		}
	}
}
