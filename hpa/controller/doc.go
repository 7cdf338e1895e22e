// Package controller is the shell of the HPA controller: it watches
// HorizontalPodAutoscalers and pods, gathers what a decision needs, carries
// decisions out on scale subresources, and shows them as status, events, logs,
// metrics and last decisions. What to decide is the business of hpa/replicas;
// this package holds no rule and computes no reason.
package controller
