package decisionapi

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	genericrequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"

	"github.com/quartet-autoscaling/quartet/internal/decisionapi/v1alpha1"
)

// GroupInstaller takes API groups: a serving.Server, or a generic API server.
type GroupInstaller interface {
	InstallAPIGroup(group *genericapiserver.APIGroupInfo) error
}

// Beside is a resource that a component serves beside its decisions, in the same
// group and version.
type Beside struct {
	// Resource is the plural.
	Resource string
	Storage  rest.Storage
	// AddToScheme registers its types.
	AddToScheme func(*runtime.Scheme) error
}

// InstallGroup serves the store's decisions under the group, which is
// GroupName of the store's component, and what the component has beside them.
func InstallGroup(server GroupInstaller, group string, store *Store, others ...Beside) error {
	if want := GroupName(store.Component()); group != want {
		return fmt.Errorf("install API group %s: the store is of %s", group, want)
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme, store.Component()); err != nil {
		return err
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	info := genericapiserver.NewDefaultAPIGroupInfo(group, scheme, runtime.NewParameterCodec(scheme), serializer.NewCodecFactory(scheme))
	info.VersionedResourcesStorageMap[Version] = map[string]rest.Storage{Resource: &storage{store: store}}
	for _, other := range others {
		if err := other.AddToScheme(scheme); err != nil {
			return fmt.Errorf("install API group %s: %w", group, err)
		}
		info.VersionedResourcesStorageMap[Version][other.Resource] = other.Storage
	}
	if err := server.InstallAPIGroup(&info); err != nil {
		return fmt.Errorf("install API group %s: %w", group, err)
	}
	return nil
}

// storage answers get and list from a Store. There is no watch: a decision a
// sync period is no stream to follow, and the store keeps no history.
type storage struct{ store *Store }

var (
	_ rest.Getter               = (*storage)(nil)
	_ rest.Lister               = (*storage)(nil)
	_ rest.Scoper               = (*storage)(nil)
	_ rest.SingularNameProvider = (*storage)(nil)
)

// New gives the type of the resource.
func (s *storage) New() runtime.Object { return &Decision{} }

// NewList gives the type of the resource's list.
func (s *storage) NewList() runtime.Object { return &DecisionList{} }

// Destroy has nothing to release.
func (s *storage) Destroy() {}

// NamespaceScoped tells whether units have namespaces.
func (s *storage) NamespaceScoped() bool { return !s.store.cfg.ClusterScoped }

// GetSingularName is what kubectl also takes the resource by.
func (s *storage) GetSingularName() string { return "decision" }

func (s *storage) resource() schema.GroupResource {
	return schema.GroupResource{Group: GroupName(s.store.Component()), Resource: Resource}
}

// Get answers with the last decision on one unit.
func (s *storage) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	if err := s.available(); err != nil {
		return nil, err
	}
	d, ok := s.store.Get(genericrequest.NamespaceValue(ctx), name)
	if !ok {
		return nil, apierrors.NewNotFound(s.resource(), name)
	}
	return &d, nil
}

// List answers with the last decisions in the request's namespace, or in all.
func (s *storage) List(ctx context.Context, options *internalversion.ListOptions) (runtime.Object, error) {
	if err := s.available(); err != nil {
		return nil, err
	}
	byLabel, byField := labels.Everything(), fields.Everything()
	if options != nil && options.LabelSelector != nil {
		byLabel = options.LabelSelector
	}
	if options != nil && options.FieldSelector != nil {
		byField = options.FieldSelector
	}
	found := &DecisionList{Items: []Decision{}}
	for _, d := range s.store.List(genericrequest.NamespaceValue(ctx)) {
		if byLabel.Matches(labels.Set(d.Labels)) && byField.Matches(d.Fields()) {
			found.Items = append(found.Items, d)
		}
	}
	return found, nil
}

// available refuses to answer where another replica decides: what this one
// remembers, if anything, is old.
func (s *storage) available() error {
	if s.store.cfg.Leading == nil {
		return nil
	}
	leading, holder := s.store.cfg.Leading()
	if leading {
		return nil
	}
	if holder == "" {
		return apierrors.NewServiceUnavailable("this replica does not lead, and has not seen a leader yet")
	}
	return apierrors.NewServiceUnavailable("this replica does not lead; the leader is " + holder)
}
