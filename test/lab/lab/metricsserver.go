package lab

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

// metricsAPI is the name of the APIService that metrics-server serves.
const metricsAPI = "v1beta1.metrics.k8s.io"

// startMetricsServer runs metrics-server on the host and registers it. It scrapes as often as it may, and serves a
// pod after it has seen it twice.
func (l *Lab) startMetricsServer(ctx context.Context, creds *credentials) error {
	port, err := l.ports.take()
	if err != nil {
		return err
	}
	pair, err := l.authority.main.Serving("metrics-server", "metrics-server.kube-system.svc")
	w := &writer{dir: filepath.Join(l.folder.path, "pki")}
	serving := w.pair("metrics-server", pair, err)
	if w.err != nil {
		return fmt.Errorf("making metrics-server's certificate: %w", w.err)
	}
	own := *creds
	own.serving = serving
	err = l.run(component{name: toolchain.MetricsServer, port: port, args: append(own.delegated(l.kubeconfig, port),
		"--metric-resolution=10s", "--kubelet-request-timeout=5s",
		"--kubelet-insecure-tls", "--kubelet-use-node-status-port", "--kubelet-preferred-address-types=InternalIP",
	)})
	if err != nil {
		return err
	}
	return l.registerMetricsAPI(ctx, "metrics-server", port)
}

// registerMetricsAPI makes a server on this machine that of metrics.k8s.io, and waits until the API server finds it.
func (l *Lab) registerMetricsAPI(ctx context.Context, server string, port int) error {
	hostPort := int32(port)
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: server},
		Spec:       hostService(corev1.ServicePort{Name: "https", Port: hostPort}),
	}
	api := &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: metricsAPI},
		Spec: apiregistrationv1.APIServiceSpec{
			Group: "metrics.k8s.io", Version: "v1beta1",
			GroupPriorityMinimum: 100, VersionPriority: 100,
			CABundle: l.authority.main.Certificate(),
			Service: &apiregistrationv1.ServiceReference{
				Namespace: service.Namespace, Name: service.Name, Port: &hostPort,
			},
		},
	}
	for _, object := range []ctrlclient.Object{service, api} {
		if err := l.client.Create(ctx, object); err != nil {
			return fmt.Errorf("registering %s on port %s: %w", server, strconv.Itoa(port), err)
		}
	}
	return l.WaitAPIService(ctx, metricsAPI)
}

// hostService makes a Service lead to this machine, which the API server follows for aggregated APIs and webhooks:
// it asks the name, at the port that the reference gives.
func hostService(ports ...corev1.ServicePort) corev1.ServiceSpec {
	return corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost", Ports: ports}
}

// WaitAPIService waits until the API server finds an aggregated API available.
func (l *Lab) WaitAPIService(ctx context.Context, name string) error {
	ready := wait{what: "the aggregated API " + name, limit: readyLimit}
	return l.until(ctx, ready, func(ctx context.Context) error { return l.apiAvailable(ctx, name) })
}

func (l *Lab) apiAvailable(ctx context.Context, name string) error {
	var api apiregistrationv1.APIService
	if err := l.client.Get(ctx, ctrlclient.ObjectKey{Name: name}, &api); err != nil {
		return err
	}
	for _, condition := range api.Status.Conditions {
		if condition.Type == apiregistrationv1.Available {
			if condition.Status == apiregistrationv1.ConditionTrue {
				return nil
			}
			return fmt.Errorf("%s: %s", condition.Reason, condition.Message)
		}
	}
	return fmt.Errorf("its availability is not known yet")
}
