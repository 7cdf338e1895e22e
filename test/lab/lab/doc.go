// Package lab starts and stops real Kubernetes control planes on this machine, without containers: etcd,
// kube-apiserver, kube-controller-manager, kube-scheduler, and kwok for nodes and pods that exist in the API only,
// optionally with metrics-server and with upstream's HPA controller. Labs run side by side on free ports, each in a
// folder of its own under the cache, and nothing of one survives the program that started it.
//
// It also installs the suite's chart the way a cluster would, except that it plays the kubelet: each rendered
// Deployment's container runs as a process on the host, with its arguments, environment, mounts and service account
// token, and so under exactly the rights that the chart renders.
//
// What it is not: a cluster. Pods run nothing and have no network; pod proxy, logs and exec answer nothing useful.
package lab
