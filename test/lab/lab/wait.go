package lab

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// pollInterval is how often a condition is looked at. It costs a request to a server on this machine.
const pollInterval = 50 * time.Millisecond

// wait names what is waited for and how long it may take.
type wait struct {
	what  string
	limit time.Duration
	log   string // the name of the process whose log to quote; empty: none
}

// until calls ready until it returns nil. It ends early, with an error, when ctx does, or the lab.
func (l *Lab) until(ctx context.Context, w wait, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, w.limit)
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return l.notReady(w, err)
		case <-l.failed:
			return fmt.Errorf("waiting for %s: %w", w.what, l.Err())
		case <-l.background.Done():
			return fmt.Errorf("waiting for %s: %w", w.what, context.Cause(l.background))
		case <-ticker.C:
		}
	}
}

func (l *Lab) notReady(w wait, last error) error {
	err := fmt.Errorf("waiting for %s, at most %s: %w", w.what, w.limit, last)
	if w.log == "" {
		return err
	}
	return fmt.Errorf("%w; the end of %s:\n%s", err, l.logPath(w.log), tail(l.logPath(w.log)))
}

// insecure speaks to servers on this machine whose certificate does not matter: health checks only.
var insecure = &http.Client{
	Timeout: 5 * time.Second,
	Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // as a kubelet's probes do
		DisableKeepAlives: true,
	},
}

// healthy asks a server for a page that needs no rights and wants 200.
func healthy(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := insecure.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, 2<<10))
	return fmt.Errorf("%s answers %s: %s", url, response.Status, strings.TrimSpace(string(body)))
}
