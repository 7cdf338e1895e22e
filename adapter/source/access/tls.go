package access

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// TLS is how a connection is secured. The zero value is an object without tls.
type TLS struct {
	// Set tells whether the object has tls at all.
	Set bool
	// material is behind a function for the reason that a Secret's value is behind a
	// pointer; a pointer to a struct is followed at times. It is nil without tls.
	material func() material
}

// material is what an object's tls says.
type material struct {
	ca, certificate, key []byte
	serverName           string
	insecure             bool
}

// TLS reads the certificates that an object names. Contents that cannot be used
// are an error now, as a fault of the object, and not at each poll.
func (r *Reader) TLS(ref *v1alpha1.TLS) TLS {
	if ref == nil {
		return TLS{}
	}
	m := material{
		ca: r.Bytes(ref.CA), certificate: r.Bytes(ref.ClientCertificate), key: r.Bytes(ref.ClientKey),
		serverName: ref.ServerName, insecure: ref.InsecureSkipVerify,
	}
	t := TLS{Set: true, material: func() material { return m }}
	if r.err == nil {
		_, r.err = t.config()
	}
	return t
}

// Config is the client's configuration. Without a server name the client has to
// set the host that it dials.
func (t TLS) Config() *tls.Config {
	// Checked when it was read.
	config, err := t.config()
	if err != nil {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return config
}

func (t TLS) config() (*tls.Config, error) {
	m := t.said()
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: m.serverName,
		//nolint:gosec // the owner of the object asked for it, in a field that says what it is
		InsecureSkipVerify: m.insecure,
	}
	if len(m.ca) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(m.ca) {
			return nil, source.Errorf(source.ReasonInvalid, "tls.ca holds no PEM certificate")
		}
	}
	if len(m.certificate) > 0 {
		pair, err := tls.X509KeyPair(m.certificate, m.key)
		if err != nil {
			return nil, source.Errorf(source.ReasonInvalid, "tls.clientCertificate and tls.clientKey are no PEM pair that belongs together")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func (t TLS) parts() []any {
	m := t.said()
	return []any{t.Set, m.ca, m.certificate, m.key, m.serverName, m.insecure}
}

func (t TLS) said() material {
	if t.material == nil {
		return material{}
	}
	return t.material()
}

func (t TLS) String() string { return hidden }

// GoString keeps keys out of %#v.
func (t TLS) GoString() string { return hidden }
