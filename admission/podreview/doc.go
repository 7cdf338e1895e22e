// Package podreview reads of a review of a new pod (AdmissionReview of
// admission.k8s.io/v1) what a decision on the pod needs, and passes over the rest
// of the bytes: a pod is mostly volumes, probes and managed fields, and the API
// server waits. It is pure. What it reads it reads as encoding/json does; of what
// it passes over it only finds the end. It decides nothing and knows no VPA.
package podreview
