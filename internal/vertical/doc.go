// Package vertical is how the updater and the admission webhook meet
// VerticalPodAutoscalers and what they scale: caches of the objects, of the
// controllers between a target and its pods, and of LimitRanges, and the
// projections that both take of them. It caches and asks; it decides nothing
// and knows no component.
package vertical
