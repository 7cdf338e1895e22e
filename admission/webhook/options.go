package webhook

import (
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/vertical/featureflag"
)

// Options are the webhook's own flags.
type Options struct {
	// Port is where reviews are served, from 1 to 65535, on the address of the
	// secure port.
	Port int
	// Namespace is that of the Service, the Secret and the lease; empty means the
	// pod's own.
	Namespace string
	// Service is the name by which the API server calls, Secret that of the
	// certificate's, and Configuration that of the webhook configurations.
	Service, Secret, Configuration string
	// Validity is how long a certificate lasts.
	Validity time.Duration
	// LeaseName, LeaseNamespace and LeaseInterval are those of the lease that the
	// updater waits for. An empty namespace is Namespace.
	LeaseName, LeaseNamespace string
	LeaseInterval             time.Duration
	// MaxBoost is the most CPU of a startup boost; zero is no bound.
	MaxBoost resource.QuantityValue
	// Sidecars and FollowPodLevel patch what upstream leaves alone.
	Sidecars, FollowPodLevel bool
	// MinTLSVersion and Ciphers are those of the reviews' port: tls1_2 or tls1_3, and
	// names of cipher suites separated by commas or colons.
	MinTLSVersion, Ciphers string
	// Only is the one namespace whose pods are looked after, empty for all, and
	// Ignored those whose are not.
	Only    string
	Ignored []string
	// Features are the feature gates.
	Features featureflag.Options
}

// caValidity is how long a CA lasts: longer than any certificate may.
const caValidity = 10 * 365 * 24 * time.Hour

// NewOptions gives the defaults.
func NewOptions() *Options {
	return &Options{
		Port: 9443, Service: "vpa-admission", Secret: "vpa-admission-webhook", Configuration: "quartet-vpa-admission",
		Validity: 90 * 24 * time.Hour, LeaseName: "vpa-admission-controller", LeaseInterval: 10 * time.Second,
		MinTLSVersion: tls12, Features: featureflag.New(),
	}
}

const (
	flagPort           = "webhook-port"
	flagNamespace      = "namespace"
	flagService        = "webhook-service"
	flagSecret         = "certificate-secret"
	flagConfiguration  = "webhook-configuration"
	flagValidity       = "certificate-validity"
	flagLeaseName      = "status-lease-name"
	flagLeaseNamespace = "status-lease-namespace"
	flagLeaseInterval  = "status-lease-update-interval"
	flagMinTLS         = "min-tls-version"
	flagCiphers        = "tls-ciphers"
	flagOnly           = "vpa-object-namespace"
	flagIgnored        = "ignored-vpa-object-namespaces"
	flagMaxBoost       = "max-allowed-cpu-boost"
	flagSidecars       = "native-sidecars"
	flagFollowPodLevel = "follow-pod-level-resources"
)

// AddFlags registers the flags with their present values as defaults.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	o.Features.AddFlags(fs)
	fs.IntVar(&o.Port, flagPort, o.Port, "Port that serves the API server's reviews over HTTPS, with a certificate that is made and renewed here.")
	fs.StringVar(&o.Namespace, flagNamespace, o.Namespace, "Namespace of the Service, the Secret and the lease. Empty uses the namespace of the pod.")
	fs.StringVar(&o.Service, flagService, o.Service, "Name of the Service by which the API server calls the webhook.")
	fs.StringVar(&o.Secret, flagSecret, o.Secret, "Name of the Secret that holds the webhook's certificate and its CA. It is made where it is missing and permissions allow; the chart renders it empty and allows only to fill it.")
	fs.StringVar(&o.Configuration, flagConfiguration, o.Configuration, "Name of the MutatingWebhookConfiguration and of the ValidatingWebhookConfiguration whose caBundle is kept.")
	fs.DurationVar(&o.Validity, flagValidity, o.Validity, "How long a certificate lasts. It is renewed when a third of that is left.")
	fs.StringVar(&o.LeaseName, flagLeaseName, o.LeaseName, "Name of the lease that is kept fresh while new pods are patched. vpa-updater evicts only then.")
	fs.StringVar(&o.LeaseNamespace, flagLeaseNamespace, o.LeaseNamespace, "Namespace of that lease. Empty uses --namespace.")
	fs.IntVar(&o.Port, "port", o.Port, "The same as --"+flagPort+", by upstream's name.")
	fs.StringVar(&o.MinTLSVersion, flagMinTLS, o.MinTLSVersion, "Least version of TLS for reviews: tls1_2 or tls1_3.")
	fs.StringVar(&o.Ciphers, flagCiphers, o.Ciphers, "Cipher suites for reviews with TLS 1.2, by their names, separated by commas or colons. Empty takes Go's choice.")
	fs.StringVar(&o.Only, flagOnly, o.Only, "The only namespace whose pods are patched. Empty is all.")
	fs.StringSliceVar(&o.Ignored, flagIgnored, o.Ignored, "Namespaces whose pods are left as they are, separated by commas.")
	addUpstreamOnly(fs)
	fs.Var(&o.MaxBoost, flagMaxBoost, "The most CPU that a container with a startup boost gets. 0 means no bound.")
	fs.BoolVar(&o.Sidecars, flagSidecars, o.Sidecars, "Patch init containers that run beside the others (restartPolicy Always) as containers are.")
	fs.BoolVar(&o.FollowPodLevel, flagFollowPodLevel, o.FollowPodLevel, "Keep the resources of a pod as a whole in proportion to the sum of its containers. Without, they are only raised where the pod would be refused.")
	fs.DurationVar(&o.LeaseInterval, flagLeaseInterval, o.LeaseInterval, "The time from one renewal of that lease to the next.")
}

// Validate returns the first flag that cannot be used, named in the error.
func (o *Options) Validate() error {
	switch {
	case o.Port < 1 || o.Port > 65535:
		return runtimeflags.Invalid(flagPort, "%d is not from 1 to 65535", o.Port)
	case o.Service == "":
		return runtimeflags.Invalid(flagService, "must not be empty")
	case o.Secret == "":
		return runtimeflags.Invalid(flagSecret, "must not be empty")
	case o.Configuration == "":
		return runtimeflags.Invalid(flagConfiguration, "must not be empty")
	case o.Validity < time.Hour || o.Validity > caValidity/2:
		return runtimeflags.Invalid(flagValidity, "must be from 1h to %s, is %s", caValidity/2, o.Validity)
	case o.LeaseName == "":
		return runtimeflags.Invalid(flagLeaseName, "must not be empty")
	case o.Only != "" && len(o.Ignored) > 0:
		return runtimeflags.Invalid(flagIgnored, "cannot be used with --%s", flagOnly)
	case o.MaxBoost.Sign() < 0:
		return runtimeflags.Invalid(flagMaxBoost, "%s is below 0", o.MaxBoost.String())
	case o.LeaseInterval < time.Second || o.LeaseInterval >= time.Minute:
		return runtimeflags.Invalid(flagLeaseInterval, "must be at least 1s and below 1m, is %s", o.LeaseInterval)
	}
	return o.checkTLS()
}

// asked gives what the flags ask of every patch.
func (o *Options) asked() asked {
	out := asked{gates: o.Features.Gates(), sidecars: o.Sidecars, followPodLevel: o.FollowPodLevel}
	if !o.MaxBoost.IsZero() {
		most := o.MaxBoost.Quantity.DeepCopy()
		out.maxBoost = &most
	}
	return out
}
