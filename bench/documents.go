package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
)

// documents is a source over HTTP: each path is a document with a depth.
type documents struct {
	url    string
	server *http.Server

	mu       sync.Mutex
	asked    int
	distinct map[string]bool
}

func serveDocuments() (*documents, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve documents: %w", err)
	}
	d := &documents{url: "http://" + listener.Addr().String(), distinct: map[string]bool{}}
	d.server = &http.Server{Handler: d, ReadHeaderTimeout: time.Minute}
	go func() { _ = d.server.Serve(listener) }()
	return d, nil
}

func (d *documents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	d.asked++
	d.distinct[r.URL.Path] = true
	n := d.asked
	d.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"depth":%d}`, n)
}

func (d *documents) close() error { return d.server.Close() }

func (d *documents) counts() (asked, distinct int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked, len(d.distinct)
}

// awaitDistinct waits until that many documents were asked for.
func (d *documents) awaitDistinct(ctx context.Context, want int, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		_, got := d.counts()
		if got >= want {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d documents were asked for: %w", got, want, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// rate is how many documents are asked for per second, over a while.
func (d *documents) rate(ctx context.Context, over time.Duration) float64 {
	before, _ := d.counts()
	begin := time.Now()
	select {
	case <-ctx.Done():
	case <-time.After(over):
	}
	after, _ := d.counts()
	return float64(after-before) / time.Since(begin).Seconds()
}

// externalMetricsClient reads external.metrics.k8s.io through the aggregation
// layer, over a connection of its own and without a limit of its own.
func externalMetricsClient(config *rest.Config) (rest.Interface, error) {
	c := rest.CopyConfig(config)
	c.GroupVersion, c.APIPath = &v1beta1.SchemeGroupVersion, "/apis"
	c.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	c.QPS = -1
	// Clients of one configuration share connections.
	c.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	client, err := rest.RESTClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("set up a client of external metrics: %w", err)
	}
	return client, nil
}

// readMetric gives the value of a metric as text.
func readMetric(ctx context.Context, client rest.Interface, namespace, metric string) (string, error) {
	raw, err := client.Get().Namespace(namespace).Resource(metric).DoRaw(ctx)
	if err != nil {
		return "", err
	}
	var list v1beta1.ExternalMetricValueList
	if err := json.Unmarshal(raw, &list); err != nil {
		return "", fmt.Errorf("decode %s: %w", metric, err)
	}
	if len(list.Items) != 1 {
		return "", errors.New("not one value of " + metric)
	}
	return list.Items[0].Value.String(), nil
}
