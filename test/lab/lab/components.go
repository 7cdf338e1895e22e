package lab

import (
	"path/filepath"
	"strconv"
	"strings"

	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

const (
	serviceRange   = "10.0.0.0/16"
	firstServiceIP = "10.0.0.1"
	podRange       = "10.128.0.0/12"
	etcdData       = "etcd"
	hpaController  = "horizontal-pod-autoscaler-controller"
)

// component is one process of the control plane.
type component struct {
	name string // of its program and of its log
	port int    // where it answers health checks, if it is asked for any
	args []string
}

func (l *Lab) etcd(clientPort, peerPort int) component {
	client, peer := localURL("http", clientPort), localURL("http", peerPort)
	return component{name: toolchain.Etcd, port: clientPort, args: []string{
		"--data-dir=" + filepath.Join(l.folder.path, etcdData),
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=default=" + peer,
		"--unsafe-no-fsync", // A lab's data need not survive a crash of the machine.
		"--quota-backend-bytes=8589934592",
		"--log-level=warn",
	}}
}

func (l *Lab) apiServer(c *credentials, port, etcdPort int) component {
	return component{name: toolchain.APIServer, port: port, args: []string{
		"--etcd-servers=" + localURL("http", etcdPort),
		"--bind-address=" + loopback, "--advertise-address=" + loopback, "--secure-port=" + strconv.Itoa(port),
		"--endpoint-reconciler-type=none", // It would refuse to publish a loopback address.
		"--tls-cert-file=" + c.serving.cert, "--tls-private-key-file=" + c.serving.key,
		"--client-ca-file=" + c.ca,
		"--authorization-mode=RBAC",
		"--service-cluster-ip-range=" + serviceRange,
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.tokenKeyPub, "--service-account-signing-key-file=" + c.tokenKey,
		// Without these no aggregated API works.
		"--requestheader-client-ca-file=" + c.frontProxyCA, "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=" + c.frontProxy.cert, "--proxy-client-key-file=" + c.frontProxy.key,
		"--max-requests-inflight=3000", "--max-mutating-requests-inflight=1000",
		"--allow-privileged",
		"--profiling=false",
	}}
}

func (l *Lab) controllerManager(c *credentials, port int) component {
	controllers := "--controllers=*"
	switch {
	case len(l.options.Controllers) > 0:
		controllers = "--controllers=" + strings.Join(l.options.Controllers, ",")
	case !l.options.UpstreamHPA:
		controllers += ",-" + hpaController
	}
	return component{name: toolchain.ControllerManager, port: port, args: append(c.delegated(c.controllers, port),
		controllers,
		"--leader-elect=false",
		"--use-service-account-credentials",
		"--root-ca-file="+c.ca, "--service-account-private-key-file="+c.tokenKey,
		"--kube-api-qps=500", "--kube-api-burst=1000",
	)}
}

func (l *Lab) scheduler(c *credentials, port int) component {
	return component{name: toolchain.Scheduler, port: port, args: append(c.delegated(c.scheduler, port),
		"--leader-elect=false",
		"--kube-api-qps=500", "--kube-api-burst=1000",
	)}
}

// delegated are the arguments of a server that asks the API server who its callers are.
func (c *credentials) delegated(kubeconfig string, port int) []string {
	return []string{
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig, "--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=" + loopback, "--secure-port=" + strconv.Itoa(port),
		"--tls-cert-file=" + c.serving.cert, "--tls-private-key-file=" + c.serving.key,
	}
}

func (l *Lab) kwok(c *credentials, port int) component {
	return component{name: toolchain.Kwok, port: port, args: []string{
		"--kubeconfig=" + l.kubeconfig,
		"--config=" + l.stagesPath(),
		"--manage-all-nodes",
		"--cidr=" + podRange,
		"--node-lease-duration-seconds=40",
		// Every fake node's kubelet is kwok itself.
		"--node-ip=" + loopback, "--node-port=" + strconv.Itoa(port),
		"--server-address=" + loopback + ":" + strconv.Itoa(port),
		"--tls-cert-file=" + c.serving.cert, "--tls-private-key-file=" + c.serving.key,
	}}
}

func localURL(scheme string, port int) string {
	return scheme + "://" + loopback + ":" + strconv.Itoa(port)
}
