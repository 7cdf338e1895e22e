package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// TargetError is a reference that cannot name any object.
type TargetError struct{ Err error }

// Error is the text of what is wrong.
func (e *TargetError) Error() string { return e.Err.Error() }

// Unwrap gives what is wrong.
func (e *TargetError) Unwrap() error { return e.Err }

// Ref names an object that may have a scale subresource.
type Ref struct {
	Namespace, APIVersion, Kind, Name string
}

// Scale is a scale subresource and the resource it was found under.
type Scale struct {
	*autoscalingv1.Scale
	Resource schema.GroupResource
	// cached tells that it may lag behind the API server.
	cached bool
}

// ErrMoved tells that a target was changed, by somebody else or unseen, since the
// cache showed it: what was decided by that does not hold.
var ErrMoved = errors.New("the target changed since it was looked at")

// Scales reads and sets the replica count of any object with a scale
// subresource.
type Scales struct {
	getter scale.ScalesGetter
	mapper meta.RESTMapper
}

// NewScales makes Scales for the cluster. Kinds that appear later, or that
// discovery did not know when it was asked, are found at the next try.
func NewScales(config *rest.Config) (*Scales, error) {
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for scales: %w", err)
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("make a mapper of kinds: %w", err)
	}
	getter, err := scalesGetter(config, httpClient, mapper)
	if err != nil {
		return nil, fmt.Errorf("make a client for scales: %w", err)
	}
	return ScalesFor(getter, mapper), nil
}

func scalesGetter(config *rest.Config, httpClient *http.Client, mapper meta.RESTMapper) (scale.ScalesGetter, error) {
	disco, err := discovery.NewDiscoveryClientForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	return scale.NewForConfig(config, mapper, dynamic.LegacyAPIPathResolverFunc, scale.NewDiscoveryScaleKindResolver(disco))
}

// ScalesFor makes Scales of given parts.
func ScalesFor(getter scale.ScalesGetter, mapper meta.RESTMapper) *Scales {
	return &Scales{getter: getter, mapper: mapper}
}

var errUnknownResource = errors.New("unrecognized resource")

// Get reads the scale. Where the kind is served by several resources they are
// tried in turn, and the first one's error is told. A reference that cannot be
// right gives a TargetError.
func (s *Scales) Get(ctx context.Context, ref Ref) (Scale, error) {
	version, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return Scale{}, &TargetError{Err: err}
	}
	mappings, err := s.mapper.RESTMappings(schema.GroupKind{Group: version.Group, Kind: ref.Kind})
	if err != nil {
		return Scale{}, err
	}
	var first error
	for _, mapping := range mappings {
		resource := mapping.Resource.GroupResource()
		got, err := s.getter.Scales(ref.Namespace).Get(ctx, resource, ref.Name, metav1.GetOptions{})
		if err == nil {
			return Scale{Scale: got, Resource: resource}, nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = errUnknownResource
	}
	return Scale{}, first
}

// Set writes the count on top of the scale as it was read. Where the object
// changed meanwhile it is read again and the count written all the same: the
// decision is ours, the rest of the object is not touched. The object's managed
// fields name the writer as manager.
func (s *Scales) Set(ctx context.Context, read Scale, replicas int32, manager string) error {
	_, err := s.set(ctx, read, replicas, manager)
	return err
}

// set gives the target's version after the write or as it moved to, empty where
// that is not known. A scale that came from a cache is not written over one that
// asks for another count or is another object's: that may have been so when it was
// decided already.
func (s *Scales) set(ctx context.Context, read Scale, replicas int32, manager string) (version string, err error) {
	client := s.getter.Scales(read.Namespace)
	current := read.Scale
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		wanted := current.DeepCopy()
		wanted.Spec.Replicas = replicas
		written, err := client.Update(ctx, read.Resource, wanted, metav1.UpdateOptions{FieldManager: manager})
		if err == nil {
			version = written.ResourceVersion
			return nil
		}
		latest, getErr := client.Get(ctx, read.Resource, read.Name, metav1.GetOptions{})
		if getErr == nil {
			current = latest
			if read.cached && moved(read.Scale, latest) {
				version = latest.ResourceVersion
				return ErrMoved
			}
		} else if read.cached && apierrors.IsNotFound(getErr) {
			return ErrMoved
		}
		return err
	})
	return version, err
}

func moved(read, latest *autoscalingv1.Scale) bool {
	return read.UID != latest.UID || read.Spec.Replicas != latest.Spec.Replicas || read.Status.Selector != latest.Status.Selector
}

// Mapper is the mapper of kinds, for other clients.
func (s *Scales) Mapper() meta.RESTMapper { return s.mapper }
