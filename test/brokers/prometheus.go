package brokers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Prometheus says how to run a Prometheus server on loopback. What it scraped
// survives the server's end.
type Prometheus struct {
	// Dir is an empty folder for its data; see Folder.
	Dir  string
	Port int
	// Targets are the addresses (host:port) whose /metrics is scraped, Every so
	// often.
	Targets []string
	Every   time.Duration
	// User and Password are asked of everyone where there is a user.
	User, Password string
	// CAPath, CertificatePath and KeyPath are PEM files for TLS. A client must
	// show a certificate of the authority where ClientCertificates says so; Client
	// is then the pair that the server's start is told with.
	CAPath, CertificatePath, KeyPath string
	ClientCertificates               bool
	ClientPath, ClientKeyPath        string
}

// NewPrometheus chooses a port for a server with its data in dir, which scrapes
// targets five times a second.
func NewPrometheus(dir string, targets ...string) (Prometheus, error) {
	port, err := FreePort()
	return Prometheus{Dir: dir, Port: port, Targets: targets, Every: 200 * time.Millisecond}, err
}

// URL of the server's root.
func (p Prometheus) URL() string {
	scheme := "http"
	if p.CertificatePath != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Port))
}

// Config writes the server's settings and makes its configuration for Start.
func (p Prometheus) Config() (Config, error) {
	program, err := Find("prometheus")
	if err != nil {
		return Config{}, err
	}
	web, err := p.web()
	if err != nil {
		return Config{}, err
	}
	files := map[string]string{"prometheus.yaml": p.scraping(), "web.yaml": web}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(p.Dir, name), []byte(content), 0o600); err != nil {
			return Config{}, fmt.Errorf("writing the settings of Prometheus: %w", err)
		}
	}
	return Config{
		Name: "prometheus-" + strconv.Itoa(p.Port), Path: program, Dir: p.Dir, Ready: p.ready,
		Args: []string{
			"--config.file=" + filepath.Join(p.Dir, "prometheus.yaml"),
			"--web.config.file=" + filepath.Join(p.Dir, "web.yaml"),
			"--web.listen-address=" + net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Port)),
			"--storage.tsdb.path=" + filepath.Join(p.Dir, "data"), "--log.level=warn",
		},
	}, nil
}

// scraping says what is scraped.
func (p Prometheus) scraping() string {
	var b strings.Builder
	interval := strconv.FormatInt(p.Every.Milliseconds(), 10) + "ms"
	fmt.Fprintf(&b, "global:\n  scrape_interval: %s\n  scrape_timeout: %s\nscrape_configs:\n- job_name: test\n", interval, interval)
	fmt.Fprintf(&b, "  static_configs:\n  - targets: [%s]\n", quoted(p.Targets))
	return b.String()
}

func quoted(texts []string) string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = strconv.Quote(text)
	}
	return strings.Join(out, ", ")
}

// web says how the server is reached.
func (p Prometheus) web() (string, error) {
	var b strings.Builder
	if p.CertificatePath != "" {
		fmt.Fprintf(&b, "tls_server_config:\n  cert_file: %q\n  key_file: %q\n", p.CertificatePath, p.KeyPath)
		if p.ClientCertificates {
			fmt.Fprintf(&b, "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: %q\n", p.CAPath)
		}
	}
	if p.User != "" {
		hash, err := bcrypt.GenerateFromPassword([]byte(p.Password), bcrypt.MinCost)
		if err != nil {
			return "", fmt.Errorf("hashing a password for Prometheus: %w", err)
		}
		fmt.Fprintf(&b, "basic_auth_users:\n  %q: %q\n", p.User, hash)
	}
	return b.String(), nil
}

// ready asks whether the server has read its data.
func (p Prometheus) ready(ctx context.Context) error {
	transport := &http.Transport{DisableKeepAlives: true}
	if p.CertificatePath != "" {
		config, err := p.clientTLS()
		if err != nil {
			return err
		}
		transport.TLSClientConfig = config
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL()+"/-/ready", http.NoBody)
	if err != nil {
		return err
	}
	if p.User != "" {
		request.SetBasicAuth(p.User, p.Password)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answers with status %d", response.StatusCode)
	}
	return nil
}

func (p Prometheus) clientTLS() (*tls.Config, error) {
	authority, err := os.ReadFile(p.CAPath)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !config.RootCAs.AppendCertsFromPEM(authority) {
		return nil, errors.New("the authority's file holds no certificate")
	}
	if p.ClientCertificates {
		pair, err := tls.LoadX509KeyPair(p.ClientPath, p.ClientKeyPath)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
