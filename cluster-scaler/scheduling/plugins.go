package scheduling

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/interpodaffinity"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeaffinity"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodename"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeports"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/noderesources"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeunschedulable"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/podtopologyspread"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/tainttoleration"
)

// features are the gates that are on by default in the scheduler of 1.37 and
// that these plugins' filters look at.
var features = feature.Features{
	EnableNodeInclusionPolicyInPodTopologySpread: true,
	EnableMatchLabelKeysInPodTopologySpread:      true,
	EnableInPlacePodVerticalScaling:              true,
	EnablePodLevelResources:                      true,
}

type factory func(ctx context.Context, args runtime.Object, h fwk.Handle, f feature.Features) (fwk.Plugin, error)

// filters are in the order of the scheduler's default profile.
var filters = []struct {
	make factory
	args runtime.Object
}{
	{nodeunschedulable.New, nil},
	{nodename.New, nil},
	{tainttoleration.New, nil},
	{nodeaffinity.New, &config.NodeAffinityArgs{}},
	{nodeports.New, nil},
	{noderesources.NewFit, &config.NodeResourcesFitArgs{ScoringStrategy: &config.ScoringStrategy{
		// The validation wants a strategy; nothing is scored.
		Type: config.LeastAllocated, Resources: []config.ResourceSpec{{Name: "cpu", Weight: 1}},
	}}},
	// The system's default constraints only score, and filters are all we ask.
	{podtopologyspread.New, &config.PodTopologySpreadArgs{DefaultingType: config.ListDefaulting}},
	{interpodaffinity.New, &config.InterPodAffinityArgs{}},
}

func newFilters(h fwk.Handle) ([]fwk.FilterPlugin, error) {
	out := make([]fwk.FilterPlugin, 0, len(filters))
	for _, f := range filters {
		plugin, err := f.make(background(), f.args, h, features)
		if err != nil {
			return nil, fmt.Errorf("make a scheduler plugin: %w", err)
		}
		filter, ok := plugin.(fwk.FilterPlugin)
		if !ok {
			return nil, fmt.Errorf("the scheduler's plugin %s filters nothing", plugin.Name())
		}
		out = append(out, filter)
	}
	return out, nil
}
