// Package webhook is the shell of vpa-admission: it answers the API server's
// reviews of new pods and of VerticalPodAutoscalers, finds the object that scales
// a pod, and keeps the lease that the updater waits for. What a pod is to request
// is the business of admission/patch, and what is wrong with an object that of
// admission/validation; this package holds no rule. It never refuses a pod: what
// cannot be decided is left as it was sent.
//
// Reviews are served on a port of their own, --webhook-port, with the
// certificate of admission/certificate. The secure port asks the API server who
// calls, which a review cannot wait for, and its certificate is another's to
// make.
package webhook
