package serving_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/util/cert"

	"github.com/quartet-autoscaling/quartet/internal/health"
	"github.com/quartet-autoscaling/quartet/internal/serving"
	"github.com/quartet-autoscaling/quartet/internal/serving/servingtest"
)

// users are a monitoring system that may read metrics, and someone who may not.
var users = map[string]servingtest.User{
	"token-of-monitoring": {Name: "monitoring", May: func(spec authorizationv1.SubjectAccessReviewSpec) bool {
		return spec.NonResourceAttributes != nil && spec.NonResourceAttributes.Path == "/metrics" && spec.NonResourceAttributes.Verb == "get"
	}},
	"token-of-nobody": {Name: "nobody", May: func(authorizationv1.SubjectAccessReviewSpec) bool { return false }},
}

func TestServer(t *testing.T) {
	broker := health.Check{Name: "broker", Func: func(context.Context) (string, error) {
		return "last seen 12s ago", errors.New("connection refused")
	}}
	sources := health.Check{Name: "sources", Func: func(context.Context) (string, error) { return "3 polled", nil }}
	running := servingtest.Run(t, serving.Config{
		Name:       "test",
		Options:    serving.NewOptions(),
		Kubeconfig: servingtest.Start(t, users).Kubeconfig,
		Ready:      []health.Check{sources},
	}, func(s *serving.Server) error { return s.AddReadyChecks(broker) })

	tests := map[string]struct {
		path, token string
		wantCode    int
		wantBody    string
	}{
		"livez needs no identity":        {path: "/livez", wantCode: http.StatusOK, wantBody: "ok"},
		"readyz gives the details":       {path: "/readyz", wantCode: http.StatusServiceUnavailable, wantBody: "[+]sources ok: 3 polled\n[+]shutdown ok\n[-]broker failed: connection refused (last seen 12s ago)\nreadyz check failed\n"},
		"one check":                      {path: "/readyz/sources", wantCode: http.StatusOK, wantBody: "[+]sources ok: 3 polled\nreadyz check passed\n"},
		"a check left out":               {path: "/readyz?exclude=broker", wantCode: http.StatusOK, wantBody: "ok"},
		"no such check":                  {path: "/readyz/database", wantCode: http.StatusNotFound, wantBody: "no check is named database\n"},
		"metrics need permission":        {path: "/metrics", wantCode: http.StatusForbidden},
		"metrics with a wrong token":     {path: "/metrics", token: "made-up", wantCode: http.StatusUnauthorized},
		"metrics for one who may not":    {path: "/metrics", token: "token-of-nobody", wantCode: http.StatusForbidden},
		"metrics for one who may":        {path: "/metrics", token: "token-of-monitoring", wantCode: http.StatusOK, wantBody: "go_goroutines"},
		"a path that only looks like it": {path: "/readyzzz", wantCode: http.StatusForbidden},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			code, body := running.Get(t, tc.path, tc.token)
			if code != tc.wantCode {
				t.Errorf("GET %s = %d, want %d: %s", tc.path, code, tc.wantCode, body)
			}
			if tc.path == "/metrics" && tc.wantBody != "" {
				if !strings.Contains(body, tc.wantBody) {
					t.Errorf("metrics lack %s", tc.wantBody)
				}
			} else if tc.wantBody != "" && body != tc.wantBody {
				t.Errorf("GET %s = %q, want %q", tc.path, body, tc.wantBody)
			}
		})
	}

	if err := running.Stop(); err != nil {
		t.Errorf("Run() = %v, want nil after a shutdown", err)
	}
	if response, err := http.Get(running.URL + "/livez"); err == nil {
		_ = response.Body.Close()
		t.Error("the server still answers after its shutdown")
	}
}

// writeCertificate writes a new self-signed certificate for the host to the two files.
func writeCertificate(t *testing.T, host, certFile, keyFile string) {
	t.Helper()
	certificate, key, err := cert.GenerateSelfSignedCertKey(host, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string][]byte{certFile: certificate, keyFile: key} {
		next := path + ".next"
		if err := os.WriteFile(next, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCertificateIsReloaded(t *testing.T) {
	folder := t.TempDir()
	options := serving.NewOptions()
	options.TLSCertFile, options.TLSPrivateKeyFile = filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	writeCertificate(t, "first.test", options.TLSCertFile, options.TLSPrivateKeyFile)
	running := servingtest.Run(t, serving.Config{
		Name:       "test",
		Options:    options,
		Kubeconfig: servingtest.Start(t, users).Kubeconfig,
	}, nil)

	servedFor := func(host string) bool {
		connection, err := tls.Dial("tcp", running.Server.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = connection.Close() }()
		return connection.ConnectionState().PeerCertificates[0].VerifyHostname(host) == nil
	}
	if !servedFor("first.test") {
		t.Fatal("the server does not serve the certificate of its file")
	}
	writeCertificate(t, "second.test", options.TLSCertFile, options.TLSPrivateKeyFile)
	servingtest.Eventually(t, "the new certificate is served", func() bool { return servedFor("second.test") })
}

func TestNewWithoutACluster(t *testing.T) {
	options := serving.NewOptions()
	if _, err := serving.New(serving.Config{Options: options}); err == nil {
		t.Error("New() without a name succeeded")
	}
	options.SecurePort = 0
	if _, err := serving.New(serving.Config{Name: "test", Options: options}); err == nil || !strings.Contains(err.Error(), "--secure-port") {
		t.Errorf("New() with port 0 = %v, want an error naming --secure-port", err)
	}
}

func TestValidateNamesTheFlag(t *testing.T) {
	tests := map[string]struct {
		change func(*serving.Options)
		want   string
	}{
		"defaults are valid":     {change: func(*serving.Options) {}},
		"a host name":            {change: func(o *serving.Options) { o.BindAddress = "localhost" }, want: "--bind-address: "},
		"a port too great":       {change: func(o *serving.Options) { o.SecurePort = 65536 }, want: "--secure-port: "},
		"a certificate alone":    {change: func(o *serving.Options) { o.TLSCertFile = "tls.crt" }, want: "--tls-private-key-file: "},
		"a private key alone":    {change: func(o *serving.Options) { o.TLSPrivateKeyFile = "tls.key" }, want: "--tls-cert-file: "},
		"certificate and key":    {change: func(o *serving.Options) { o.TLSCertFile, o.TLSPrivateKeyFile = "tls.crt", "tls.key" }},
		"an address of IPv6":     {change: func(o *serving.Options) { o.BindAddress = "::" }},
		"a port below the least": {change: func(o *serving.Options) { o.SecurePort = 0 }, want: "--secure-port: "},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			options := serving.NewOptions()
			tc.change(options)
			err := options.Validate()
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("Validate() = %v, want nil", err)
			case tc.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.want)):
				t.Errorf("Validate() = %v, want an error beginning with %q", err, tc.want)
			}
		})
	}
}
