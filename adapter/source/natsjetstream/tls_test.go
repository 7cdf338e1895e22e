package natsjetstream_test

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
)

func tlsConfig(a authority) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.server}, MinVersion: tls.VersionTLS12}
}

func pool(t testing.TB, a authority) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM([]byte(a.pem)) {
		t.Fatal("the authority's own certificate is no PEM")
	}
	return p
}
