package upstreamflags_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/quartet-autoscaling/quartet/internal/vertical/upstreamflags"
)

func TestFlagsWithoutEffectAreTaken(t *testing.T) {
	tests := map[string]struct {
		args   []string
		note   string
		refuse bool
	}{
		"none":                     {},
		"as upstream's chart":      {args: []string{"--v=4", "--stderrthreshold=info"}, note: "--log-level"},
		"a short one":              {args: []string{"-v=2"}, note: "--log-level"},
		"with underscores":         {args: []string{"--log_file_max_size=10"}, note: "--log-level"},
		"a switch without a value": {args: []string{"--profiling"}, note: "no profiling endpoint"},
		"an address":               {args: []string{"--address=:9000"}, note: "--secure-port"},
		"times of a lease":         {args: []string{"--leader-elect-lease-duration=30s"}, note: "lease"},
		"no number":                {args: []string{"--v=much"}, refuse: true},
		"no duration":              {args: []string{"--leader-elect-retry-period=2"}, refuse: true},
		"no switch":                {args: []string{"--profiling=maybe"}, refuse: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
			var said bytes.Buffer
			fs.SetOutput(&said)
			upstreamflags.Add(fs, upstreamflags.Logging(), upstreamflags.Leases("lease"), upstreamflags.Serving(":8942"))
			if err := fs.Parse(tc.args); (err != nil) != tc.refuse {
				t.Fatalf("error %v, want refusal %v", err, tc.refuse)
			}
			if !tc.refuse && !strings.Contains(said.String(), tc.note) || !tc.refuse && tc.note == "" && said.Len() > 0 {
				t.Errorf("said %q, want %q", said.String(), tc.note)
			}
		})
	}
}
