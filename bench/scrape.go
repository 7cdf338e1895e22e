package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"k8s.io/client-go/rest"
)

// scraper reads /metrics of a server of a lab as its administrator.
type scraper struct {
	client *http.Client
	url    string
}

// newScraper takes access to a cluster, and the address of a server that knows the
// cluster's users; an empty one is the API server's.
func newScraper(config *rest.Config, url string) (*scraper, error) {
	c := config
	if url != "" {
		c = directly(config, url)
	}
	client, err := rest.HTTPClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("set up a client of metrics: %w", err)
	}
	return &scraper{client: client, url: c.Host + "/metrics"}, nil
}

// directly is the same user at a server of the cluster's own, on loopback and under a
// certificate of its own.
func directly(config *rest.Config, url string) *rest.Config {
	c := rest.CopyConfig(config)
	c.Host = url
	c.CAData, c.CAFile, c.Insecure = nil, "", true
	return c
}

// counts are the series of one metric, by their labels as the server wrote them.
type counts map[string]float64

// sum adds all up.
func (c counts) sum() (total float64) {
	for _, v := range c {
		total += v
	}
	return total
}

// since is what was added after an earlier reading.
func (c counts) since(before counts) counts {
	out := counts{}
	for labels, v := range c {
		if d := v - before[labels]; d != 0 {
			out[labels] = d
		}
	}
	return out
}

// read gives all series of one metric.
func (s *scraper) read(ctx context.Context, metric string) (counts, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.url, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.url, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read %s: %s: %.200s", s.url, response.Status, body)
	}
	return seriesOf(body, metric)
}

// seriesOf finds a metric's series in Prometheus' text format.
func seriesOf(text []byte, metric string) (counts, error) {
	out := counts{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		rest, found := strings.CutPrefix(lines.Text(), metric)
		if !found || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		labels, value := "", strings.TrimSpace(rest)
		if end := strings.LastIndexByte(rest, '}'); end > 0 {
			labels, value = rest[1:end], strings.TrimSpace(rest[end+1:])
		}
		v, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
		if err != nil {
			return nil, fmt.Errorf("read a value of %s: %w", metric, err)
		}
		out[labels] = v
	}
	return out, lines.Err()
}

// label is the value of one of the labels of a series; empty where it has none of
// the name.
func label(labels, name string) string {
	_, after, found := strings.Cut(","+labels, ","+name+`="`)
	if !found {
		return ""
	}
	value, _, _ := strings.Cut(after, `"`)
	return value
}
