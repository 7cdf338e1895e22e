package vpa

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// youngExplained takes LowConfidence away, where it is true.
func (d *recommenders) youngExplained(name string, our *vpav1.VerticalPodAutoscalerStatus) {
	young := false
	if r := our.Recommendation; r != nil {
		for _, c := range r.ContainerRecommendations {
			if len(c.Target) > 0 {
				for resource, interval := range map[corev1.ResourceName]time.Duration{
					corev1.ResourceCPU: d.c.options.Rules.CPU.Confidence, corev1.ResourceMemory: d.c.options.Rules.Memory.Confidence,
				} {
					_, given := c.Target[resource]
					young = young || given && estimator.Confidence(d.our.state[name].Learned[c.ContainerName], interval) < 1
				}
			}
		}
	}
	shown := false
	our.Conditions = slices.DeleteFunc(our.Conditions, func(c vpav1.VerticalPodAutoscalerCondition) bool {
		if strings.HasPrefix(string(c.Type), "Quartet") {
			// What ours tells of beside upstream.
			return true
		}
		if c.Type != vpav1.LowConfidence {
			return false
		}
		shown = true
		return true
	})
	if shown {
		d.r.explained[headingYoung]++
	}
	if shown != young {
		d.r.differences = append(d.r.differences, fmt.Sprintf("%s: LowConfidence is shown: %v, and true: %v", name, shown, young))
	}
}

// maximumExplained takes the condition of a kill at the maximum away.
func (d *recommenders) maximumExplained(our *vpav1.VerticalPodAutoscalerStatus) {
	our.Conditions = slices.DeleteFunc(our.Conditions, func(c vpav1.VerticalPodAutoscalerCondition) bool {
		if c.Type != estimator.OOMAtMaximum {
			return false
		}
		d.r.explained[headingAtMost]++
		return true
	})
}

// missingExplained takes over what ours still recommends without a target.
func (d *recommenders) missingExplained(v *vpav1.VerticalPodAutoscaler, up, our *vpav1.VerticalPodAutoscalerStatus) {
	if d.c.target(v).lost == 0 || our.Recommendation == nil || up.Recommendation != nil && len(up.Recommendation.ContainerRecommendations) > 0 {
		return
	}
	d.r.explained[headingMissing]++
	up.Recommendation = our.Recommendation.DeepCopy()
}

// unknownExplained drops what upstream recommends without any sample, which is the
// floor, or takes over what ours keeps of before.
func (d *recommenders) unknownExplained(name string, up, our *vpav1.VerticalPodAutoscalerStatus) {
	if up.Recommendation == nil || our.Recommendation == nil {
		return
	}
	before := d.before[name]
	up.Recommendation.ContainerRecommendations = slices.DeleteFunc(up.Recommendation.ContainerRecommendations, func(c vpav1.RecommendedContainerResources) bool {
		dropped := false
		for _, resource := range d.unknown(name, c.ContainerName) {
			if _, given := c.Target[resource]; !given {
				continue
			}
			d.r.explained[headingUnknown]++
			dropped = true
			mine := lists(recommended(our.Recommendation, c.ContainerName))
			for l, list := range lists(&c) {
				delete(list, resource)
				value, held := mine[l][resource]
				if kept, had := keptOf(&before, c.ContainerName, l)[resource]; held && had && kept.Cmp(value) == 0 {
					list[resource] = value
				}
			}
		}
		return dropped && len(c.Target) == 0
	})
}

// unknown are the resources of a container that ours has no sample of.
func (d *recommenders) unknown(name, container string) []corev1.ResourceName {
	s, learned := d.our.schemes(), d.our.state[name].Learned[container]
	var out []corev1.ResourceName
	if s.CPU.Empty(learned.CPU) {
		out = append(out, corev1.ResourceCPU)
	}
	if s.Memory.Empty(learned.Memory) {
		out = append(out, corev1.ResourceMemory)
	}
	return out
}

// keptOf is one of a container's lists in a status.
func keptOf(s *vpav1.VerticalPodAutoscalerStatus, container string, list int) corev1.ResourceList {
	if s.Recommendation == nil {
		return nil
	}
	return lists(recommended(s.Recommendation, container))[list]
}

func lists(c *vpav1.RecommendedContainerResources) []corev1.ResourceList {
	return []corev1.ResourceList{c.Target, c.LowerBound, c.UpperBound, c.UncappedTarget}
}

// provided levels the condition RecommendationProvided to what is left of the
// recommendation, and later the time since when it holds.
func (d *recommenders) provided(name string, up, our *vpav1.VerticalPodAutoscalerStatus) {
	find := func(s *vpav1.VerticalPodAutoscalerStatus) *vpav1.VerticalPodAutoscalerCondition {
		for i := range s.Conditions {
			if s.Conditions[i].Type == vpav1.RecommendationProvided {
				return &s.Conditions[i]
			}
		}
		return nil
	}
	theirs, mine := find(up), find(our)
	if theirs == nil || mine == nil {
		return
	}
	left := up.Recommendation != nil && len(up.Recommendation.ContainerRecommendations) > 0
	if left != (theirs.Status == corev1.ConditionTrue) {
		d.moved[name] = true
		theirs.Status, theirs.Reason, theirs.Message = mine.Status, mine.Reason, mine.Message
		if left != (mine.Status == corev1.ConditionTrue) {
			d.r.differences = append(d.r.differences, name+": RecommendationProvided is not so")
		}
	}
	if d.moved[name] {
		theirs.LastTransitionTime = mine.LastTransitionTime
	}
}

// The part by which percentiles are off by the order of additions, and by what a
// checkpoint rounds and upstream leaves out of sums.
const (
	addition = 1e-9
	rounding = 3e-3
)

// orderExplained takes over values that upstream itself might recommend, depending
// on the order in which it adds up weights and on what it leaves out: those of
// percentiles that are off by as little as that.
func (d *recommenders) orderExplained(v *vpav1.VerticalPodAutoscaler, up, our *vpav1.VerticalPodAutoscalerStatus) {
	if !d.summed || up.Recommendation == nil || our.Recommendation == nil || d.c.target(v).lost > 0 {
		return
	}
	if slices.Equal(statusLines(up), statusLines(our)) {
		return
	}
	off := addition
	if d.restarted {
		off = rounding
	}
	near := []*vpav1.RecommendedPodResources{d.up.near(v, -off), d.up.near(v, off)}
	for i := range up.Recommendation.ContainerRecommendations {
		theirs := &up.Recommendation.ContainerRecommendations[i]
		mine := recommended(our.Recommendation, theirs.ContainerName)
		for l, list := range lists(theirs) {
			for name, value := range list {
				have, given := lists(mine)[l][name]
				if !given || have.Cmp(value) == 0 {
					continue
				}
				for _, n := range near {
					if other := lists(recommended(n, theirs.ContainerName))[l][name]; other.Cmp(have) == 0 {
						list[name] = have
						d.r.explained[headingOrder]++
						break
					}
				}
			}
		}
	}
}

// recommended is a container's, empty where there is none.
func recommended(r *vpav1.RecommendedPodResources, container string) *vpav1.RecommendedContainerResources {
	for i := range r.ContainerRecommendations {
		if r.ContainerRecommendations[i].ContainerName == container {
			return &r.ContainerRecommendations[i]
		}
	}
	return &vpav1.RecommendedContainerResources{}
}
