// Package runtimeflags holds what every binary of the suite is started with:
// the common flags, their checks, the connection to the cluster, and the frame
// of a main function with signals and exit codes. What a component decides by
// is in the component's own options, not here.
package runtimeflags

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/quartet-autoscaling/quartet/internal/buildinfo"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// Mode is how far a component goes.
type Mode string

// The three modes.
const (
	// ModeOff does nothing at all to objects.
	ModeOff Mode = "Off"
	// ModeRecommend decides and reports, and never acts.
	ModeRecommend Mode = "Recommend"
	// ModeAuto acts.
	ModeAuto Mode = "Auto"
)

// Acts tells whether decisions are carried out.
func (m Mode) Acts() bool { return m == ModeAuto }

// Decides tells whether decisions are made at all.
func (m Mode) Decides() bool { return m == ModeAuto || m == ModeRecommend }

// FlagError is a flag whose value cannot be used. Its text names the flag.
type FlagError struct {
	// Flag is the name without dashes.
	Flag string
	// Problem says what is wrong with the value.
	Problem string
}

// Error gives "--flag: problem".
func (e *FlagError) Error() string { return "--" + e.Flag + ": " + e.Problem }

// Invalid makes a FlagError, formatting the problem.
func Invalid(flag, format string, args ...any) error {
	return &FlagError{Flag: flag, Problem: fmt.Sprintf(format, args...)}
}

// Flags are the flags that all binaries have. Make them with New.
type Flags struct {
	// Kubeconfig is the path of a kubeconfig; empty means the service account of
	// the pod.
	Kubeconfig string
	Mode       Mode
	// LedgerDir is the folder that the ledger is written to; empty means none.
	LedgerDir string
	// LeaderElect and LeaderElectResourceNamespace have flags only where Acting.
	LeaderElect                  bool
	LeaderElectResourceNamespace string
	LogFormat                    string
	LogLevel                     string
	// KubeAPIQPS and KubeAPIBurst bound the requests to the API server.
	KubeAPIQPS   float32
	KubeAPIBurst int
	// ShowVersion asks for the version and nothing else.
	ShowVersion bool

	acting bool
}

// Kind tells whether a binary acts on objects, and so elects a leader.
type Kind bool

// The two kinds of binary.
const (
	Acting  Kind = true
	Serving Kind = false
)

// New gives the defaults. An acting binary elects a leader; a serving one, of
// which all replicas work, has no flags for that.
func New(kind Kind) *Flags {
	return &Flags{
		Mode:         ModeAuto,
		LeaderElect:  bool(kind),
		LogFormat:    telemetry.FormatJSON,
		LogLevel:     "info",
		KubeAPIQPS:   50,
		KubeAPIBurst: 100,
		acting:       bool(kind),
	}
}

// AddFlags registers the flags with their present values as defaults.
func (f *Flags) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&f.Kubeconfig, "kubeconfig", f.Kubeconfig, "Path of a kubeconfig. Empty uses the service account of the pod.")
	fs.StringVar((*string)(&f.Mode), "mode", string(f.Mode), "How far to go: Off does nothing to objects, Recommend decides and reports but never acts, Auto acts.")
	fs.StringVar(&f.LedgerDir, "ledger-dir", f.LedgerDir, "Folder to record every decision and its input in, for replay. Empty records nothing.")
	if f.acting {
		fs.BoolVar(&f.LeaderElect, "leader-elect", f.LeaderElect, "Elect a leader among replicas before acting. Switch off only where there is exactly one.")
		fs.StringVar(&f.LeaderElectResourceNamespace, "leader-elect-resource-namespace", f.LeaderElectResourceNamespace, "Namespace of the leader election's lease. Empty uses the namespace of the pod.")
	}
	fs.StringVar(&f.LogFormat, "log-format", f.LogFormat, "Format of log lines: json or text.")
	fs.StringVar(&f.LogLevel, "log-level", f.LogLevel, "Least level that is logged: debug, info, warn, error, or a verbosity from 0 to 10 as klog's -v.")
	fs.Float32Var(&f.KubeAPIQPS, "kube-api-qps", f.KubeAPIQPS, "Requests per second to the API server, sustained.")
	fs.IntVar(&f.KubeAPIBurst, "kube-api-burst", f.KubeAPIBurst, "Requests to the API server at once, above the sustained rate.")
	fs.BoolVar(&f.ShowVersion, "version", f.ShowVersion, "Print the version and exit.")
}

// Validate returns the first flag that cannot be used, as a *FlagError. It
// touches the disk only to see that given paths exist.
func (f *Flags) Validate() error {
	switch f.Mode {
	case ModeOff, ModeRecommend, ModeAuto:
	default:
		return Invalid("mode", "%q is not one of Off, Recommend, Auto", f.Mode)
	}
	if f.Kubeconfig != "" {
		if _, err := os.Stat(f.Kubeconfig); err != nil {
			return Invalid("kubeconfig", "%v", err)
		}
	}
	if err := CheckFolder("ledger-dir", f.LedgerDir); err != nil {
		return err
	}
	if strings.ContainsAny(f.LeaderElectResourceNamespace, "/ ") {
		return Invalid("leader-elect-resource-namespace", "%q is no name of a namespace", f.LeaderElectResourceNamespace)
	}
	if err := telemetry.CheckFormat(f.LogFormat); err != nil {
		return Invalid("log-format", "%v", err)
	}
	if _, err := telemetry.ParseLevel(f.LogLevel); err != nil {
		return Invalid("log-level", "%v", err)
	}
	if f.KubeAPIQPS <= 0 {
		return Invalid("kube-api-qps", "%v is not above 0", f.KubeAPIQPS)
	}
	if f.KubeAPIBurst < 1 {
		return Invalid("kube-api-burst", "%d is not at least 1", f.KubeAPIBurst)
	}
	return nil
}

// CheckFolder refuses a path that exists and is no folder. A folder that does
// not exist yet is made by whoever writes to it.
func CheckFolder(flag, path string) error {
	if path == "" {
		return nil
	}
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return Invalid(flag, "%s is not a folder", path)
	}
	return nil
}

// RESTConfig connects to the cluster of --kubeconfig, or to the one that the
// pod runs in, under the component's name as user agent.
func (f *Flags) RESTConfig(component string) (*rest.Config, error) {
	config, err := f.connection()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = f.KubeAPIQPS, f.KubeAPIBurst
	config.UserAgent = "quartet-" + component + "/" + buildinfo.Get().Version
	return config, nil
}

func (f *Flags) connection() (*rest.Config, error) {
	if f.Kubeconfig == "" {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("connect with the pod's service account (set --kubeconfig outside a cluster): %w", err)
		}
		return config, nil
	}
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: f.Kubeconfig}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read --kubeconfig %s: %w", f.Kubeconfig, err)
	}
	return config, nil
}
