package history

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Config says where the past is and how it is labelled. The defaults of the
// labels and metrics are upstream's.
type Config struct {
	// Address is Prometheus' URL; Insecure takes any certificate of it.
	Address  string
	Insecure bool
	// Timeout is what one query may take.
	Timeout time.Duration
	// Length is how far the past goes back, and Resolution the time between two
	// usages of it, as Prometheus writes durations: 8d and 1h.
	Length, Resolution string
	// Job is the label job of the containers' metrics, empty for any.
	Job string
	// CPUMetric counts seconds of CPU, MemoryMetric is the bytes in use.
	CPUMetric, MemoryMetric string
	// Namespace, Pod and Container are the labels of the containers' metrics.
	Namespace, Pod, Container string
	// Labels is an expression whose series have the pods' labels, under the prefix
	// LabelPrefix, and the pod in the labels LabelsNamespace and LabelsPod.
	Labels, LabelPrefix, LabelsNamespace, LabelsPod string
	Credentials
	// Through is laid around what sends requests, where it is not nil.
	Through func(http.RoundTripper) http.RoundTripper
}

// Credentials prove who asks: a token, or else a name and a password, or else
// nothing. A file is read for each query.
type Credentials struct {
	Username, Password           string
	BearerToken, BearerTokenFile string
}

// Defaults are upstream's.
func Defaults() Config {
	return Config{
		Address: "http://prometheus.monitoring.svc", Timeout: 5 * time.Minute, Length: "8d", Resolution: "1h",
		Job: "kubernetes-cadvisor", CPUMetric: "container_cpu_usage_seconds_total", MemoryMetric: "container_memory_working_set_bytes",
		Namespace: "namespace", Pod: "pod_name", Container: "name",
		Labels: `up{job="kubernetes-pods"}`, LabelPrefix: "pod_label_",
		LabelsNamespace: "kubernetes_namespace", LabelsPod: "kubernetes_pod_name",
	}
}

// Validate tells what cannot be used.
func (c Config) Validate() error {
	if address, err := url.Parse(c.Address); err != nil || address.Host == "" || (address.Scheme != "http" && address.Scheme != "https") {
		return fmt.Errorf("%q is no address of Prometheus", c.Address)
	}
	if c.Timeout <= 0 {
		return fmt.Errorf("the timeout %s is not above 0", c.Timeout)
	}
	for what, text := range map[string]string{"length": c.Length, "resolution": c.Resolution} {
		if d, err := model.ParseDuration(text); err != nil || d <= 0 {
			return fmt.Errorf("the history's %s %q is no duration above 0", what, text)
		}
	}
	if c.BearerToken != "" && c.BearerTokenFile != "" || c.Username != "" && (c.BearerToken != "" || c.BearerTokenFile != "") {
		return errors.New("a token, a token's file and a username exclude one another")
	}
	return nil
}

// token is the token to show, empty for none.
func (c Credentials) token() (string, error) {
	if c.BearerTokenFile == "" {
		return c.BearerToken, nil
	}
	content, err := os.ReadFile(c.BearerTokenFile)
	if err != nil {
		return "", fmt.Errorf("read the token for Prometheus: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}
