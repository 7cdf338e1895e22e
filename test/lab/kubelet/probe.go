package kubelet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/quartet-autoscaling/quartet/test/lab/supervisor"
)

const (
	loopback = "127.0.0.1"
	// readyLimit is how long WaitReady waits where its context says nothing shorter.
	readyLimit = 90 * time.Second
	// readyInterval is how often WaitReady makes the readiness probe, whatever its period: it waits for the first
	// success only.
	readyInterval = 50 * time.Millisecond
	logTail       = 8 << 10
)

// What Kubernetes assumes where a probe leaves it out.
const (
	defaultPeriod    = 10 * time.Second
	defaultTimeout   = time.Second
	defaultThreshold = 3
)

// WaitReady waits until the process runs and its readiness probe succeeds. The error says why it does not, with the
// end of its log.
func (p *Process) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	ticker := time.NewTicker(readyInterval)
	defer ticker.Stop()
	for {
		err := p.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return p.notReady(err)
		case <-p.pod.config.Background.Done():
			return p.notReady(context.Cause(p.pod.config.Background))
		case <-ticker.C:
		}
	}
}

// ready makes one attempt. The process that answers has to be the one that ran before it was asked.
func (p *Process) ready(ctx context.Context) error {
	p.mu.Lock()
	before, last := p.current, p.lastErr
	p.mu.Unlock()
	if before == nil {
		if last == nil {
			last = errNotRunning
		}
		return last
	}
	if probe := p.pod.container.ReadinessProbe; probe != nil {
		if err := p.pod.probe(ctx, probe); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != before {
		return errors.New("it was restarted meanwhile")
	}
	return nil
}

func (p *Process) notReady(err error) error {
	return fmt.Errorf("waiting for %s to be ready: %w; the end of %s:\n%s", p.pod.name, err, p.LogPath(), tail(p.LogPath()))
}

// watchLiveness kills the process when its liveness probe has failed often enough, or its startup probe has not
// succeeded in time. It ends with ctx.
func (p *Process) watchLiveness(ctx context.Context, process *supervisor.Process) {
	container := p.pod.container
	if startup := container.StartupProbe; startup != nil {
		if err := p.pod.await(ctx, startup); err != nil {
			p.unhealthy(ctx, process, fmt.Errorf("startup probe: %w", err))
			return
		}
	}
	if liveness := container.LivenessProbe; liveness != nil {
		err := p.pod.watch(ctx, liveness)
		p.unhealthy(ctx, process, fmt.Errorf("liveness probe: %w", err))
	}
}

func (p *Process) unhealthy(ctx context.Context, process *supervisor.Process, err error) {
	if ctx.Err() != nil {
		return
	}
	p.pod.config.Say("%s is unhealthy, ending it: %v", p.pod.name, err)
	if err := p.terminate(process); err != nil {
		p.pod.config.Say("ending the unhealthy %s: %v", p.pod.name, err)
	}
}

// await makes the probe until it succeeds or has failed as often as it may.
func (p *pod) await(ctx context.Context, probe *corev1.Probe) error {
	sleep(ctx, seconds(probe.InitialDelaySeconds, 0))
	var err error
	for range threshold(probe) {
		if err = p.probe(ctx, probe); err == nil || ctx.Err() != nil {
			return err
		}
		sleep(ctx, seconds(probe.PeriodSeconds, defaultPeriod))
	}
	return err
}

// watch makes the probe until it has failed as often in a row as it may, and returns the last failure.
func (p *pod) watch(ctx context.Context, probe *corev1.Probe) error {
	sleep(ctx, seconds(probe.InitialDelaySeconds, 0))
	for failures := 0; ; {
		err := p.probe(ctx, probe)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			failures = 0
		default:
			failures++
		}
		if failures >= threshold(probe) {
			return err
		}
		sleep(ctx, seconds(probe.PeriodSeconds, defaultPeriod))
	}
}

// probe makes the probe once.
func (p *pod) probe(ctx context.Context, probe *corev1.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, seconds(probe.TimeoutSeconds, defaultTimeout))
	defer cancel()
	if probe.TCPSocket != nil {
		address, err := p.address(probe.TCPSocket.Port)
		if err != nil {
			return err
		}
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return connection.Close()
	}
	address, err := p.address(probe.HTTPGet.Port)
	if err != nil {
		return err
	}
	scheme := strings.ToLower(string(probe.HTTPGet.Scheme))
	if scheme == "" {
		scheme = "http"
	}
	return get(ctx, scheme+"://"+address+probe.HTTPGet.Path)
}

// address resolves a probe's port, a number or the name of one of the container's.
func (p *pod) address(port intstr.IntOrString) (string, error) {
	number := port.IntValue()
	for _, named := range p.container.Ports {
		if port.Type == intstr.String && named.Name == port.StrVal {
			number = int(named.ContainerPort)
		}
	}
	if number == 0 {
		return "", fmt.Errorf("the container of %s has no port %s", p.name, port.String())
	}
	return net.JoinHostPort(loopback, strconv.Itoa(number)), nil
}

var probeClient = &http.Client{Transport: &http.Transport{
	TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // as a kubelet's probes do
	DisableKeepAlives: true,
}}

func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := probeClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= http.StatusOK && response.StatusCode < http.StatusBadRequest {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	return fmt.Errorf("%s answers %s: %s", url, response.Status, strings.TrimSpace(string(body)))
}

func seconds(value int32, otherwise time.Duration) time.Duration {
	if value <= 0 {
		return otherwise
	}
	return time.Duration(value) * time.Second
}

func threshold(probe *corev1.Probe) int {
	if probe.FailureThreshold <= 0 {
		return defaultThreshold
	}
	return int(probe.FailureThreshold)
}

// tail returns the end of a log, or why there is none.
func tail(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-logTail):])
}
