// Package recommender is the room of vpa-recommender: it learns the usage of
// containers and writes recommendations into VerticalPodAutoscalers and history
// into their checkpoints. Its histograms (recommender/histogram) and rules
// (recommender/estimator) are pure, its checkpoints a codec
// (recommender/checkpoint), and its controller (recommender/controller) the only
// part that talks to a cluster. It changes no pod: that is the updater's and the
// admission webhook's. This package itself holds nothing but that.
package recommender
