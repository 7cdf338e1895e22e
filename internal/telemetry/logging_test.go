package telemetry

import (
	"bytes"
	"encoding/json"
	"log"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

func TestParseLevel(t *testing.T) {
	tests := map[string]struct {
		level   string
		want    slog.Level
		invalid bool
	}{
		"a name":                {level: "warn", want: slog.LevelWarn},
		"a name in upper case":  {level: "DEBUG", want: slog.LevelDebug},
		"verbosity zero":        {level: "0", want: slog.LevelInfo},
		"a verbosity":           {level: "6", want: -6},
		"a negative verbosity":  {level: "-1", invalid: true},
		"a verbosity too great": {level: "11", invalid: true},
		"no name of a level":    {level: "chatty", invalid: true},
		"nothing":               {level: "", invalid: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseLevel(tc.level)
			if (err != nil) != tc.invalid {
				t.Fatalf("ParseLevel(%q) error = %v, want one: %v", tc.level, err, tc.invalid)
			}
			if got != tc.want {
				t.Errorf("ParseLevel(%q) = %d, want %d", tc.level, got, tc.want)
			}
		})
	}
}

// Every way of logging must arrive in the one log, at the level it was meant.
func TestInstallLoggingTakesEveryLog(t *testing.T) {
	var written bytes.Buffer
	if _, err := InstallLogging(&written, FormatJSON, "2"); err != nil {
		t.Fatal(err)
	}
	slog.Info("from slog", "replicas", 3)
	log.Print("from log")
	klog.Warning("from klog")
	klog.V(2).Info("klog at 2")
	klog.V(3).Info("klog at 3 is below the level")
	ctrllog.Log.WithName("hpa").Info("from controller-runtime")
	klog.Flush()

	type line struct{ Level, Msg string }
	var got []line
	for text := range strings.Lines(written.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("line %q is no JSON: %v", text, err)
		}
		got = append(got, l)
	}
	want := []line{
		{"info", "from slog"},
		{"info", "from log"},
		{"info", "from klog"},
		{"debug", "klog at 2"},
		{"info", "from controller-runtime"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log -want +got:\n%s", diff)
	}
}

func TestInstallLoggingRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ format, level, want string }{
		"an unknown format": {"xml", "info", `"xml" is neither json nor text`},
		"an unknown level":  {"json", "loud", `"loud" is none of debug`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := InstallLogging(&bytes.Buffer{}, tc.format, tc.level)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("InstallLogging() error = %v, want one with %q", err, tc.want)
			}
		})
	}
}
