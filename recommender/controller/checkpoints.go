package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	vpatyped "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned/typed/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
	"github.com/quartet-autoscaling/quartet/recommender/checkpoint"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// checkpoints reads and writes history.
type checkpoints struct {
	client  vpatyped.VerticalPodAutoscalerCheckpointsGetter
	schemes checkpoint.Schemes
	timeout time.Duration

	mu sync.Mutex
	// names are those of the objects that exist, by whose history they hold.
	names map[owner]string
}

// owner is a container of a VPA.
type owner struct{ namespace, vpa, container string }

// page is how many objects are listed at a time.
const page = 500

// list gives all checkpoints of a namespace, or of all where it is empty.
func (c *checkpoints) list(ctx context.Context, namespace string) ([]vpav1.VerticalPodAutoscalerCheckpoint, error) {
	var all []vpav1.VerticalPodAutoscalerCheckpoint
	options := metav1.ListOptions{Limit: page}
	for {
		found, err := c.client.VerticalPodAutoscalerCheckpoints(namespace).List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("list checkpoints: %w", err)
		}
		all = append(all, found.Items...)
		if options.Continue = found.Continue; options.Continue == "" {
			return all, nil
		}
	}
}

// read gives what was learned of a VPA's containers. Of two checkpoints of one
// container the later one counts; one that cannot be read is left out.
func (c *checkpoints) read(ctx context.Context, unit decision.Unit, all []vpav1.VerticalPodAutoscalerCheckpoint) map[string]estimator.Learned {
	out := map[string]estimator.Learned{}
	latest := map[string]time.Time{}
	for i := range all {
		o := &all[i]
		container := o.Spec.ContainerName
		if o.Spec.VPAObjectName != unit.Name || o.Status.LastUpdateTime.Time.Before(latest[container]) {
			continue
		}
		c.exists(owner{unit.Namespace, unit.Name, container}, o.Name)
		learned, err := checkpoint.Decode(&o.Status, c.schemes)
		if err != nil {
			telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not read a checkpoint",
				slog.String("checkpoint", o.Namespace+"/"+o.Name), slog.Any("error", err))
			continue
		}
		latest[container] = o.Status.LastUpdateTime.Time
		out[container] = learned
	}
	return out
}

func (c *checkpoints) exists(o owner, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names[o] = name
}

// forget drops what is known of a VPA's objects.
func (c *checkpoints) forget(key types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for o := range c.names {
		if o.namespace == key.Namespace && o.vpa == key.Name {
			delete(c.names, o)
		}
	}
}

// write writes the history of the containers as of the time.
func (c *checkpoints) write(ctx context.Context, d estimator.Decision, s estimator.State, halfLife time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var errs []error
	for _, container := range d.Checkpoints {
		learned := estimator.Settled(s, container, d.At, halfLife)
		status := checkpoint.Encode(learned, c.schemes, d.At)
		if err := c.put(ctx, owner{d.Unit.Namespace, d.Unit.Name, container}, status); err != nil {
			errs = append(errs, fmt.Errorf("write the checkpoint of container %s: %w", container, err))
		}
	}
	return errors.Join(errs...)
}

// put replaces the status of the object that holds the history, or makes one: a
// write of one that exists is a single request.
func (c *checkpoints) put(ctx context.Context, o owner, status vpav1.VerticalPodAutoscalerCheckpointStatus) error {
	client := c.client.VerticalPodAutoscalerCheckpoints(o.namespace)
	c.mu.Lock()
	name, known := c.names[o]
	c.mu.Unlock()
	if known {
		patch, err := json.Marshal([]map[string]any{{"op": "add", "path": "/status", "value": status}})
		if err != nil {
			return err
		}
		_, err = client.Patch(ctx, name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
		if !apierrors.IsNotFound(err) {
			return err
		}
	}
	object := &vpav1.VerticalPodAutoscalerCheckpoint{
		ObjectMeta: metav1.ObjectMeta{Name: checkpoint.Name(o.vpa, o.container)},
		Spec:       vpav1.VerticalPodAutoscalerCheckpointSpec{VPAObjectName: o.vpa, ContainerName: o.container},
		Status:     status,
	}
	_, err := client.Create(ctx, object, metav1.CreateOptions{FieldManager: fieldManager})
	if apierrors.IsAlreadyExists(err) {
		// Another VPA and container make the same name: a-b with c, and a with b-c.
		object.Name = otherName(o)
		_, err = client.Create(ctx, object, metav1.CreateOptions{FieldManager: fieldManager})
	}
	if err == nil {
		c.exists(o, object.Name)
	}
	return err
}

// otherName tells apart what the plain names do not.
func otherName(o owner) string {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(o.vpa + "/" + o.container))
	return fmt.Sprintf("%s-%08x", checkpoint.Name(o.vpa, o.container), sum.Sum32())
}

// clean removes checkpoints of which the VPA is gone.
func (c *checkpoints) clean(ctx context.Context, namespace string, gone func(namespace, vpa string) bool) error {
	all, err := c.list(ctx, namespace)
	if err != nil {
		return err
	}
	var errs []error
	for i := range all {
		o := &all[i]
		if !gone(o.Namespace, o.Spec.VPAObjectName) {
			continue
		}
		options := metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(o.UID))}
		err := c.client.VerticalPodAutoscalerCheckpoints(o.Namespace).Delete(ctx, o.Name, options)
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("delete checkpoint %s/%s: %w", o.Namespace, o.Name, err))
		}
	}
	return errors.Join(errs...)
}
