// Package serving is the one secure port that each binary has: liveness and
// readiness for anyone, metrics and an API group for those whom the cluster
// authenticates and authorizes. It is k8s.io/apiserver's generic server without
// storage; what the API group answers is the caller's.
package serving

import (
	"fmt"
	"net"

	"github.com/spf13/pflag"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"

	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

// Options are the flags of the secure port.
type Options struct {
	// BindAddress is an IP address.
	BindAddress string
	// SecurePort is from 1 to 65535.
	SecurePort int
	// TLSCertFile and TLSPrivateKeyFile are PEM files that are read again when
	// they change. Both empty means a self-signed certificate in memory.
	TLSCertFile, TLSPrivateKeyFile string
}

// NewOptions gives the defaults.
func NewOptions() *Options { return &Options{BindAddress: "0.0.0.0", SecurePort: 6443} }

// AddFlags registers the flags with their present values as defaults.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.BindAddress, "bind-address", o.BindAddress, "IP address to listen on for the secure port.")
	fs.IntVar(&o.SecurePort, "secure-port", o.SecurePort, "Port that serves /livez, /readyz, /metrics and the component's API group over HTTPS.")
	fs.StringVar(&o.TLSCertFile, "tls-cert-file", o.TLSCertFile, "File of the serving certificate, PEM, read again when it changes. Empty serves a self-signed certificate, for development.")
	fs.StringVar(&o.TLSPrivateKeyFile, "tls-private-key-file", o.TLSPrivateKeyFile, "File of the private key for --tls-cert-file, PEM.")
}

// Validate returns the first flag that cannot be used.
func (o *Options) Validate() error {
	if net.ParseIP(o.BindAddress) == nil {
		return runtimeflags.Invalid("bind-address", "%q is not an IP address", o.BindAddress)
	}
	if o.SecurePort < 1 || o.SecurePort > 65535 {
		return runtimeflags.Invalid("secure-port", "%d is not from 1 to 65535", o.SecurePort)
	}
	if o.TLSCertFile != "" && o.TLSPrivateKeyFile == "" {
		return runtimeflags.Invalid("tls-private-key-file", "is required with --tls-cert-file")
	}
	if o.TLSCertFile == "" && o.TLSPrivateKeyFile != "" {
		return runtimeflags.Invalid("tls-cert-file", "is required with --tls-private-key-file")
	}
	return nil
}

// secure opens the port and reads the certificate into the server's config.
// listener may be nil.
func (o *Options) secure(config *genericapiserver.Config, listener net.Listener) error {
	address := net.ParseIP(o.BindAddress)
	secure := &genericoptions.SecureServingOptions{
		BindAddress: address,
		BindPort:    o.SecurePort,
		Listener:    listener,
		Required:    true,
		ServerCert: genericoptions.GeneratableKeyCert{
			CertKey: genericoptions.CertKey{CertFile: o.TLSCertFile, KeyFile: o.TLSPrivateKeyFile},
		},
		MinTLSVersion: "VersionTLS12",
	}
	if err := secure.MaybeDefaultWithSelfSignedCerts("localhost", nil, []net.IP{net.IPv4(127, 0, 0, 1)}); err != nil {
		return fmt.Errorf("make a self-signed certificate: %w", err)
	}
	if err := secure.WithLoopback().ApplyTo(&config.SecureServing, &config.LoopbackClientConfig); err != nil {
		return fmt.Errorf("open the secure port %d: %w", o.SecurePort, err)
	}
	return nil
}

// delegate leaves authentication and authorization to the cluster's API server,
// reached by the kubeconfig, or by the pod's service account where it is empty.
func delegate(config *genericapiserver.Config, kubeconfig string) error {
	authentication := genericoptions.NewDelegatingAuthenticationOptions()
	authentication.RemoteKubeConfigFile = kubeconfig
	if err := authentication.ApplyTo(&config.Authentication, config.SecureServing, nil); err != nil {
		return fmt.Errorf("delegate authentication to the API server: %w", err)
	}
	authorization := genericoptions.NewDelegatingAuthorizationOptions()
	authorization.RemoteKubeConfigFile = kubeconfig
	if err := authorization.ApplyTo(&config.Authorization); err != nil {
		return fmt.Errorf("delegate authorization to the API server: %w", err)
	}
	return nil
}
