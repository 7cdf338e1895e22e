package natsjetstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// access is how a connection authenticates and secures itself. It holds
// credentials, so it prints as nothing.
type access struct {
	user, password, token string
	creds, seed           []byte

	ca, certificate, key []byte
	serverName           string
	insecure, secure     bool
}

func (access) String() string   { return "[credentials]" }
func (access) GoString() string { return "[credentials]" }

// fingerprint tells two accesses apart without showing either.
func (a access) fingerprint() string {
	return digest(a.user, a.password, a.token, a.creds, a.seed, a.ca, a.certificate, a.key, a.serverName, a.insecure, a.secure)
}

// readAccess reads every Secret key that the object names.
func readAccess(ctx context.Context, spec v1alpha1.NATSJetStreamSource, secrets source.Secrets) (access, error) {
	r := keyReader{ctx: ctx, secrets: secrets}
	var a access
	if c := spec.Credentials; c != nil {
		if c.Basic != nil {
			a.user, a.password = string(r.read(&c.Basic.Username)), string(r.read(&c.Basic.Password))
		}
		a.token = string(r.read(c.Token))
		a.creds, a.seed = r.read(c.CredsFile), r.read(c.NKeySeed)
	}
	if t := spec.TLS; t != nil {
		a.secure = true
		a.ca, a.certificate, a.key = r.read(t.CA), r.read(t.ClientCertificate), r.read(t.ClientKey)
		a.serverName, a.insecure = t.ServerName, t.InsecureSkipVerify
	}
	if r.err != nil {
		return access{}, r.err
	}
	// Unusable contents show now, as a fault of the object, and not at each poll.
	if _, err := a.options(); err != nil {
		return access{}, err
	}
	return a, nil
}

// keyReader reads keys until the first error.
type keyReader struct {
	ctx     context.Context //nolint:containedctx // lives for one call of readAccess
	secrets source.Secrets
	err     error
}

func (r *keyReader) read(ref *v1alpha1.SecretKey) []byte {
	if ref == nil || r.err != nil {
		return nil
	}
	value, err := r.secrets.Key(r.ctx, *ref)
	if err != nil {
		r.err = err
		return nil
	}
	return value
}

// options are the client's options for this access. Errors name what cannot be
// used and never show it.
func (a access) options() ([]nats.Option, error) {
	var opts []nats.Option
	switch {
	case a.user != "" || a.password != "":
		opts = append(opts, nats.UserInfo(a.user, a.password))
	case a.token != "":
		opts = append(opts, nats.Token(a.token))
	case len(a.creds) > 0:
		if _, err := nkeys.ParseDecoratedJWT(a.creds); err != nil {
			return nil, source.Errorf(source.ReasonInvalid, "credentials.credsFile holds no JWT")
		}
		if _, err := nkeys.ParseDecoratedNKey(a.creds); err != nil {
			return nil, source.Errorf(source.ReasonInvalid, "credentials.credsFile holds no NKey seed")
		}
		opts = append(opts, nats.UserCredentialBytes(a.creds))
	case len(a.seed) > 0:
		opt, err := nkeyOption(a.seed)
		if err != nil {
			return nil, err
		}
		opts = append(opts, opt)
	}
	if a.secure {
		config, err := a.tls()
		if err != nil {
			return nil, err
		}
		opts = append(opts, nats.Secure(config))
	}
	return opts, nil
}

func nkeyOption(seed []byte) (nats.Option, error) {
	pair, err := nkeys.FromSeed(trimSpace(seed))
	if err != nil {
		return nil, source.Errorf(source.ReasonInvalid, "credentials.nkeySeed holds no NKey seed")
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, source.Errorf(source.ReasonInvalid, "credentials.nkeySeed gives no public key")
	}
	return nats.Nkey(public, pair.Sign), nil
}

func (a access) tls() (*tls.Config, error) {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: a.serverName,
		//nolint:gosec // the owner of the object asked for it, in a field that says what it is
		InsecureSkipVerify: a.insecure,
	}
	if len(a.ca) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(a.ca) {
			return nil, source.Errorf(source.ReasonInvalid, "tls.ca holds no PEM certificate")
		}
	}
	if len(a.certificate) > 0 {
		pair, err := tls.X509KeyPair(a.certificate, a.key)
		if err != nil {
			return nil, source.Errorf(source.ReasonInvalid, "tls.clientCertificate and tls.clientKey are no PEM pair that belongs together")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// scrub takes every credential out of a text that another library wrote.
func (a access) scrub(text string) string {
	for _, secret := range []string{a.password, a.token, a.user, string(a.creds), string(a.seed)} {
		text = replaceSecret(text, secret)
	}
	return text
}
