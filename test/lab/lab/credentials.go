package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/quartet-autoscaling/quartet/test/lab/pki"
)

const loopback = "127.0.0.1"

// authorities are the two that a control plane needs: one for servers and users, and one whose clients may speak
// for others, which is how the API server forwards to aggregated ones.
type authorities struct {
	main, frontProxy *pki.Authority
}

// credentials are the files in the lab's pki folder.
type credentials struct {
	ca, frontProxyCA       string
	serving, frontProxy    files
	tokenKey, tokenKeyPub  string
	controllers, scheduler string // kubeconfigs
}

// files are a certificate and its key.
type files struct{ cert, key string }

// newCredentials makes every certificate, key and kubeconfig that the components need.
func (l *Lab) newCredentials(apiPort int) (*credentials, error) {
	var c credentials
	w := &writer{dir: filepath.Join(l.folder.path, "pki")}
	main, err := pki.NewAuthority("lab")
	if err != nil {
		return nil, err
	}
	frontProxy, err := pki.NewAuthority("lab-front-proxy")
	if err != nil {
		return nil, err
	}
	l.authority = &authorities{main: main, frontProxy: frontProxy}
	c.ca = w.file("ca.crt", main.Certificate())
	c.frontProxyCA = w.file("front-proxy-ca.crt", frontProxy.Certificate())
	serving, err := main.Serving("kube-apiserver", "localhost", loopback, firstServiceIP,
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
	c.serving = w.pair("serving", serving, err)
	client, err := frontProxy.Client("front-proxy-client")
	c.frontProxy = w.pair("front-proxy-client", client, err)
	private, public, err := pki.SigningKey()
	w.fail(err)
	c.tokenKey = w.file("service-accounts.key", private)
	c.tokenKeyPub = w.file("service-accounts.pub", public)
	if w.err != nil {
		return nil, fmt.Errorf("writing the lab's certificates: %w", w.err)
	}

	server := "https://" + loopback + ":" + strconv.Itoa(apiPort)
	if l.kubeconfig, err = l.userKubeconfig(server, "admin", "lab-admin", "system:masters"); err != nil {
		return nil, err
	}
	if c.controllers, err = l.userKubeconfig(server, "controller-manager", "system:kube-controller-manager"); err != nil {
		return nil, err
	}
	if c.scheduler, err = l.userKubeconfig(server, "scheduler", "system:kube-scheduler"); err != nil {
		return nil, err
	}
	return &c, nil
}

// userKubeconfig writes a kubeconfig that authenticates with a client certificate.
func (l *Lab) userKubeconfig(server, name, user string, groups ...string) (string, error) {
	pair, err := l.authority.main.Client(user, groups...)
	if err != nil {
		return "", err
	}
	return l.writeKubeconfig(server, name, &clientcmdapi.AuthInfo{
		ClientCertificateData: pair.Certificate,
		ClientKeyData:         pair.Key,
	})
}

func (l *Lab) writeKubeconfig(server, name string, user *clientcmdapi.AuthInfo) (string, error) {
	config := clientcmdapi.NewConfig()
	config.Clusters["lab"] = &clientcmdapi.Cluster{
		Server:                   server,
		CertificateAuthorityData: l.authority.main.Certificate(),
	}
	config.AuthInfos[name] = user
	config.Contexts["lab"] = &clientcmdapi.Context{Cluster: "lab", AuthInfo: name}
	config.CurrentContext = "lab"
	path := filepath.Join(l.folder.path, "kubeconfigs", name)
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return "", fmt.Errorf("writing the kubeconfig of %s: %w", name, err)
	}
	return path, nil
}

// writer writes files into a folder until the first error, which it remembers.
type writer struct {
	dir string
	err error
}

func (w *writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *writer) file(name string, content []byte) string {
	path := filepath.Join(w.dir, name)
	if w.err == nil {
		w.err = os.WriteFile(path, content, 0o600)
	}
	return path
}

func (w *writer) pair(name string, pair pki.Pair, err error) files {
	w.fail(err)
	return files{cert: w.file(name+".crt", pair.Certificate), key: w.file(name+".key", pair.Key)}
}
