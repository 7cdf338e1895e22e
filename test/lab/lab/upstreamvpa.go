package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

// The components of upstream's vertical autoscaler.
const (
	VPARecommender = toolchain.VPARecommender
	VPAUpdater     = toolchain.VPAUpdater
	VPAAdmission   = toolchain.VPAAdmission
)

// UpstreamVPAWebhook is the MutatingWebhookConfiguration under which upstream's admission controller registers
// itself. It stays when the controller goes.
const UpstreamVPAWebhook = "vpa-webhook-config"

// RunUpstreamVPA starts a component of upstream's vertical autoscaler, one of those above, and returns at once. It runs
// at its own defaults but for the arguments, under its own ServiceAccount and upstream's rules of access; upstream's
// custom resources are brought where they are missing. Its program is built at the first call.
func (l *Lab) RunUpstreamVPA(ctx context.Context, component string, args ...string) (*Upstream, error) {
	program, err := toolchain.UpstreamVPA(ctx, l.options.Progress, component)
	if err != nil {
		return nil, err
	}
	if err := l.InstallUpstreamVPA(ctx); err != nil {
		return nil, err
	}
	kubeconfig, err := l.ServiceAccountKubeconfig(ctx, metav1.NamespaceSystem, "vpa-"+component)
	if err != nil {
		return nil, err
	}
	port, err := l.ports.take()
	if err != nil {
		return nil, err
	}
	own := []string{"--kubeconfig=" + kubeconfig, "--address=" + loopback + ":" + strconv.Itoa(port)}
	if component == VPAAdmission {
		serving, err := l.upstreamVPAServing()
		if err != nil {
			return nil, err
		}
		own = append(own, serving...)
	}
	u, err := l.runUpstream("upstream-"+component, program, append(own, args...))
	if err != nil {
		return nil, err
	}
	u.url = localURL("http", port)
	u.ready = func(ctx context.Context) error {
		if err := healthy(ctx, u.url+"/health-check"); err != nil || component != VPAAdmission {
			return err
		}
		// It registers itself 10 s after its start.
		return l.client.Get(ctx, ctrlclient.ObjectKey{Name: UpstreamVPAWebhook}, &admissionregistrationv1.MutatingWebhookConfiguration{})
	}
	return u, nil
}

// InstallUpstreamVPA brings what an installation of upstream's vertical autoscaler has besides its programs: custom
// resources, where they are missing, ServiceAccounts and rules of access. RunUpstreamVPA has done so.
func (l *Lab) InstallUpstreamVPA(ctx context.Context) error {
	crds, err := upstreamVPAObjects(ctx, "vpa-v1-crd-gen.yaml")
	if err != nil {
		return err
	}
	for _, crd := range crds {
		err := l.client.Get(ctx, ctrlclient.ObjectKeyFromObject(crd), &apiextensionsv1.CustomResourceDefinition{})
		if apierrors.IsNotFound(err) {
			err = l.apply(ctx, crd)
		}
		if err == nil {
			err = l.waitEstablished(ctx, crd.GetName())
		}
		if err != nil {
			return err
		}
	}
	rules, err := upstreamVPAObjects(ctx, "vpa-rbac.yaml")
	if err != nil {
		return err
	}
	for _, object := range rules {
		if err := l.apply(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

// upstreamVPAObjects decodes one of upstream's manifests.
func upstreamVPAObjects(ctx context.Context, name string) ([]*unstructured.Unstructured, error) {
	content, err := toolchain.UpstreamVPAManifest(ctx, name)
	if err != nil {
		return nil, err
	}
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	var objects []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decoding upstream's %s: %w", name, err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// upstreamVPAServing makes a certificate of the lab's authority for the webhook, and tells the component of it, of a
// port of this machine, and to register itself by that address.
func (l *Lab) upstreamVPAServing() ([]string, error) {
	port, err := l.ports.take()
	if err != nil {
		return nil, err
	}
	pair, err := l.authority.main.Serving("vpa-webhook", "localhost", loopback)
	w := &writer{dir: filepath.Join(l.folder.path, "pki")}
	serving := w.pair("vpa-webhook", pair, err)
	if w.err != nil {
		return nil, fmt.Errorf("making the certificate of upstream's webhook: %w", w.err)
	}
	return []string{
		"--client-ca-file=" + l.credentials.ca, "--tls-cert-file=" + serving.cert, "--tls-private-key=" + serving.key,
		"--port=" + strconv.Itoa(port),
		"--register-by-url", "--webhook-address=https://" + loopback, "--webhook-port=" + strconv.Itoa(port),
	}, nil
}
