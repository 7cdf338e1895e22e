// Package resourcepolicy fits vertical recommendations to what may be asked for:
// the resource policy of a VerticalPodAutoscaler, the LimitRanges of a namespace
// and, where only requests are controlled, the limits of the container itself.
// It also keeps limits in the proportion that they had to the requests. It is
// exact integer arithmetic on quantities, the same for the recommender, the
// updater and the admission webhook; it makes no recommendation and decides
// nothing about pods.
package resourcepolicy
