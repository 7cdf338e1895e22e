package shards

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// Objects are the StateShards of one component in its namespace.
type Objects interface {
	List(ctx context.Context) ([]v1alpha1.StateShard, error)
	// Write creates the object where it has no resource version, and updates that
	// version of it otherwise. It gives the new version.
	Write(ctx context.Context, shard *v1alpha1.StateShard) (version string, err error)
	// Delete removes that version of the object.
	Delete(ctx context.Context, name, version string) error
}

// labelComponent is the label by which a component finds its shards.
const labelComponent = v1alpha1.GroupName + "/component"

// requests bounds what a store may ask for in a second. It has a limit of its own,
// so that it does not wait behind the requests of the loop.
const requests = 100

// cluster is the API server's Objects.
type cluster struct {
	client               client.Client
	namespace, component string
}

// NewObjects gives the component's shards in the namespace.
func NewObjects(config *rest.Config, namespace, component string) (Objects, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("know the type of StateShards: %w", err)
	}
	own := rest.CopyConfig(config)
	own.QPS, own.Burst, own.RateLimiter = requests, requests, nil
	c, err := client.New(own, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make a client for StateShards: %w", err)
	}
	return &cluster{client: c, namespace: namespace, component: component}, nil
}

// List gives the shards of the component.
func (c *cluster) List(ctx context.Context) ([]v1alpha1.StateShard, error) {
	var list v1alpha1.StateShardList
	if err := c.client.List(ctx, &list, client.InNamespace(c.namespace), client.MatchingLabels{labelComponent: c.component}); err != nil {
		return nil, fmt.Errorf("list StateShards: %w", err)
	}
	return list.Items, nil
}

// Write creates or updates a shard.
func (c *cluster) Write(ctx context.Context, shard *v1alpha1.StateShard) (string, error) {
	shard.Namespace = c.namespace
	if shard.Labels == nil {
		shard.Labels = map[string]string{}
	}
	shard.Labels[labelComponent] = c.component
	var err error
	if shard.ResourceVersion == "" {
		err = c.client.Create(ctx, shard)
	} else {
		err = c.client.Update(ctx, shard)
	}
	if err != nil {
		return "", fmt.Errorf("write StateShard %s/%s: %w", c.namespace, shard.Name, err)
	}
	return shard.ResourceVersion, nil
}

// Delete removes a shard.
func (c *cluster) Delete(ctx context.Context, name, version string) error {
	shard := &v1alpha1.StateShard{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: name}}
	err := c.client.Delete(ctx, shard, client.Preconditions{ResourceVersion: &version})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete StateShard %s/%s: %w", c.namespace, name, err)
	}
	return nil
}

// refused tells whether a write met another one: of an object that has changed, has
// come or gone, or has a later pass.
func refused(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err) || apierrors.IsInvalid(err)
}
