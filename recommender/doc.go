// Package recommender is the room of vpa-recommender: it will learn the usage of
// containers and write recommendations into VerticalPodAutoscalers and their
// checkpoints. Its histograms (recommender/histogram) and estimators
// (recommender/estimator) will be pure, its checkpoints a codec, and its
// controller the only part that talks to a cluster. It changes no pod: that is
// the updater's and the admission webhook's. No binary of this version serves it.
package recommender
