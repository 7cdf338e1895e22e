package natsjetstream

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// credentials are how a connection authenticates and secures itself.
type credentials struct {
	basic       access.Basic
	token       access.Secret
	creds, seed access.Secret
	tls         access.TLS
}

// fingerprint tells two sets of credentials apart without showing either.
func (c credentials) fingerprint() string {
	return access.Digest(c.basic, c.token, c.creds, c.seed, c.tls)
}

// readCredentials reads every Secret key that the object names.
func readCredentials(ctx context.Context, spec v1alpha1.NATSJetStreamSource, secrets source.Secrets) (credentials, error) {
	r := access.NewReader(ctx, secrets)
	c := credentials{tls: r.TLS(spec.TLS)}
	if ref := spec.Credentials; ref != nil {
		c.basic, c.token = r.Basic(ref.Basic), r.Text(ref.Token)
		c.creds, c.seed = r.Text(ref.CredsFile), r.Text(ref.NKeySeed)
	}
	if r.Err() != nil {
		return credentials{}, r.Err()
	}
	// Unusable contents show now, as a fault of the object, and not at each poll.
	if _, err := c.options(); err != nil {
		return credentials{}, err
	}
	return c, nil
}

// options are the client's options for these credentials, but for TLS, which is the
// dialer's. Errors name what cannot be used and never show it.
func (c credentials) options() ([]nats.Option, error) {
	var opts []nats.Option
	switch {
	case !c.basic.User.Empty() || !c.basic.Password.Empty():
		opts = append(opts, nats.UserInfo(c.basic.User.Reveal(), c.basic.Password.Reveal()))
	case !c.token.Empty():
		opts = append(opts, nats.Token(c.token.Reveal()))
	case !c.creds.Empty():
		creds := []byte(c.creds.Reveal())
		if _, err := nkeys.ParseDecoratedJWT(creds); err != nil {
			return nil, source.Errorf(source.ReasonInvalid, "credentials.credsFile holds no JWT")
		}
		if _, err := nkeys.ParseDecoratedNKey(creds); err != nil {
			return nil, source.Errorf(source.ReasonInvalid, "credentials.credsFile holds no NKey seed")
		}
		opts = append(opts, nats.UserCredentialBytes(creds))
	case !c.seed.Empty():
		opt, err := nkeyOption([]byte(c.seed.Reveal()))
		if err != nil {
			return nil, err
		}
		opts = append(opts, opt)
	}
	return opts, nil
}

func nkeyOption(seed []byte) (nats.Option, error) {
	pair, err := nkeys.FromSeed(seed)
	if err != nil {
		return nil, source.Errorf(source.ReasonInvalid, "credentials.nkeySeed holds no NKey seed")
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, source.Errorf(source.ReasonInvalid, "credentials.nkeySeed gives no public key")
	}
	return nats.Nkey(public, pair.Sign), nil
}

// scrub takes every credential out of a text that another library wrote.
func (c credentials) scrub(text string) string {
	return access.Scrub(text, c.basic.Password, c.token, c.basic.User, c.creds, c.seed)
}
