// Package upstreamflags takes flags of upstream's VPA binaries that have no
// effect here, so that a manifest with them still starts, and says why they have
// none. Flags that have an effect are their component's own.
package upstreamflags

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Flag is one that is taken and has no effect.
type Flag struct {
	Name, Default string
	// Type is that of its values: bool, int, duration or string.
	Type string
	// Instead says what to do in its place.
	Instead string
}

// The types of values.
const (
	Bool     = "bool"
	Int      = "int"
	Duration = "duration"
	String   = "string"
)

const (
	logging  = "log lines are set by --log-level and --log-format"
	leasing  = "the leader's lease has the name of the binary and its own times"
	profiles = "there is no profiling endpoint"
	serving  = "metrics are served on --bind-address and --secure-port"
)

// Logging are the flags of upstream's log library.
func Logging() []Flag {
	return []Flag{
		{"add-dir-header", "false", Bool, logging}, {"alsologtostderr", "false", Bool, logging},
		{"alsologtostderrthreshold", "0", String, logging}, {"legacy-stderr-threshold-behavior", "true", Bool, logging},
		{"log-backtrace-at", ":0", String, logging}, {"log-dir", "", String, logging}, {"log-file", "", String, logging},
		{"log-file-max-size", "1800", Int, logging}, {"logtostderr", "true", Bool, logging}, {"one-output", "false", Bool, logging},
		{"skip-headers", "false", Bool, logging}, {"skip-log-headers", "false", Bool, logging},
		{"stderrthreshold", "0", String, logging}, {"v", "4", Int, logging}, {"vmodule", "", String, logging},
	}
}

// Leases are upstream's flags of the leader election beyond those that we have.
func Leases(name string) []Flag {
	return []Flag{
		{"leader-elect-lease-duration", "15s", Duration, leasing}, {"leader-elect-renew-deadline", "10s", Duration, leasing},
		{"leader-elect-retry-period", "2s", Duration, leasing}, {"leader-elect-resource-lock", "leases", String, leasing},
		{"leader-elect-resource-name", name, String, leasing},
	}
}

// Serving are upstream's flags of its plain port.
func Serving(address string) []Flag {
	return []Flag{{"address", address, String, serving}, {"profiling", "false", Bool, profiles}}
}

// Add registers flags that have no effect: hidden, and with a note where one is
// set. Names may be written with _ for -, as upstream takes them.
func Add(fs *pflag.FlagSet, flags ...[]Flag) {
	fs.SetNormalizeFunc(dashes)
	for _, some := range flags {
		for _, f := range some {
			short := ""
			if len(f.Name) == 1 {
				short = f.Name // upstream takes -v too
			}
			flag := fs.VarPF(&ignored{text: f.Default, kind: f.Type}, f.Name, short, "Has no effect: "+f.Instead+".")
			flag.Deprecated, flag.Hidden = "it has no effect: "+f.Instead, true
			if f.Type == Bool {
				flag.NoOptDefVal = "true"
			}
		}
	}
}

// dashes is how names are compared.
func dashes(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
}

// ignored is a value that is checked and kept for showing.
type ignored struct{ text, kind string }

// String is the value as it was given.
func (i *ignored) String() string { return i.text }

// Type is that of the value.
func (i *ignored) Type() string { return i.kind }

// Set refuses what upstream would refuse.
func (i *ignored) Set(text string) error {
	var err error
	switch i.kind {
	case Bool:
		_, err = strconv.ParseBool(text)
	case Int:
		_, err = strconv.ParseInt(text, 0, 64)
	case Duration:
		_, err = time.ParseDuration(text)
	}
	if err != nil {
		return fmt.Errorf("%q is no %s", text, i.kind)
	}
	i.text = text
	return nil
}
