package featureflag_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	upstream "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/features"

	"github.com/quartet-autoscaling/quartet/internal/vertical/featureflag"
	"github.com/quartet-autoscaling/quartet/internal/vertical/features"
)

func parse(t *testing.T, args ...string) (features.Gates, *pflag.FlagSet, error) {
	t.Helper()
	o := featureflag.New()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.AddFlags(fs)
	err := fs.Parse(args)
	return o.Gates(), fs, err
}

func TestGatesAreSetByName(t *testing.T) {
	all := features.Gates{CPUStartupBoost: true, InPlace: true, PerVPAConfig: true}
	tests := map[string]struct {
		args   []string
		want   features.Gates
		refuse bool
	}{
		"by default all are off":           {},
		"one":                              {args: []string{"--feature-gates=PerVPAConfig=true"}, want: features.Gates{PerVPAConfig: true}},
		"two in one flag":                  {args: []string{"--feature-gates=InPlace=true,CPUStartupBoost=true"}, want: features.Gates{InPlace: true, CPUStartupBoost: true}},
		"two flags":                        {args: []string{"--feature-gates=InPlace=true", "--feature-gates=PerVPAConfig=true"}, want: features.Gates{InPlace: true, PerVPAConfig: true}},
		"all alpha":                        {args: []string{"--feature-gates=AllAlpha=true"}, want: all},
		"all alpha but one":                {args: []string{"--feature-gates=AllAlpha=true,InPlace=false"}, want: features.Gates{CPUStartupBoost: true, PerVPAConfig: true}},
		"all beta, of which there is none": {args: []string{"--feature-gates=AllBeta=true"}},
		"one that is unknown":              {args: []string{"--feature-gates=Nonsense=true"}, refuse: true},
		"one without a value":              {args: []string{"--feature-gates=InPlace"}, refuse: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, _, err := parse(t, tc.args...)
			if (err != nil) != tc.refuse {
				t.Fatalf("error %v, want refusal %v", err, tc.refuse)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" && !tc.refuse {
				t.Errorf("gates (-want +got):\n%s", diff)
			}
		})
	}
}

// TestGatesAreUpstreams compares names, stages and defaults with upstream's own.
func TestGatesAreUpstreams(t *testing.T) {
	theirs := pflag.NewFlagSet("upstream", pflag.ContinueOnError)
	upstream.MutableFeatureGate.AddFlag(theirs)
	_, ours, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	if theirs.Lookup(featureflag.Name) == nil || ours.Lookup(featureflag.Name) == nil {
		t.Fatal("one of the two has no such flag")
	}
	if diff := cmp.Diff(upstream.MutableFeatureGate.KnownFeatures(), featureflag.New().Known()); diff != "" {
		t.Errorf("gates (-upstream +ours):\n%s", diff)
	}
}

func TestNoFlagMeansNoFeature(t *testing.T) {
	if got := (featureflag.Options{}).Gates(); got != (features.Gates{}) {
		t.Errorf("gates of the zero value: %+v", got)
	}
}
