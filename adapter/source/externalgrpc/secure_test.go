package externalgrpc_test

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/externalgrpc/externalscaler"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

func TestTLS(t *testing.T) {
	authority, strangers := brokertest.NewAuthority(t, t.TempDir()), brokertest.NewAuthority(t, t.TempDir())
	own := authority.Server(t)
	pair, err := tls.X509KeyPair([]byte(own.Certificate), []byte(own.Key))
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM([]byte(authority.CA))
	s := &scaler{values: []*externalscaler.MetricValue{{MetricValue: 3}}}
	plain, _ := serve(t, listen(t, ""), s)
	oneWay, _ := serve(t, listen(t, ""), s, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}})))
	mutual, _ := serve(t, listen(t, ""), s, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	})))
	client, stranger := authority.Client(t, "adapter"), strangers.Client(t, "adapter")
	secrets := brokertest.Secrets{
		"tls/ca": authority.CA, "tls/strangers": strangers.CA,
		"tls/crt": client.Certificate, "tls/key": client.Key,
		"tls/stranger.crt": stranger.Certificate, "tls/stranger.key": stranger.Key,
	}
	key := func(name string) *v1alpha1.SecretKey { return &v1alpha1.SecretKey{Name: "tls", Key: name} }
	for name, test := range map[string]struct {
		address, reason string
		tls             *v1alpha1.TLS
	}{
		"right authority":              {oneWay, "", &v1alpha1.TLS{CA: key("ca")}},
		"another authority":            {oneWay, source.ReasonTLS, &v1alpha1.TLS{CA: key("strangers")}},
		"another authority, unchecked": {oneWay, "", &v1alpha1.TLS{InsecureSkipVerify: true}},
		"another name":                 {oneWay, source.ReasonTLS, &v1alpha1.TLS{CA: key("ca"), ServerName: "elsewhere"}},
		"name of the certificate":      {oneWay, "", &v1alpha1.TLS{CA: key("ca"), ServerName: "localhost"}},
		"plain to a server of TLS":     {oneWay, source.ReasonUnreachable, nil},
		"TLS to a plain server":        {plain, source.ReasonTLS, &v1alpha1.TLS{CA: key("ca")}},
		"mutual":                       {mutual, "", &v1alpha1.TLS{CA: key("ca"), ClientCertificate: key("crt"), ClientKey: key("key")}},
		"mutual without a certificate": {mutual, source.ReasonTLS, &v1alpha1.TLS{CA: key("ca")}},
		"mutual with a stranger's":     {mutual, source.ReasonTLS, &v1alpha1.TLS{CA: key("ca"), ClientCertificate: key("stranger.crt"), ClientKey: key("stranger.key")}},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, request(v1alpha1.ExternalGRPCSource{Address: test.address, MetricName: "jobs", TLS: test.tls}, secrets))
			if test.reason == "" {
				mustPoll(t, p)
				return
			}
			wantSooner(t, p, test.reason)
		})
	}
}
