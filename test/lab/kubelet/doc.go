// Package kubelet runs the container of a Deployment as a process on this machine, as far as a test of its behaviour
// needs: its command, arguments and environment, the volumes that Secrets and ConfigMaps fill and that follow their
// changes, its service account's token, its probes, and restarts with a pause that grows.
//
// It knows one container per pod and one pod per Deployment, since two would want the same port of one machine. It
// isolates nothing, honours no resource limits, and neither creates nor updates Pod objects.
package kubelet
