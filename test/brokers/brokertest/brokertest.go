// Package brokertest is what tests of sources share: servers that end with the
// test, or are skipped where they are not installed (a failure in continuous
// integration), certificates, Secrets, and waiting for a condition. It knows no
// source.
package brokertest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers"
)

// Program gives the path of a server's program. Without it the test is skipped,
// and fails in continuous integration.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := brokers.Find(name)
	var missing *brokers.MissingError
	switch {
	case errors.As(err, &missing) && !brokers.Required():
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	return path
}

// Start runs a server until the test ends.
func Start(t testing.TB, c brokers.Config) *brokers.Server {
	t.Helper()
	s, err := brokers.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of %s ends:\n%s", c.Name, s.Log())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Folder makes a folder for a server's data; Start's cleanup removes it.
func Folder(t testing.TB, name string) string {
	t.Helper()
	dir, err := brokers.Folder(name)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// FreePort gives a TCP port of loopback that nothing listens on.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := brokers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Eventually asks until the answer is nil, and fails the test with the last
// answer when it takes longer than half a minute.
func Eventually(t testing.TB, what string, ask func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Secrets are the keys of Secrets by "name/key". They are a source.Secrets.
type Secrets map[string]string

// Key gives one key's value.
func (s Secrets) Key(_ context.Context, ref v1alpha1.SecretKey) ([]byte, error) {
	v, ok := s[ref.Name+"/"+ref.Key]
	if !ok {
		return nil, source.Errorf("SecretNotFound", "Secret %s does not exist", ref.Name)
	}
	return []byte(v), nil
}

// Authority is a certificate authority of one test.
type Authority struct {
	// CA is the authority's certificate in PEM, and CAPath a file with it.
	CA, CAPath string

	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Pair is a certificate with its key, in PEM and as files that servers can read.
type Pair struct{ Certificate, Key, CertificatePath, KeyPath string }

// NewAuthority makes an authority whose files are in dir.
func NewAuthority(t testing.TB, dir string) *Authority {
	t.Helper()
	a := &Authority{dir: dir}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	pair := a.sign(t, "ca", template)
	a.CA, a.CAPath = pair.Certificate, pair.CertificatePath
	return a
}

// Server signs a certificate for loopback.
func (a *Authority) Server(t testing.TB) Pair {
	t.Helper()
	return a.sign(t, "server", &x509.Certificate{
		Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

// Client signs a client's certificate.
func (a *Authority) Client(t testing.TB, name string) Pair {
	t.Helper()
	return a.sign(t, "client-"+name, &x509.Certificate{
		Subject:  pkix.Name{CommonName: name},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

func (a *Authority) sign(t testing.TB, file string, template *x509.Certificate) Pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	if a.certificate == nil {
		a.key = key
		if a.certificate, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pair := Pair{
		Certificate:     string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		Key:             string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})),
		CertificatePath: filepath.Join(a.dir, file+".pem"), KeyPath: filepath.Join(a.dir, file+".key"),
	}
	for path, content := range map[string]string{pair.CertificatePath: pair.Certificate, pair.KeyPath: pair.Key} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return pair
}
