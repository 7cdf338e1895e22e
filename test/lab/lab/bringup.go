package lab

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

// readyLimit is generous: other labs and compilers may share the machine.
const readyLimit = 2 * time.Minute

// bringUp starts the components in the order in which they need one another and waits until all are ready.
func (l *Lab) bringUp(ctx context.Context) error {
	begin := time.Now()
	var taken [6]int
	for i := range taken {
		port, err := l.ports.take()
		if err != nil {
			return err
		}
		taken[i] = port
	}
	creds, err := l.newCredentials(taken[2])
	if err != nil {
		return err
	}
	l.credentials, l.etcdURL = creds, localURL("http", taken[0])
	if err := l.run(l.etcd(taken[0], taken[1])); err != nil {
		return err
	}
	if err := l.runAPIServer(ctx, l.apiServer(creds, taken[2], taken[0])); err != nil {
		return err
	}
	l.timings.APIServer = time.Since(begin)
	l.say("API server ready in %s", l.timings.APIServer.Round(time.Millisecond))

	others := []component{l.controllerManager(creds, taken[3])}
	if !l.options.NoScheduler {
		others = append(others, l.scheduler(creds, taken[4]))
	}
	if !l.options.NoKwok {
		if err := l.writeStages(); err != nil {
			return err
		}
		others = append(others, l.kwok(creds, taken[5]))
	}
	if err := l.runOthers(ctx, others, creds); err != nil {
		return err
	}
	l.timings.Ready = time.Since(begin)
	l.say("everything ready in %s", l.timings.Ready.Round(time.Millisecond))
	return nil
}

func (l *Lab) runAPIServer(ctx context.Context, c component) error {
	if err := l.run(c); err != nil {
		return err
	}
	ready := wait{what: "the API server", limit: readyLimit, log: c.name}
	err := l.until(ctx, ready, func(ctx context.Context) error {
		return healthy(ctx, localURL("https", c.port)+"/readyz")
	})
	if err != nil {
		return err
	}
	return l.connect()
}

// connect makes the administrator's client.
func (l *Lab) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", l.kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the lab's kubeconfig: %w", err)
	}
	config.QPS = -1
	config.UserAgent = "quartet-lab"
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	l.config = config
	log := funcr.New(func(_, line string) { l.say("%s", line) }, funcr.Options{})
	if l.client, err = ctrlclient.New(config, ctrlclient.Options{Scheme: scheme, Log: log}); err != nil {
		return fmt.Errorf("making the lab's client: %w", err)
	}
	return nil
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, apiregistrationv1.AddToScheme,
		metricsv1beta1.AddToScheme, v1alpha1.AddToScheme, vpav1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("filling the client's scheme: %w", err)
		}
	}
	return scheme, nil
}

// runOthers starts what speaks to the API server and waits for all of it together.
func (l *Lab) runOthers(ctx context.Context, others []component, creds *credentials) error {
	for _, c := range others {
		if err := l.run(c); err != nil {
			return err
		}
	}
	if err := l.AddNodes(ctx, NodeGroup{Prefix: "node", Count: l.options.Nodes, Capacity: l.options.NodeCapacity}); err != nil {
		return err
	}
	if l.options.MetricsServer {
		if err := l.startMetricsServer(ctx, creds); err != nil {
			return err
		}
	}
	if l.options.ResourceMetrics {
		if err := l.serveResourceMetrics(ctx); err != nil {
			return err
		}
	}
	for _, c := range others {
		scheme := "https"
		if c.name == toolchain.Kwok {
			scheme = "http" // It serves both on one port, and its health page on this one.
		}
		ready := wait{what: c.name, limit: readyLimit, log: c.name}
		err := l.until(ctx, ready, func(ctx context.Context) error {
			return healthy(ctx, localURL(scheme, c.port)+"/healthz")
		})
		if err != nil {
			return err
		}
	}
	ready := wait{what: "the default service account", limit: readyLimit, log: toolchain.ControllerManager}
	return l.until(ctx, ready, func(ctx context.Context) error {
		key := ctrlclient.ObjectKey{Namespace: corev1.NamespaceDefault, Name: "default"}
		return l.client.Get(ctx, key, &corev1.ServiceAccount{})
	})
}
