package history

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	prometheus "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// Reader asks Prometheus.
type Reader struct {
	api                prometheus.API
	config             Config
	length, resolution time.Duration
}

// New makes a reader. It asks nothing yet.
func New(c Config) (*Reader, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	length, err := model.ParseDuration(c.Length)
	if err != nil {
		return nil, err
	}
	resolution, err := model.ParseDuration(c.Resolution)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if c.Insecure {
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true} //nolint:gosec // asked for by flag
	}
	var sent http.RoundTripper = transport
	if c.Through != nil {
		sent = c.Through(transport)
	}
	client, err := api.NewClient(api.Config{Address: c.Address, RoundTripper: &authorized{credentials: c.Credentials, next: sent}})
	if err != nil {
		return nil, fmt.Errorf("make a client of Prometheus: %w", err)
	}
	return &Reader{api: prometheus.NewAPI(client), config: c, length: time.Duration(length), resolution: time.Duration(resolution)}, nil
}

// authorized adds who asks to each request.
type authorized struct {
	credentials Credentials
	next        http.RoundTripper
}

// RoundTrip sends the request with its credentials.
func (a *authorized) RoundTrip(request *http.Request) (*http.Response, error) {
	token, err := a.credentials.token()
	if err != nil {
		return nil, err
	}
	switch {
	case token != "":
		request = request.Clone(request.Context())
		request.Header.Set("Authorization", "Bearer "+token)
	case a.credentials.Username != "" && a.credentials.Password != "":
		request = request.Clone(request.Context())
		request.SetBasicAuth(a.credentials.Username, a.credentials.Password)
	}
	return a.next.RoundTrip(request)
}

// Pods are usages by pod and container, in the order of time.
type Pods map[string]map[string][]estimator.Usage

// Usage reads what the pods of a namespace used until now.
func (r *Reader) Usage(ctx context.Context, namespace string, now time.Time) (Pods, error) {
	pods := Pods{}
	selector := r.selector(namespace)
	for _, of := range []struct {
		resource, query string
		set             func(*estimator.Amounts, float64)
	}{
		{"CPU", fmt.Sprintf("rate(%s{%s}[%s])", r.config.CPUMetric, selector, r.config.Resolution),
			func(a *estimator.Amounts, cores float64) { a.CPU = whole(cores * 1000) }},
		{"memory", fmt.Sprintf("%s{%s}", r.config.MemoryMetric, selector),
			func(a *estimator.Amounts, bytes float64) { a.Memory = whole(bytes) }},
	} {
		if err := r.read(ctx, pods, of.query, now, of.set); err != nil {
			return nil, fmt.Errorf("read the past %s of namespace %s: %w", of.resource, namespace, err)
		}
	}
	for _, containers := range pods {
		for _, usages := range containers {
			slices.SortStableFunc(usages, func(a, b estimator.Usage) int { return a.At.Compare(b.At) })
		}
	}
	return pods, nil
}

// selector picks the series of the namespace's containers.
func (r *Reader) selector(namespace string) string {
	c := r.config
	parts := []string{
		c.Pod + `=~".+"`, c.Container + `!="POD"`, c.Container + `!=""`, fmt.Sprintf("%s=%q", c.Namespace, namespace),
	}
	if c.Job != "" {
		parts = append([]string{fmt.Sprintf("job=%q", c.Job)}, parts...)
	}
	return strings.Join(parts, ", ")
}

func (r *Reader) read(ctx context.Context, pods Pods, query string, now time.Time, set func(*estimator.Amounts, float64)) error {
	ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	value, _, _, err := r.api.QueryRange(ctx, query, prometheus.Range{Start: now.Add(-r.length), End: now, Step: r.resolution})
	if err != nil {
		return err
	}
	matrix, ok := value.(model.Matrix)
	if !ok {
		return fmt.Errorf("the answer is a %s and not a matrix", value.Type())
	}
	for _, series := range matrix {
		pod, container := string(series.Metric[model.LabelName(r.config.Pod)]), string(series.Metric[model.LabelName(r.config.Container)])
		if pod == "" || container == "" {
			continue
		}
		if pods[pod] == nil {
			pods[pod] = map[string][]estimator.Usage{}
		}
		for _, sample := range series.Values {
			usage := estimator.Usage{At: sample.Timestamp.Time().UTC()}
			set(&usage.Amounts, float64(sample.Value))
			pods[pod][container] = append(pods[pod][container], usage)
		}
	}
	return nil
}

// most is the largest amount, as the estimator has it.
const most = 1e14

// whole cuts a number to a whole amount.
func whole(x float64) *int64 {
	v := int64(0)
	switch {
	case x > most:
		v = most
	case x > 0:
		v = int64(x)
	}
	return &v
}

// Labels reads the labels that pods had last, by namespace and pod. Prometheus
// writes _ for what its labels' names cannot have: so do the keys.
func (r *Reader) Labels(ctx context.Context, now time.Time) (map[string]map[string]map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	value, _, _, err := r.api.Query(ctx, r.config.Labels, now)
	if err != nil {
		return nil, fmt.Errorf("read the labels of past pods: %w", err)
	}
	found := &labelled{config: r.config, labels: map[string]map[string]map[string]string{}, seen: map[string]model.Time{}}
	switch value := value.(type) {
	case model.Matrix:
		for _, series := range value {
			if n := len(series.Values); n > 0 {
				found.take(series.Metric, series.Values[n-1].Timestamp)
			}
		}
	case model.Vector:
		for _, sample := range value {
			found.take(sample.Metric, sample.Timestamp)
		}
	default:
		return nil, fmt.Errorf("read the labels of past pods: the answer is a %s", value.Type())
	}
	return found.labels, nil
}

// labelled gathers the labels of each pod's latest series.
type labelled struct {
	config Config
	labels map[string]map[string]map[string]string
	seen   map[string]model.Time
}

func (l *labelled) take(metric model.Metric, at model.Time) {
	namespace, pod := string(metric[model.LabelName(l.config.LabelsNamespace)]), string(metric[model.LabelName(l.config.LabelsPod)])
	if namespace == "" || pod == "" {
		return
	}
	if last, known := l.seen[namespace+"/"+pod]; known && !at.After(last) {
		return
	}
	l.seen[namespace+"/"+pod] = at
	own := map[string]string{}
	for name, value := range metric {
		if key, prefixed := strings.CutPrefix(string(name), l.config.LabelPrefix); prefixed && key != "" {
			own[key] = string(value)
		}
	}
	if l.labels[namespace] == nil {
		l.labels[namespace] = map[string]map[string]string{}
	}
	l.labels[namespace][pod] = own
}
