// Package health is the readiness and liveness of a process as named checks
// whose details anyone may read: the generic API server's own health endpoints
// withhold reasons, and "which source is down" is just what an operator asks.
// Details must therefore never hold a credential or a tenant's data. Deciding
// what is healthy is the caller's business.
package health

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// timeout bounds one check, so that a hanging source makes a process unready
// instead of making its probe hang.
const timeout = 2 * time.Second

// Check is one named question. Detail says how things are in a few words, also
// where all is well, and may be empty. It is called at every probe, so it reads
// what is known and does no work.
type Check struct {
	// Name is lower case with dashes and appears in the endpoint's path.
	Name string
	Func func(ctx context.Context) (detail string, err error)
}

// Checks are the checks of one endpoint. The zero value is ready to use and
// healthy. It is safe for concurrent use.
type Checks struct {
	mu     sync.RWMutex
	checks []Check
}

// Add appends checks. A name that is taken already is an error.
func (c *Checks) Add(checks ...Check) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, check := range checks {
		if check.Name == "" || check.Func == nil || strings.ContainsAny(check.Name, "/?&= ") {
			return fmt.Errorf("health check %q needs a function and a name that fits a path", check.Name)
		}
		if slices.ContainsFunc(c.checks, func(have Check) bool { return have.Name == check.Name }) {
			return fmt.Errorf("there are two health checks named %s", check.Name)
		}
		c.checks = append(c.checks, check)
	}
	return nil
}

// Result is the answer of one check.
type Result struct {
	Name, Detail string
	Err          error
}

// String is one line: [+]name ok, [+]name ok: detail, or [-]name failed: why.
func (r Result) String() string {
	switch {
	case r.Err != nil && r.Detail != "":
		return fmt.Sprintf("[-]%s failed: %v (%s)", r.Name, r.Err, r.Detail)
	case r.Err != nil:
		return fmt.Sprintf("[-]%s failed: %v", r.Name, r.Err)
	case r.Detail != "":
		return fmt.Sprintf("[+]%s ok: %s", r.Name, r.Detail)
	}
	return fmt.Sprintf("[+]%s ok", r.Name)
}

// Run asks the checks that want agrees to, in the order they were added, all at
// the same time. A nil want means all.
func (c *Checks) Run(ctx context.Context, want func(name string) bool) []Result {
	c.mu.RLock()
	checks := slices.Clone(c.checks)
	c.mu.RUnlock()
	if want != nil {
		checks = slices.DeleteFunc(checks, func(check Check) bool { return !want(check.Name) })
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	results := make([]Result, len(checks))
	var asked sync.WaitGroup
	for i, check := range checks {
		asked.Go(func() { results[i] = ask(ctx, check) })
	}
	asked.Wait()
	return results
}

// ask runs one check and stops waiting for it when the context ends.
func ask(ctx context.Context, check Check) Result {
	answered := make(chan Result, 1)
	go func() {
		detail, err := check.Func(ctx)
		answered <- Result{Name: check.Name, Detail: detail, Err: err}
	}()
	select {
	case result := <-answered:
		return result
	case <-ctx.Done():
		return Result{Name: check.Name, Err: fmt.Errorf("no answer within %s", timeout)}
	}
}

// Handler serves the checks below path: path itself for all of them, path/name
// for one, "?exclude=name" to leave some out, "?verbose" to list them also
// where all is well. It answers 200 with "ok", or 503 with the list.
func (c *Checks) Handler(path string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.Trim(strings.TrimPrefix(r.URL.Path, path), "/")
		excluded := r.URL.Query()["exclude"]
		results := c.Run(r.Context(), func(check string) bool {
			if name != "" {
				return check == name
			}
			return !slices.Contains(excluded, check)
		})
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache, no-store")
		if name != "" && len(results) == 0 {
			http.Error(w, "no check is named "+name, http.StatusNotFound)
			return
		}
		write(w, strings.TrimPrefix(path, "/"), results, r.URL.Query().Has("verbose") || name != "")
	})
}

func write(w http.ResponseWriter, endpoint string, results []Result, verbose bool) {
	var lines strings.Builder
	var failed error
	for _, result := range results {
		failed = errors.Join(failed, result.Err)
		fmt.Fprintln(&lines, result)
	}
	switch {
	case failed != nil:
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintf(&lines, "%s check failed\n", endpoint)
	case !verbose:
		lines.Reset()
		lines.WriteString("ok")
	default:
		fmt.Fprintf(&lines, "%s check passed\n", endpoint)
	}
	// A client that went away needs no answer.
	_, _ = w.Write([]byte(lines.String()))
}
