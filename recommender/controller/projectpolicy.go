package controller

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// The annotation by which an object asks for CPU in whole cores: the prefix, a
// container's name and the suffix, with the value "true".
const (
	wholePrefix = "vpa-post-processor.kubernetes.io/"
	wholeSuffix = "_integerCPU"
)

// wholeCPU are the containers whose CPU is to be rounded up to whole cores,
// sorted.
func wholeCPU(annotations map[string]string) []string {
	var names []string
	for key, value := range annotations {
		name, found := strings.CutPrefix(key, wholePrefix)
		if !found || value != "true" {
			continue
		}
		if name, found = strings.CutSuffix(name, wholeSuffix); found && name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// tuning takes over the fields of the alpha feature PerVPAConfig.
func tuning(p *vpav1.ContainerResourcePolicy) estimator.Tuning {
	out := estimator.Tuning{OOMRatio: number(p.OOMBumpUpRatio), OOMBytes: number(p.OOMMinBumpUp)}
	if seconds := p.MemoryAggregationIntervalSeconds; seconds != nil {
		out.PeakInterval = time.Duration(*seconds) * time.Second
	}
	if count := p.MemoryAggregationIntervalCount; count != nil {
		out.PeakIntervals = *count
	}
	return out
}

// number is a quantity to the thousandth, as upstream reads it; nil for none.
func number(q *resource.Quantity) *float64 {
	if q == nil {
		return nil
	}
	v := float64(q.MilliValue()) / 1000
	return &v
}
