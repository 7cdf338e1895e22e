package webhook

import (
	"crypto/tls"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	upstream "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/admission-controller/config"
)

// otherwise are the flags of upstream's webhook that have another default here,
// and why.
var otherwise = map[string]string{
	"port":            "9443, the port of the chart's Service",
	"webhook-port":    "the same as --port: the port by which a webhook is registered by URL is none of ours",
	"webhook-service": "vpa-admission, the chart's Service",
	"tls-cert-file":   "the certificate of --secure-port: that of reviews is made by the webhook",
}

// upstreamFlags are those of upstream's webhook, with what it sets them to.
func upstreamFlags(t *testing.T) *pflag.FlagSet {
	t.Helper()
	args, parsed := os.Args, pflag.CommandLine
	t.Cleanup(func() { os.Args, pflag.CommandLine = args, parsed })
	tests := map[string]bool{}
	flag.VisitAll(func(f *flag.Flag) { tests[f.Name] = true })
	os.Args, pflag.CommandLine = args[:1], pflag.NewFlagSet("upstream", pflag.PanicOnError)
	upstream.InitAdmissionControllerFlags()
	out := pflag.NewFlagSet("upstream", pflag.ContinueOnError)
	pflag.CommandLine.VisitAll(func(f *pflag.Flag) {
		if !tests[f.Name] && !strings.HasPrefix(f.Name, "test.") {
			out.AddFlag(f)
		}
	})
	return out
}

func TestFlagsAsUpstream(t *testing.T) {
	ours, seen := NewCommand().FlagSet(), 0
	upstreamFlags(t).VisitAll(func(theirs *pflag.Flag) {
		seen++
		f := ours.Lookup(theirs.Name)
		why, idle := upstreamOnly[theirs.Name]
		other, differs := otherwise[theirs.Name]
		switch {
		case f == nil:
			t.Errorf("--%s is not taken", theirs.Name)
		case idle && !strings.Contains(f.Deprecated, why):
			t.Errorf("whoever sets --%s is told %q, want %q", f.Name, f.Deprecated, why)
		case idle && (theirs.NoOptDefVal != f.NoOptDefVal || theirs.Shorthand != f.Shorthand):
			t.Errorf("--%s without a value is %q, upstream's %q", f.Name, f.NoOptDefVal, theirs.NoOptDefVal)
		case idle:
		case (strings.Trim(f.DefValue, "[]") != theirs.DefValue) != differs:
			t.Errorf("--%s is %q, upstream's %q; known to differ: %q", f.Name, f.DefValue, theirs.DefValue, other)
		}
	})
	if seen < 30 {
		t.Errorf("found only %d flags of upstream's", seen)
	}
}

func TestManifestOfUpstreamStarts(t *testing.T) {
	command := NewCommand()
	fs := command.FlagSet()
	var told strings.Builder
	fs.SetOutput(&told)
	args := []string{"--v=4", "--stderrthreshold=info", "--reload-cert", "--webhook-failure-policy-fail=true", "--feature-gates=CPUStartupBoost=true",
		"--min-tls-version=tls1_3", "--tls-ciphers=TLS_AES_128_GCM_SHA256", "--max-allowed-cpu-boost=2", "--ignored-vpa-object-namespaces=a,b"}
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	for _, o := range command.Options {
		if err := o.Validate(); err != nil {
			t.Error(err)
		}
	}
	if !strings.Contains(told.String(), "reload-cert") || !strings.Contains(told.String(), certified) {
		t.Errorf("told %q", told.String())
	}
}

func TestOptions(t *testing.T) {
	parsed := func(args ...string) *Options {
		o, fs := NewOptions(), pflag.NewFlagSet("test", pflag.ContinueOnError)
		o.AddFlags(fs)
		if err := fs.Parse(args); err != nil {
			t.Fatal(err)
		}
		return o
	}
	for arg, name := range map[string]string{
		"--min-tls-version=tls1_1": flagMinTLS, "--tls-ciphers=TLS_NONE": flagCiphers, "--max-allowed-cpu-boost=-1": flagMaxBoost,
		"--port=0": flagPort, "--status-lease-update-interval=0": flagLeaseInterval,
	} {
		if err := parsed(arg).Validate(); err == nil || !strings.Contains(err.Error(), "--"+name) {
			t.Errorf("%s gives %v", arg, err)
		}
	}
	both := parsed("--vpa-object-namespace=a", "--ignored-vpa-object-namespaces=b")
	if err := both.Validate(); err == nil {
		t.Error("one namespace and others ignored are taken together")
	}
	if o := parsed("--vpa-object-namespace=a"); !o.serves("a") || o.serves("b") {
		t.Error("--vpa-object-namespace=a serves not only a")
	}
	if o := parsed("--ignored-vpa-object-namespaces=b,c"); !o.serves("a") || o.serves("c") {
		t.Error("--ignored-vpa-object-namespaces=b,c")
	}
	config := parsed("--min-tls-version=tls1_3", "--tls-ciphers=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:TLS_AES_128_GCM_SHA256").tls()
	if config.MinVersion != tls.VersionTLS13 || len(config.CipherSuites) != 2 {
		t.Errorf("TLS %+v", config)
	}
	if o := parsed("--max-allowed-cpu-boost=1500m"); o.asked().maxBoost.MilliValue() != 1500 {
		t.Errorf("asked %+v", o.asked())
	}
}
