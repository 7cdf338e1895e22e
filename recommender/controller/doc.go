// Package controller is the shell of the VPA recommender: it watches
// VerticalPodAutoscalers and pods, asks for their usage once a namespace and
// pass, and writes recommendations as status and history as checkpoints. What
// to recommend is the business of recommender/estimator; this package holds no
// rule, computes no reason, and changes no pod.
package controller
