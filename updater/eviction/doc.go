// Package eviction decides which pods of one VerticalPodAutoscaler are to be
// resized in place and which are to be evicted, so that they come back with what
// is recommended. It is pure: all it
// knows is in the snapshot, and the order of pods follows from their need alone.
// It computes no recommendation and sets no request: that is the recommender's
// and the admission webhook's. Disruption budgets are kept by the API server
// when a decision is carried out, not here.
package eviction
