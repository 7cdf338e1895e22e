// Package policies is how the VPA's three binaries meet VerticalScalingPolicies:
// a cache of them by the VerticalPodAutoscaler that they are for, and the
// projection of the one that holds. The kind need not be installed, nor readable:
// then no object has a policy, until it can be read. It caches and projects; it
// writes nothing, decides nothing and knows no component. vpa-recommender alone
// shows on each policy what became of it.
package policies
