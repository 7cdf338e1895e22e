package certificate

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
)

// The keys of the Secret. The first certificate of ca.crt signed tls.crt; those
// after it are CAs from before, kept until they run out.
const (
	keyCA        = "ca.crt"
	keyCAKey     = "ca.key"
	keyServing   = "tls.crt"
	keyServeKey  = "tls.key"
	authority    = "quartet-vpa-admission-ca"
	organization = "quartet"
)

// backdate is how long before now a certificate begins to be valid, for clocks
// that differ.
const backdate = time.Hour

var usages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}

func (c Config) rotator() *rotator.CertRotator {
	return &rotator.CertRotator{CAName: authority, CAOrganization: organization, DNSName: c.DNSName, ExtKeyUsages: &usages}
}

// renewed gives what the Secret is to hold, and whether that is other than it
// holds: a new certificate where a third of its time is left, and a new CA where
// it would not outlive another certificate.
func (c Config) renewed(data map[string][]byte, now time.Time) (map[string][]byte, bool, error) {
	first, rest := split(data[keyCA])
	if valid, err := rotator.ValidCert(first, first, data[keyCAKey], authority, nil, now.Add(c.Validity)); err != nil || !valid {
		// Whatever is wrong with it, a new one mends it.
		ca, err := c.rotator().CreateCACert(now.Add(-backdate), now.Add(c.CAValidity))
		if err != nil {
			return nil, false, fmt.Errorf("make a CA: %w", err)
		}
		return c.sign(ca, append(unexpired(first, now), unexpired(rest, now)...), now)
	}
	if valid, err := rotator.ValidCert(first, data[keyServing], data[keyServeKey], c.DNSName, &usages, now.Add(c.Validity/3)); err == nil && valid {
		return data, false, nil
	}
	ca, err := parseAuthority(first, data[keyCAKey])
	if err != nil {
		return nil, false, err
	}
	return c.sign(ca, unexpired(rest, now), now)
}

// sign makes a serving certificate.
func (c Config) sign(ca *rotator.KeyPairArtifacts, former []byte, now time.Time) (map[string][]byte, bool, error) {
	certificate, key, err := c.rotator().CreateCertPEM(ca, now.Add(-backdate), now.Add(c.Validity))
	if err != nil {
		return nil, false, fmt.Errorf("make a serving certificate: %w", err)
	}
	return map[string][]byte{
		keyCA: append(bytes.Clone(ca.CertPEM), former...), keyCAKey: ca.KeyPEM,
		keyServing: certificate, keyServeKey: key,
	}, true, nil
}

func parseAuthority(certificate, key []byte) (*rotator.KeyPairArtifacts, error) {
	c, _ := pem.Decode(certificate)
	k, _ := pem.Decode(key)
	if c == nil || k == nil {
		return nil, errors.New("the CA in the Secret is no PEM")
	}
	parsed, err := x509.ParseCertificate(c.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the CA's certificate: %w", err)
	}
	private, err := x509.ParsePKCS1PrivateKey(k.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the CA's key: %w", err)
	}
	return &rotator.KeyPairArtifacts{Cert: parsed, Key: private, CertPEM: certificate, KeyPEM: key}, nil
}

// split parts the first certificate of a bundle from the rest, as PEM.
func split(bundle []byte) (first, rest []byte) {
	block, rest := pem.Decode(bundle)
	if block == nil {
		return nil, nil
	}
	return pem.EncodeToMemory(block), rest
}

// each calls f for every certificate of a bundle that can be read.
func each(bundle []byte, f func(block []byte, c *x509.Certificate)) {
	for {
		var block *pem.Block
		if block, bundle = pem.Decode(bundle); block == nil {
			return
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			f(pem.EncodeToMemory(block), c)
		}
	}
}

// unexpired gives the certificates of a bundle that are still valid.
func unexpired(bundle []byte, now time.Time) []byte {
	var out []byte
	each(bundle, func(block []byte, c *x509.Certificate) {
		if now.Before(c.NotAfter) {
			out = append(out, block...)
		}
	})
	return out
}

// join puts bundles together, each certificate once, without those that ran out.
func join(now time.Time, bundles ...[]byte) []byte {
	var out []byte
	seen := map[[sha256.Size]byte]bool{}
	for _, bundle := range bundles {
		each(unexpired(bundle, now), func(block []byte, c *x509.Certificate) {
			if sum := sha256.Sum256(c.Raw); !seen[sum] {
				seen[sum] = true
				out = append(out, block...)
			}
		})
	}
	return out
}

// covers tells whether a bundle has every certificate of another.
func covers(bundle, other []byte) bool {
	have := map[[sha256.Size]byte]bool{}
	each(bundle, func(_ []byte, c *x509.Certificate) { have[sha256.Sum256(c.Raw)] = true })
	all := true
	each(other, func(_ []byte, c *x509.Certificate) { all = all && have[sha256.Sum256(c.Raw)] })
	return all
}

// pair is a certificate to serve and the CA that signed it.
type pair struct {
	serving *tls.Certificate
	leaf    *x509.Certificate
	ca      []byte
}

func parsePair(data map[string][]byte) (*pair, error) {
	serving, err := tls.X509KeyPair(data[keyServing], data[keyServeKey])
	if err != nil {
		return nil, fmt.Errorf("read the serving certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(serving.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("read the serving certificate: %w", err)
	}
	ca, _ := split(data[keyCA])
	return &pair{serving: &serving, leaf: leaf, ca: ca}, nil
}
