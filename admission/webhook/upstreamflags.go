package webhook

import (
	"crypto/tls"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

const (
	registered = "the chart makes the webhook configurations"
	certified  = "the webhook makes and renews its certificate"
	logged     = "use --log-level and --log-format"
	secured    = "metrics are on --secure-port"
)

// upstreamOnly are flags of upstream's webhook that have nothing to say to this
// one. They are taken, so that a manifest of upstream's starts it, and whoever sets
// one is told why it does nothing.
var upstreamOnly = map[string]string{
	"address":                          secured,
	"profiling":                        "there is no profile to be had from a webhook that runs",
	"client-ca-file":                   certified,
	"tls-private-key":                  certified,
	"reload-cert":                      certified,
	"register-webhook":                 registered,
	"register-by-url":                  registered,
	"webhook-address":                  registered,
	"webhook-failure-policy-fail":      registered + ", whose failure policy is Ignore: a webhook that is away blocks no pod",
	"webhook-labels":                   registered,
	"webhook-timeout-seconds":          registered + "; see vpaAdmission.webhook.timeoutSeconds",
	"add-dir-header":                   logged,
	"alsologtostderr":                  logged,
	"alsologtostderrthreshold":         logged,
	"legacy-stderr-threshold-behavior": logged,
	"log-backtrace-at":                 logged,
	"log-dir":                          logged,
	"log-file":                         logged,
	"log-file-max-size":                logged,
	"logtostderr":                      logged,
	"one-output":                       logged,
	"skip-headers":                     logged,
	"skip-log-headers":                 logged,
	"stderrthreshold":                  logged,
	"v":                                logged,
	"vmodule":                          logged,
}

// switches are those of upstreamOnly that may stand without a value.
var switches = []string{
	"profiling", "reload-cert", "register-webhook", "register-by-url", "webhook-failure-policy-fail",
	"add-dir-header", "alsologtostderr", "legacy-stderr-threshold-behavior", "logtostderr", "one-output", "skip-headers", "skip-log-headers",
}

// untold is the value of a flag that nobody reads.
type untold struct{ text string }

func (u *untold) String() string        { return u.text }
func (u *untold) Set(text string) error { u.text = text; return nil }
func (*untold) Type() string            { return "string" }

// addUpstreamOnly registers the flags that do nothing.
func addUpstreamOnly(fs *pflag.FlagSet) {
	for name, why := range upstreamOnly {
		short := ""
		if len(name) == 1 {
			short = name
		}
		f := fs.VarPF(&untold{}, name, short, "Of upstream's webhook; it does nothing here.")
		if slices.Contains(switches, name) {
			f.NoOptDefVal = "true"
		}
		f.Deprecated, f.Hidden = "it does nothing here: "+why, true
	}
}

// Versions of TLS by upstream's names.
const (
	tls12 = "tls1_2"
	tls13 = "tls1_3"
)

// ciphers gives the cipher suites of a list by their names, nil for Go's own
// choice, and the first name that is none.
func ciphers(list string) (ids []uint16, unknown string) {
	for _, name := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ':' }) {
		i := slices.IndexFunc(tls.CipherSuites(), func(c *tls.CipherSuite) bool { return c.Name == strings.TrimSpace(name) })
		if i < 0 {
			return nil, name
		}
		ids = append(ids, tls.CipherSuites()[i].ID)
	}
	return ids, ""
}

// checkTLS returns the first flag of TLS that cannot be used.
func (o *Options) checkTLS() error {
	if v := o.MinTLSVersion; v != "" && v != tls12 && v != tls13 {
		return runtimeflags.Invalid(flagMinTLS, "%q is neither %s nor %s", v, tls12, tls13)
	}
	if _, unknown := ciphers(o.Ciphers); unknown != "" {
		return runtimeflags.Invalid(flagCiphers, "%q is no cipher suite of Go's crypto/tls that is safe", unknown)
	}
	return nil
}

// tls is how reviews are served, without the certificate.
func (o *Options) tls() *tls.Config {
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.MinTLSVersion == tls13 {
		out.MinVersion = tls.VersionTLS13
	}
	out.CipherSuites, _ = ciphers(o.Ciphers)
	return out
}

// serves tells whether pods of a namespace are looked after.
func (o *Options) serves(namespace string) bool {
	return (o.Only == "" || o.Only == namespace) && !slices.Contains(o.Ignored, namespace)
}
