package cli

import (
	"context"
	"encoding/json"
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

// tries and pause bound how long explain looks for the leader among replicas.
const (
	tries = 4
	pause = 250 * time.Millisecond
)

// decision asks for the last decision on an object. Its errors tell apart what
// a user can do something about.
func (a *asker) decision(ctx context.Context, s subject, name string) (*v1alpha1.Decision, error) {
	gv := v1alpha1.GroupVersion(s.component)
	var raw []byte
	var err error
	for try := range tries {
		raw, err = a.get(ctx, "/apis", gv.Group, gv.Version, "namespaces", a.namespace, v1alpha1.Resource, name)
		if !otherReplica(err) || try == tries-1 {
			break
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
	if err != nil {
		return nil, a.why(ctx, s, name, err)
	}
	d := &v1alpha1.Decision{}
	if err := json.Unmarshal(raw, d); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", gv, err)
	}
	return d, nil
}

// otherReplica tells whether a replica answered that does not lead: the next
// try may reach another.
func otherReplica(err error) bool {
	return apierrors.IsServiceUnavailable(err) && strings.Contains(err.Error(), "does not lead")
}

// why turns the failure to get a decision into one that says what is missing.
func (a *asker) why(ctx context.Context, s subject, name string, err error) error {
	group := v1alpha1.GroupName(s.component)
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("you may not read decisions in namespace %s: %w\nA Role there needs the rule: apiGroups: [%q], resources: [%q], verbs: [\"get\"]",
			a.namespace, err, group, v1alpha1.Resource)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the cluster does not accept your credentials: %w", err)
	case apierrors.IsServiceUnavailable(err):
		return fmt.Errorf("%s cannot answer now: %w\nSee: kubectl get apiservice %s.%s, and the pods of %s",
			s.server, err, v1alpha1.Version, group, s.server)
	case apierrors.IsNotFound(err):
		return a.missing(ctx, s, name)
	}
	return fmt.Errorf("ask %s for its decision on %s/%s: %w", s.server, a.namespace, name, err)
}

// missing finds out what it is that does not exist: the API group, the object,
// or only the decision.
func (a *asker) missing(ctx context.Context, s subject, name string) error {
	_, err := a.get(ctx, s.path, "namespaces", a.namespace, s.resource, name)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("there is no %s %s/%s", s.kind, a.namespace, name)
	}
	gv := v1alpha1.GroupVersion(s.component)
	if _, err := a.get(ctx, "/apis", gv.Group, gv.Version); apierrors.IsNotFound(err) {
		return fmt.Errorf("this cluster does not serve the decisions of %s: the API group %s is not installed\nInstall Quartet's chart with the decisions API of %s switched on",
			s.server, gv.Group, s.server)
	}
	return fmt.Errorf("%s has not decided on %s %s/%s yet: it may have just started, or run in mode Off",
		s.server, s.kind, a.namespace, name)
}
