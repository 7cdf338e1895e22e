package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

// hpaSide is a controller of HPAs that is measured.
type hpaSide struct {
	name  string
	start func(ctx context.Context, l *lab.Lab) (hpaProcess, error)
}

// hpaProcess is one that runs.
type hpaProcess struct {
	pid  int
	url  string
	stop func() error
}

// ampleRequests are arguments under which upstream's controller is not held back
// by the limit of its own on requests (20 a second by default).
var ampleRequests = []string{"--kube-api-qps=10000", "--kube-api-burst=20000"}

// upstreamHPA is upstream's controller alone in its controller manager, at its own
// defaults but for the arguments.
func upstreamHPA(name string, args ...string) hpaSide {
	return hpaSide{name: name, start: func(ctx context.Context, l *lab.Lab) (hpaProcess, error) {
		u, err := l.RunUpstreamHPA(args...)
		if err != nil {
			return hpaProcess{}, err
		}
		return hpaProcess{pid: u.PID(), url: u.URL(), stop: u.Stop}, u.WaitReady(ctx)
	}}
}

// ourHPA is hpa-controller as the chart installs it, at its own defaults but for
// the arguments.
func ourHPA(args ...string) hpaSide {
	return hpaSide{name: "ours", start: func(ctx context.Context, l *lab.Lab) (hpaProcess, error) {
		extra := make([]any, len(args))
		for i, arg := range args {
			extra[i] = arg
		}
		release, err := l.InstallChart(ctx, lab.ChartOptions{Values: map[string]any{
			"metricsAdapter": map[string]any{"enabled": false},
			"hpaController":  map[string]any{"extraArgs": extra},
		}})
		if err != nil {
			return hpaProcess{}, err
		}
		process := release.Process("hpa-controller")
		if process == nil {
			return hpaProcess{}, errors.New("the chart has no hpa-controller")
		}
		if err := process.WaitReady(ctx); err != nil {
			return hpaProcess{}, err
		}
		url, err := process.URL()
		if err != nil {
			return hpaProcess{}, fmt.Errorf("find hpa-controller: %w", err)
		}
		if n := process.Restarts(); n > 0 {
			return hpaProcess{}, fmt.Errorf("hpa-controller was started again %d times: see %s", n, process.LogPath())
		}
		return hpaProcess{pid: process.PID(), url: url, stop: process.Stop}, nil
	}}
}
