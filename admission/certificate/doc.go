// Package certificate keeps the serving certificate of the admission webhook:
// made and renewed under a CA of its own in a Secret, and trusted by the API
// server through the caBundle of the webhook configurations. Certificates are
// made and judged by open-policy-agent/cert-controller. Its own controller is
// not used, for three reasons: it watches every Secret of the namespace where
// one is enough, it waits for the kubelet to project the Secret into a file,
// which takes a minute or more after each rotation, and it replaces the CA and
// the certificate at once, so that pods which are made in between go unpatched.
// Here the certificate is served straight from the Secret, and a new CA is
// trusted beside the old one before anything that it signed is served.
//
// Replicas share the Secret: whoever comes first renews, and the others take
// over what they find.
package certificate
