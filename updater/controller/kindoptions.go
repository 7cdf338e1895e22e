package controller

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/recurrence"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// KindOptions are the flags that are about being kind to workloads. None of them
// is upstream's, and all are off by default.
type KindOptions struct {
	// Fit is FitIgnore, FitPolicy or FitRequire.
	Fit string
	// Surge lets Deployments be rolled out where a policy asks for it.
	Surge bool
	// Windows are in the form that readWindow takes.
	Windows []string
	// BreakerFailures are those in a row of one object, FleetFailures those of all;
	// 0 is none.
	BreakerFailures           int32
	FleetFailures             int
	BreakerReady, BreakerTime time.Duration
}

// Which pods must fit after an update.
const (
	FitIgnore  = "Ignore"
	FitPolicy  = "Policy"
	FitRequire = "Require"
)

func newKindOptions() KindOptions {
	return KindOptions{Fit: FitIgnore, BreakerReady: 10 * time.Minute, BreakerTime: time.Hour}
}

const (
	flagFit             = "fit"
	flagSurge           = "surge"
	flagOwners          = "respect-owners"
	flagPerMinute       = "evictions-per-minute"
	flagPerHour         = "evictions-per-hour"
	flagWindow          = "eviction-window"
	flagBreakerFailures = "breaker-failures"
	flagFleetFailures   = "breaker-failures-of-all"
	flagBreakerReady    = "breaker-ready-within"
	flagBreakerReset    = "breaker-reset-after"
)

func (o *KindOptions) addFlags(fs *pflag.FlagSet, rules *eviction.Config) {
	k := &rules.Kindness
	fs.StringVar(&o.Fit, flagFit, o.Fit,
		"Which pods are updated only where they will fit afterwards: Ignore reads no nodes and quotas, Policy leaves it to VerticalScalingPolicies, Require is all pods.")
	fs.BoolVar(&o.Surge, flagSurge, o.Surge, "Roll Deployments out in place of evictions where a VerticalScalingPolicy asks for surge.")
	fs.BoolVar(&k.RespectOwners, flagOwners, k.RespectOwners,
		"Update StatefulSets from the last pod to the first, keep to the maxUnavailable of DaemonSets, and leave Jobs to run to their end. Policies that state a disruption do so by themselves.")
	fs.IntVar(&k.PerMinute, flagPerMinute, k.PerMinute, "Evictions of all objects within a minute. 0 means no limit.")
	fs.IntVar(&k.PerHour, flagPerHour, k.PerHour, "Evictions of all objects within an hour. 0 means no limit.")
	fs.StringArrayVar(&o.Windows, flagWindow, o.Windows,
		"A window in which pods may be evicted, as 'CRON DURATION [ZONE]', for example '0 22 * * MON-FRI 6h Europe/Berlin'. May be given several times. Without any, at all times.")
	fs.Int32Var(&o.BreakerFailures, flagBreakerFailures, o.BreakerFailures,
		"Evictions of one object's pods in a row that did not come back well after which its updates stop, where no VerticalScalingPolicy says so. 0 means never.")
	fs.IntVar(&o.FleetFailures, flagFleetFailures, o.FleetFailures,
		"Evictions of all objects that did not come back well, within --breaker-reset-after, from which all updates stop. 0 means never.")
	fs.DurationVar(&o.BreakerReady, flagBreakerReady, o.BreakerReady, "The time within which an evicted pod has to be back and Ready, where no VerticalScalingPolicy says so.")
	fs.DurationVar(&o.BreakerTime, flagBreakerReset, o.BreakerTime, "The time after which updates that a breaker stopped are tried again, where no VerticalScalingPolicy says so.")
}

func (o *KindOptions) validate(k eviction.Kindness) error {
	if o.Fit != FitIgnore && o.Fit != FitPolicy && o.Fit != FitRequire {
		return runtimeflags.Invalid(flagFit, "must be %s, %s or %s, is %q", FitIgnore, FitPolicy, FitRequire, o.Fit)
	}
	for flag, n := range map[string]int{
		flagPerMinute: k.PerMinute, flagPerHour: k.PerHour, flagBreakerFailures: int(o.BreakerFailures), flagFleetFailures: o.FleetFailures,
	} {
		if n < 0 {
			return runtimeflags.Invalid(flag, "must not be negative, is %d", n)
		}
	}
	for flag, d := range map[string]time.Duration{flagBreakerReady: o.BreakerReady, flagBreakerReset: o.BreakerTime} {
		if d <= 0 {
			return runtimeflags.Invalid(flag, "must be above 0, is %s", d)
		}
	}
	if _, err := o.windows(); err != nil {
		return runtimeflags.Invalid(flagWindow, "%v", err)
	}
	return nil
}

// rules are the flags that decisions are made by.
func (o *Options) rules() eviction.Config {
	r, k := o.Rules, o.Kind
	r.Kindness.RequireFit, r.Kindness.Fleet = k.Fit == FitRequire, k.FleetFailures
	if k.BreakerFailures > 0 || k.FleetFailures > 0 {
		r.Kindness.Breaker = &verticalpolicy.Breaker{Failures: k.BreakerFailures, ReadyWithin: k.BreakerReady, ResetAfter: k.BreakerTime}
	}
	return r
}

// windows reads the flags' windows.
func (o *KindOptions) windows() ([]*recurrence.Recurrence, error) {
	out := make([]*recurrence.Recurrence, 0, len(o.Windows))
	for _, text := range o.Windows {
		w, err := readWindow(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		out = append(out, w)
	}
	return out, nil
}

// cronFields is the number of words of a cron.
const cronFields = 5

// readWindow reads "CRON DURATION [ZONE]".
func readWindow(text string) (*recurrence.Recurrence, error) {
	words := strings.Fields(text)
	if len(words) != cronFields+1 && len(words) != cronFields+2 {
		return nil, errors.New("must be five words of cron, a duration and a time zone or none, such as '0 22 * * MON-FRI 6h Europe/Berlin'")
	}
	duration, err := time.ParseDuration(words[cronFields])
	if err != nil {
		return nil, fmt.Errorf("%s is no duration, such as 6h or 90m", words[cronFields])
	}
	w := v1alpha1.RecurringWindow{Cron: strings.Join(words[:cronFields], " "), Duration: metav1.Duration{Duration: duration}}
	if len(words) > cronFields+1 {
		w.TimeZone = words[cronFields+1]
	}
	return recurrence.Parse(w)
}
