package main

import (
	"context"
	"strconv"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

// upstreamRecommender is upstream's recommender, at its own defaults but for the
// arguments.
func upstreamRecommender(name string, args ...string) contender {
	return contender{name: name, start: func(ctx context.Context, l *lab.Lab) (running, error) {
		u, err := l.RunUpstreamVPA(ctx, lab.VPARecommender, args...)
		return ofUpstream(ctx, u, err)
	}}
}

// ourRecommender is vpa-recommender as the chart installs it, at its own defaults
// but for the arguments, on so many processors; 0 takes what there are.
func ourRecommender(processors int, args ...string) contender {
	return contender{name: "ours", start: func(ctx context.Context, l *lab.Lab) (running, error) {
		values := map[string]any{"enabled": true, "extraArgs": extraArgs(args)}
		if processors > 0 {
			values["extraEnv"] = []any{map[string]any{"name": "GOMAXPROCS", "value": strconv.Itoa(processors)}}
		}
		return ofChart(ctx, l, "vpa-recommender", onlyVPA("vpaRecommender", values))
	}}
}

// upstreamAdmission is upstream's admission controller, at its own defaults.
func upstreamAdmission() contender {
	return contender{name: "upstream", start: func(ctx context.Context, l *lab.Lab) (running, error) {
		u, err := l.RunUpstreamVPA(ctx, lab.VPAAdmission)
		return ofUpstream(ctx, u, err)
	}}
}

// ourAdmission is vpa-admission as the chart installs it.
func ourAdmission() contender {
	return contender{name: "ours", start: func(ctx context.Context, l *lab.Lab) (running, error) {
		return ofChart(ctx, l, "vpa-admission", onlyVPA("vpaAdmission", map[string]any{"enabled": true}))
	}}
}

// onlyVPA are the chart's values for one component of the VPA, in a cluster that has
// upstream's custom resources.
func onlyVPA(component string, values map[string]any) map[string]any {
	return map[string]any{
		"crds":           map[string]any{"installVPA": false},
		"metricsAdapter": map[string]any{"enabled": false},
		"hpaController":  map[string]any{"enabled": false},
		component:        values,
	}
}
