package main

import (
	"context"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

// ampleRequests are arguments under which upstream's controller is not held back
// by the limit of its own on requests (20 a second by default).
var ampleRequests = []string{"--kube-api-qps=10000", "--kube-api-burst=20000"}

// upstreamHPA is upstream's controller alone in its controller manager, at its own
// defaults but for the arguments.
func upstreamHPA(name string, args ...string) contender {
	return contender{name: name, start: func(ctx context.Context, l *lab.Lab) (running, error) {
		u, err := l.RunUpstreamHPA(args...)
		return ofUpstream(ctx, u, err)
	}}
}

// ourHPA is hpa-controller as the chart installs it, at its own defaults but for
// the arguments.
func ourHPA(args ...string) contender {
	return contender{name: "ours", start: func(ctx context.Context, l *lab.Lab) (running, error) {
		return ofChart(ctx, l, "hpa-controller", map[string]any{
			"metricsAdapter": map[string]any{"enabled": false},
			"hpaController":  map[string]any{"extraArgs": extraArgs(args)},
		})
	}}
}
