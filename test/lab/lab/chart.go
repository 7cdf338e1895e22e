package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/lab/chart"
	"github.com/quartet-autoscaling/quartet/test/lab/kubelet"
	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

const (
	fieldOwner = "quartet-lab"
	// listenLimit is how long a started process may take to listen before what leads to it is registered. The API
	// server looks again only seconds after it found nobody there.
	listenLimit = 10 * time.Second
)

// ChartOptions says how to install a chart. The zero value is the suite's chart with its own values.
type ChartOptions struct {
	// Values count over those of the chart and over the ports that the lab chooses.
	Values map[string]any
	// Path is the chart's folder. Default: the suite's.
	Path string
	// Name is the release's. Default: quartet.
	Name string
	// Namespace is where it goes; it is created. Default: quartet-system.
	Namespace string
	// Programs are the paths of programs by the name in the container's command. What is not in it is built from
	// the checkout's cmd/NAME.
	Programs map[string]string
}

func (o ChartOptions) withDefaults() (ChartOptions, error) {
	if o.Path == "" {
		root, err := toolchain.ModuleRoot()
		if err != nil {
			return o, err
		}
		o.Path = filepath.Join(root, "deploy", "helm", "quartet")
	}
	if o.Name == "" {
		o.Name = "quartet"
	}
	if o.Namespace == "" {
		o.Namespace = "quartet-system"
	}
	return o, nil
}

// Process is a rendered Deployment's container, run on this machine.
type Process = kubelet.Process

// Release is an installed chart.
type Release struct {
	lab       *Lab
	namespace string
	processes []*Process
	callbacks []*unstructured.Unstructured
	// What another replica is made of.
	kubelet     kubelet.Config
	deployments []*appsv1.Deployment
}

// InstallChart renders a chart and installs it as a cluster would: everything is applied except Deployments, whose
// containers run as processes of this machine under their service accounts. Services lead to them. It returns when
// all is started; WaitReady waits until it works.
func (l *Lab) InstallChart(ctx context.Context, o ChartOptions) (*Release, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	rendered, err := chart.Render(ctx, chart.Config{
		Helm: l.programs.Path(toolchain.Helm), Env: l.environment(), WorkDir: filepath.Join(l.folder.path, "tmp"),
		Chart: o.Path, Release: o.Name, Namespace: o.Namespace, KubernetesVersion: toolchain.KubernetesVersion,
		Values: o.Values, TakePort: l.ports.take,
	})
	if err != nil {
		return nil, err
	}
	programs, err := l.chartPrograms(ctx, o, rendered)
	if err != nil {
		return nil, err
	}
	if err := l.applyChart(ctx, o.Namespace, rendered); err != nil {
		return nil, err
	}
	release := &Release{lab: l, namespace: o.Namespace, callbacks: rendered.Callbacks, deployments: rendered.Deployments}
	if err := release.run(programs); err != nil {
		return nil, err
	}
	release.awaitListening(ctx)
	for _, object := range rendered.Callbacks {
		if err := l.apply(ctx, object); err != nil {
			return nil, err
		}
	}
	return release, nil
}

// chartPrograms returns the programs that the Deployments run, and builds those that nobody gave.
func (l *Lab) chartPrograms(ctx context.Context, o ChartOptions, r *chart.Rendered) (map[string]string, error) {
	programs := map[string]string{}
	var packages []string
	for _, deployment := range r.Deployments {
		name, err := kubelet.Program(deployment)
		if err != nil {
			return nil, err
		}
		if path, ok := o.Programs[name]; ok {
			programs[name] = path
			continue
		}
		packages = append(packages, "./cmd/"+name)
	}
	built, err := toolchain.Commands(ctx, l.options.Progress, packages...)
	if err != nil {
		return nil, err
	}
	for name, path := range built {
		programs[name] = path
	}
	return programs, nil
}

// applyChart applies what the processes need before they start.
func (l *Lab) applyChart(ctx context.Context, namespace string, r *chart.Rendered) error {
	ns := &unstructured.Unstructured{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	ns.SetName(namespace)
	for _, object := range append([]*unstructured.Unstructured{ns}, r.CRDs...) {
		if err := l.apply(ctx, object); err != nil {
			return err
		}
	}
	for _, crd := range r.CRDs {
		if err := l.waitEstablished(ctx, crd.GetName()); err != nil {
			return err
		}
	}
	for _, object := range r.Objects {
		if err := l.applyIn(ctx, namespace, object); err != nil {
			return err
		}
	}
	return nil
}

// applyIn applies an object, in the release's namespace if its kind has one and it names none.
func (l *Lab) applyIn(ctx context.Context, namespace string, object *unstructured.Unstructured) error {
	if object.GetNamespace() == "" {
		namespaced, err := l.client.IsObjectNamespaced(object)
		if err != nil {
			return fmt.Errorf("looking up the kind of %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		if namespaced {
			object.SetNamespace(namespace)
		}
	}
	return l.apply(ctx, object)
}

func (l *Lab) apply(ctx context.Context, object *unstructured.Unstructured) error {
	err := l.client.Apply(ctx, ctrlclient.ApplyConfigurationFromUnstructured(object),
		ctrlclient.FieldOwner(fieldOwner), ctrlclient.ForceOwnership)
	if err != nil {
		return fmt.Errorf("applying %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return nil
}

func (l *Lab) waitEstablished(ctx context.Context, name string) error {
	ready := wait{what: "the custom resource " + name, limit: readyLimit}
	return l.until(ctx, ready, func(ctx context.Context) error {
		var crd apiextensionsv1.CustomResourceDefinition
		if err := l.client.Get(ctx, ctrlclient.ObjectKey{Name: name}, &crd); err != nil {
			return err
		}
		for _, condition := range crd.Status.Conditions {
			if condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("its conditions are %v", crd.Status.Conditions)
	})
}

// run starts the Deployments.
func (r *Release) run(programs map[string]string) error {
	l := r.lab
	dir := filepath.Join(l.folder.path, "pods")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("creating the folder of pods: %w", err)
	}
	r.kubelet = kubelet.Config{
		Supervisor: l.supervisor,
		Client:     l.client,
		Programs:   programs,
		Kubeconfig: l.ServiceAccountKubeconfig,
		Env:        l.environment(),
		Dir:        dir,
		Logs:       l.folder.logs(),
		Background: l.background,
		Go:         l.goBackground,
		Say:        l.say,
	}
	for _, deployment := range r.deployments {
		if deployment.Spec.Replicas != nil && *deployment.Spec.Replicas == 0 {
			continue
		}
		process, err := kubelet.Run(r.kubelet, deployment)
		if err != nil {
			return err
		}
		r.processes = append(r.processes, process)
	}
	return nil
}

// awaitListening waits until every process listens on its first port, but not long: whether they come to work is not
// for an installation to say.
func (r *Release) awaitListening(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, listenLimit)
	defer cancel()
	for _, process := range r.processes {
		address, err := process.URL()
		if err != nil {
			continue
		}
		parsed, err := url.Parse(address)
		if err != nil {
			continue
		}
		_ = r.lab.until(ctx, wait{what: process.Name(), limit: listenLimit}, func(ctx context.Context) error {
			connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", parsed.Host)
			if err != nil {
				return err
			}
			return connection.Close()
		})
	}
}

// Process returns the process of a Deployment by its name, or nil.
func (r *Release) Process(name string) *Process {
	for _, process := range r.processes {
		if process.Name() == name {
			return process
		}
	}
	return nil
}

// Processes returns all of them in the order of the rendered chart.
func (r *Release) Processes() []*Process { return append([]*Process{}, r.processes...) }

// Namespace returns where the release is.
func (r *Release) Namespace() string { return r.namespace }

// WaitReady waits until every process is ready and the API server finds every aggregated API available.
func (r *Release) WaitReady(ctx context.Context) error {
	for _, process := range r.processes {
		if err := process.WaitReady(ctx); err != nil {
			return err
		}
	}
	for _, object := range r.callbacks {
		if object.GetKind() != "APIService" {
			continue
		}
		if err := r.lab.WaitAPIService(ctx, object.GetName()); err != nil {
			return err
		}
	}
	return nil
}

// Uninstall stops the processes and removes what leads to them: an aggregated API without a server would block the
// deletion of namespaces. Everything else of the chart stays.
func (r *Release) Uninstall(ctx context.Context) error {
	var errs []error
	for _, object := range r.callbacks {
		err := r.lab.client.Delete(ctx, object, ctrlclient.PropagationPolicy(metav1.DeletePropagationBackground))
		errs = append(errs, ctrlclient.IgnoreNotFound(err))
	}
	for _, process := range r.processes {
		errs = append(errs, process.Stop())
	}
	return errors.Join(errs...)
}
