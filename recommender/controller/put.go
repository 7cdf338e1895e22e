package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/recommender/checkpoint"
)

// content is what an object is to hold.
type content struct {
	status vpav1.VerticalPodAutoscalerCheckpointStatus
	// history is the annotation without loss; empty where there is none.
	history string
	// target is what the pods belong to; empty where that is not known.
	target string
}

func (c content) annotations() map[string]string {
	out := map[string]string{}
	if c.history != "" {
		out[checkpoint.Annotation] = c.history
	}
	if c.target != "" {
		out[checkpoint.TargetAnnotation] = c.target
	}
	return out
}

// put replaces the status and the annotations of the object that holds the
// history, or makes one: a write of one that exists is a single request.
func (c *checkpoints) put(ctx context.Context, o owner, content content) error {
	have, known := c.find(o)
	if !known {
		return c.create(ctx, o, content)
	}
	patch, err := json.Marshal(operations(have, content))
	if err != nil {
		return err
	}
	written, err := c.client.VerticalPodAutoscalerCheckpoints(o.vpa.Namespace).Patch(ctx, have.name, types.JSONPatchType, patch,
		metav1.PatchOptions{FieldManager: fieldManager})
	switch {
	case apierrors.IsNotFound(err):
		return c.create(ctx, o, content)
	case err != nil:
		// Somebody may have taken all annotations away: the next patch brings them.
		have.annotated = have.annotated && !apierrors.IsInvalid(err)
		c.exists(o, have)
		return err
	}
	c.exists(o, object{name: have.name, annotated: len(written.Annotations) > 0, target: content.target})
	return nil
}

// operation is one of a JSON patch.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

func operations(have object, want content) []operation {
	out := []operation{{Op: "add", Path: "/status", Value: want.status}}
	if !have.annotated {
		if annotations := want.annotations(); len(annotations) > 0 {
			out = append(out, operation{Op: "add", Path: "/metadata/annotations", Value: annotations})
		}
		return out
	}
	add := func(name, value string) {
		// The slash in an annotation's name is written ~1 in a path.
		path := "/metadata/annotations/" + strings.ReplaceAll(name, "/", "~1")
		out = append(out, operation{Op: "add", Path: path, Value: value})
	}
	if want.history != "" {
		add(checkpoint.Annotation, want.history)
	}
	if want.target != "" && want.target != have.target {
		add(checkpoint.TargetAnnotation, want.target)
	}
	return out
}

// create makes the object under upstream's name, unless another VPA or container
// holds that: a-b with c, and a with b-c, make the same.
func (c *checkpoints) create(ctx context.Context, o owner, content content) error {
	for _, name := range []string{checkpoint.Name(o.vpa.Name, o.container), otherName(o)} {
		fresh := &vpav1.VerticalPodAutoscalerCheckpoint{
			ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: content.annotations()},
			Spec:       vpav1.VerticalPodAutoscalerCheckpointSpec{VPAObjectName: o.vpa.Name, ContainerName: o.container},
			Status:     content.status,
		}
		_, err := c.client.VerticalPodAutoscalerCheckpoints(o.vpa.Namespace).Create(ctx, fresh, metav1.CreateOptions{FieldManager: fieldManager})
		if err == nil {
			c.exists(o, object{name: name, annotated: len(fresh.Annotations) > 0, target: content.target})
			return nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
		holder, err := c.holder(ctx, o.vpa.Namespace, name)
		if err != nil {
			return err
		}
		if holder != nil && holder.Spec.VPAObjectName == o.vpa.Name && holder.Spec.ContainerName == o.container {
			// It is ours, made by another process since we looked.
			c.exists(o, known(holder))
			return c.put(ctx, o, content)
		}
	}
	return fmt.Errorf("other checkpoints have both names that %s container %s could take", o.vpa, o.container)
}

// holder finds the object of a name; nil where it is gone.
func (c *checkpoints) holder(ctx context.Context, namespace, name string) (*vpav1.VerticalPodAutoscalerCheckpoint, error) {
	options := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()}
	found, err := c.client.VerticalPodAutoscalerCheckpoints(namespace).List(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("find out whose checkpoint %s is: %w", name, err)
	}
	for i := range found.Items {
		if found.Items[i].Name == name {
			return &found.Items[i], nil
		}
	}
	return nil, nil
}

// otherName tells apart what the plain names do not.
func otherName(o owner) string {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(o.vpa.Name + "/" + o.container))
	return fmt.Sprintf("%s-%08x", checkpoint.Name(o.vpa.Name, o.container), sum.Sum32())
}
