// Package featureflag is the flag --feature-gates of the three VPA binaries: the
// gates of upstream's VPA 1.8 with their names, stages and defaults, and
// AllAlpha and AllBeta for them. What a gate changes is decided where its fields
// are read, not here.
package featureflag

import (
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/component-base/featuregate"

	"github.com/quartet-autoscaling/quartet/internal/vertical/features"
)

// Name is the flag's.
const Name = "feature-gates"

// emulated is the version of upstream's VPA whose gates these are.
const emulated = "1.8"

// specs are the gates by the version that brought them.
func specs() map[featuregate.Feature]featuregate.VersionedSpecs {
	alpha := func(since string) featuregate.VersionedSpecs {
		return featuregate.VersionedSpecs{{Version: version.MustParse(since), PreRelease: featuregate.Alpha}}
	}
	return map[featuregate.Feature]featuregate.VersionedSpecs{
		features.CPUStartupBoost: alpha("1.6"),
		features.InPlace:         alpha("1.7"),
		features.PerVPAConfig:    alpha("1.5"),
	}
}

// Options hold the flag. The zero value has every gate off and no flag; use New.
type Options struct {
	gate featuregate.MutableVersionedFeatureGate
}

// New gives the gates with their defaults.
func New() Options {
	gate := featuregate.NewVersionedFeatureGate(version.MustParse(emulated))
	runtime.Must(gate.AddVersioned(specs()))
	return Options{gate: gate}
}

// AddFlags registers the flag.
func (o Options) AddFlags(fs *pflag.FlagSet) {
	// The gate registers itself with a text of many lines.
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.gate.AddFlag(own)
	flag := own.Lookup(Name)
	flag.Usage = "Features to switch on or off, as NAME=true or NAME=false separated by commas: CPUStartupBoost, InPlace and PerVPAConfig, " +
		"which are alpha and off, or AllAlpha for all of them. Set them alike for the recommender, the updater and the admission webhook."
	fs.AddFlag(flag)
}

// Gates are the features that are on.
func (o Options) Gates() features.Gates {
	if o.gate == nil {
		return features.Gates{}
	}
	return features.Gates{
		CPUStartupBoost: o.gate.Enabled(features.CPUStartupBoost),
		InPlace:         o.gate.Enabled(features.InPlace),
		PerVPAConfig:    o.gate.Enabled(features.PerVPAConfig),
	}
}

// Known are the gates with their stages and defaults, sorted: one text each, as
// "InPlace=true|false (ALPHA - default=false)".
func (o Options) Known() []string {
	if o.gate == nil {
		return nil
	}
	return o.gate.KnownFeatures()
}
