package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/quartet-autoscaling/quartet/internal/buildinfo"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi/v1alpha1"
)

// asker asks a cluster, as the user of the kubeconfig.
type asker struct {
	client    *rest.RESTClient
	namespace string
}

func newAsker(loaded clientcmd.ClientConfig) (*asker, error) {
	config, err := loaded.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errNoConnection
	}
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	namespace, _, err := loaded.Namespace()
	if err != nil {
		return nil, fmt.Errorf("read the namespace of the kubeconfig: %w", err)
	}
	config.UserAgent = "kubectl-quartet/" + buildinfo.Get().Version
	config.GroupVersion = &schema.GroupVersion{}
	config.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return &asker{client: client, namespace: namespace}, nil
}

// get asks for JSON. Where the server explains a failure by a Status, that is
// the error: the client's own text leaves out what the server said.
func (a *asker) get(ctx context.Context, path ...string) ([]byte, error) {
	raw, err := a.client.Get().AbsPath(path...).SetHeader("Accept", "application/json").Do(ctx).Raw()
	var status metav1.Status
	if err != nil && json.Unmarshal(raw, &status) == nil && status.Kind == "Status" {
		return nil, apierrors.FromObject(&status)
	}
	return raw, err
}

// path is the API path of the objects, or of one where a name is given.
func (a *asker) path(o object, name ...string) []string {
	path := []string{o.path}
	if !o.cluster {
		path = append(path, "namespaces", a.namespace)
	}
	return append(append(path, o.resource), name...)
}

// called is "Kind namespace/name", or "Kind name" of the whole cluster.
func (a *asker) called(o object, name string) string {
	if o.cluster {
		return o.kind + " " + name
	}
	return o.kind + " " + a.namespace + "/" + name
}

// where is where objects of a scope are, for messages.
func (a *asker) where(cluster bool) string {
	if cluster {
		return "of the whole cluster"
	}
	return "in namespace " + a.namespace
}

// object reads one object. Its errors tell apart what a user can do something
// about.
func (a *asker) object(ctx context.Context, o object, name string, into any) error {
	raw, err := a.get(ctx, a.path(o, name)...)
	switch {
	case apierrors.IsNotFound(err):
		return a.absent(ctx, o, name)
	case err != nil:
		return a.cannotRead(o, err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("read %s: %w", a.called(o, name), err)
	}
	return nil
}

// objects reads all objects of the namespace.
func (a *asker) objects(ctx context.Context, o object, into any) error {
	raw, err := a.get(ctx, a.path(o)...)
	switch {
	case apierrors.IsNotFound(err):
		return a.notInstalled(o)
	case err != nil:
		return a.cannotRead(o, err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("read the %s %s: %w", o.resource, a.where(o.cluster), err)
	}
	return nil
}

func (a *asker) cannotRead(o object, err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("you may not read %s %s: %w", o.resource, a.where(o.cluster), err)
	}
	return fmt.Errorf("read %s %s: %w", o.resource, a.where(o.cluster), err)
}

// absent tells a missing object from a missing kind of objects.
func (a *asker) absent(ctx context.Context, o object, name string) error {
	if _, err := a.get(ctx, o.path); apierrors.IsNotFound(err) && strings.HasPrefix(o.path, "/apis/") {
		return a.notInstalled(o)
	}
	return fmt.Errorf("there is no %s", a.called(o, name))
}

// errNotInstalled is what is wrong where a cluster has not even a kind of objects.
var errNotInstalled = errors.New("the API is not installed")

func (a *asker) notInstalled(o object) error {
	return fmt.Errorf("this cluster has no %ss: %w: %s", o.kind, errNotInstalled, strings.TrimPrefix(o.path, "/apis/"))
}

// tries and pause bound how long explain looks for the leader among replicas.
const (
	tries = 4
	pause = 250 * time.Millisecond
)

// ask gets what a component serves, below its decisions.
func (a *asker) ask(ctx context.Context, c component, name ...string) ([]byte, error) {
	gv := v1alpha1.GroupVersion(c.key)
	path := a.path(object{path: "/apis/" + gv.String(), resource: v1alpha1.Resource, cluster: c.cluster}, name...)
	for try := 1; ; try++ {
		raw, err := a.get(ctx, path...)
		if !otherReplica(err) || try == tries {
			return raw, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// decision asks for the last decision on an object.
func (a *asker) decision(ctx context.Context, c component, o object, name string) (*v1alpha1.Decision, error) {
	raw, err := a.ask(ctx, c, o.prefix+name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, a.missing(ctx, c, o, name)
	case err != nil:
		return nil, a.why(c, "get", err)
	}
	d := &v1alpha1.Decision{}
	if err := json.Unmarshal(raw, d); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", c.server, err)
	}
	return d, nil
}

// decisions asks for the last decisions on all objects of the namespace.
func (a *asker) decisions(ctx context.Context, c component) ([]v1alpha1.Decision, error) {
	raw, err := a.ask(ctx, c)
	switch {
	case apierrors.IsNotFound(err):
		return nil, c.notServed()
	case err != nil:
		return nil, a.why(c, "list", err)
	}
	var list v1alpha1.DecisionList
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", c.server, err)
	}
	return list.Items, nil
}

// otherReplica tells whether a replica answered that does not lead: the next
// try may reach another.
func otherReplica(err error) bool {
	return apierrors.IsServiceUnavailable(err) && strings.Contains(err.Error(), "does not lead")
}

// why turns the failure to get decisions into one that says what is missing.
func (a *asker) why(c component, verb string, err error) error {
	switch {
	case apierrors.IsForbidden(err):
		role := "A Role there"
		if c.cluster {
			role = "A ClusterRole"
		}
		return fmt.Errorf("you may not read decisions %s: %w\n%s needs the rule: apiGroups: [%q], resources: [%q], verbs: [%q]",
			a.where(c.cluster), err, role, c.group(), v1alpha1.Resource, verb)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the cluster does not accept your credentials: %w", err)
	case apierrors.IsServiceUnavailable(err):
		return fmt.Errorf("%s cannot answer now: %w\nSee: kubectl get apiservice %s.%s, and the pods of %s",
			c.server, err, v1alpha1.Version, c.group(), c.server)
	}
	return fmt.Errorf("ask %s for its decisions: %w", c.server, err)
}

// missing finds out what it is that does not exist: the object, the API group,
// or only the decision. An object without a path is none of the API.
func (a *asker) missing(ctx context.Context, c component, o object, name string) error {
	if o.path != "" {
		if _, err := a.get(ctx, a.path(o, name)...); apierrors.IsNotFound(err) {
			return a.absent(ctx, o, name)
		}
	}
	gv := v1alpha1.GroupVersion(c.key)
	if _, err := a.get(ctx, "/apis", gv.Group, gv.Version); apierrors.IsNotFound(err) {
		return c.notServed()
	}
	return fmt.Errorf("%s has not decided on %s yet: it may have just started, or run in mode Off", c.server, a.called(o, name))
}
