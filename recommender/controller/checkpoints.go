package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strings"
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
	// objects are those that exist, by whose history they hold.
	objects map[owner]object
}

// object is what is known of a checkpoint in the API server.
type object struct {
	name string
	// annotated tells that it has annotations, which a patch must not replace.
	annotated bool
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

// read gives what is known of a VPA's containers: without loss where we were the
// last to write, else as the format has it. Of two checkpoints of one container
// the later one counts; one that cannot be read is left out.
func (c *checkpoints) read(ctx context.Context, unit decision.Unit, all []vpav1.VerticalPodAutoscalerCheckpoint) estimator.State {
	state := estimator.State{Learned: map[string]estimator.Learned{}, Windows: map[string]map[string]estimator.Window{}}
	latest := map[string]*vpav1.VerticalPodAutoscalerCheckpoint{}
	for i := range all {
		container := all[i].Spec.ContainerName
		if all[i].Spec.VPAObjectName != unit.Name {
			continue
		}
		if have := latest[container]; have == nil || have.Status.LastUpdateTime.Before(&all[i].Status.LastUpdateTime) {
			latest[container] = &all[i]
		}
	}
	for container, o := range latest {
		c.exists(owner{unit.Namespace, unit.Name, container}, object{name: o.Name, annotated: len(o.Annotations) > 0})
		if h, whole := checkpoint.Detach(&o.Status, o.Annotations[checkpoint.Annotation], c.schemes); whole {
			state.Learned[container] = h.Learned
			for pod, w := range h.Running {
				if state.Windows[pod] == nil {
					state.Windows[pod] = map[string]estimator.Window{}
				}
				state.Windows[pod][container] = w
			}
			continue
		}
		learned, err := checkpoint.Decode(&o.Status, c.schemes)
		if err != nil {
			telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not read a checkpoint",
				slog.String("checkpoint", o.Namespace+"/"+o.Name), slog.Any("error", err))
			continue
		}
		state.Learned[container] = learned
	}
	return state
}

func (c *checkpoints) exists(o owner, as object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects[o] = as
}

// forget drops what is known of a VPA's objects.
func (c *checkpoints) forget(key types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for o := range c.objects {
		if o.namespace == key.Namespace && o.vpa == key.Name {
			delete(c.objects, o)
		}
	}
}

// write writes the history of the containers as of the time.
func (c *checkpoints) write(ctx context.Context, d estimator.Decision, s estimator.State, flags estimator.Config) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var errs []error
	for _, container := range d.Checkpoints {
		// Whoever else reads it has the half-lives of the flags.
		settled := estimator.Settled(s, container, d.At, flags.Memory.HalfLife)
		settled = estimator.InHalfLives(settled, flags.CPU.HalfLife, flags.Memory.HalfLife, d.At)
		status := checkpoint.Encode(settled, c.schemes, d.At)
		whole := checkpoint.History{Learned: s.Learned[container], Running: estimator.Running(s, container)}
		annotation, err := checkpoint.Attach(&status, whole)
		if err == nil {
			err = c.put(ctx, owner{d.Unit.Namespace, d.Unit.Name, container}, status, annotation)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("write the checkpoint of container %s: %w", container, err))
		}
	}
	return errors.Join(errs...)
}

// put replaces the status and the annotation of the object that holds the
// history, or makes one: a write of one that exists is a single request.
func (c *checkpoints) put(ctx context.Context, o owner, status vpav1.VerticalPodAutoscalerCheckpointStatus, annotation string) error {
	c.mu.Lock()
	have, known := c.objects[o]
	c.mu.Unlock()
	if !known {
		return c.create(ctx, o, status, annotation)
	}
	operations := []operation{{Op: "add", Path: "/status", Value: status}}
	switch {
	case annotation == "":
	case have.annotated:
		// The slash in the annotation's name is written ~1 in a path.
		path := "/metadata/annotations/" + strings.ReplaceAll(checkpoint.Annotation, "/", "~1")
		operations = append(operations, operation{Op: "add", Path: path, Value: annotation})
	default:
		operations = append(operations, operation{Op: "add", Path: "/metadata/annotations",
			Value: map[string]string{checkpoint.Annotation: annotation}})
	}
	patch, err := json.Marshal(operations)
	if err != nil {
		return err
	}
	written, err := c.client.VerticalPodAutoscalerCheckpoints(o.namespace).Patch(ctx, have.name, types.JSONPatchType, patch,
		metav1.PatchOptions{FieldManager: fieldManager})
	switch {
	case apierrors.IsNotFound(err):
		return c.create(ctx, o, status, annotation)
	case err != nil:
		// Somebody may have taken all annotations away: the next patch brings them.
		c.exists(o, object{name: have.name, annotated: have.annotated && !apierrors.IsInvalid(err)})
		return err
	}
	c.exists(o, object{name: have.name, annotated: len(written.Annotations) > 0})
	return nil
}

// operation is one of a JSON patch.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

func (c *checkpoints) create(ctx context.Context, o owner, status vpav1.VerticalPodAutoscalerCheckpointStatus, annotation string) error {
	client := c.client.VerticalPodAutoscalerCheckpoints(o.namespace)
	fresh := &vpav1.VerticalPodAutoscalerCheckpoint{
		ObjectMeta: metav1.ObjectMeta{Name: checkpoint.Name(o.vpa, o.container)},
		Spec:       vpav1.VerticalPodAutoscalerCheckpointSpec{VPAObjectName: o.vpa, ContainerName: o.container},
		Status:     status,
	}
	if annotation != "" {
		fresh.Annotations = map[string]string{checkpoint.Annotation: annotation}
	}
	_, err := client.Create(ctx, fresh, metav1.CreateOptions{FieldManager: fieldManager})
	if apierrors.IsAlreadyExists(err) {
		// Another VPA and container make the same name: a-b with c, and a with b-c.
		fresh.Name = otherName(o)
		_, err = client.Create(ctx, fresh, metav1.CreateOptions{FieldManager: fieldManager})
	}
	if err == nil {
		c.exists(o, object{name: fresh.Name, annotated: annotation != ""})
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
