package controller

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	vpatyped "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned/typed/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/internal/telemetry"
	"github.com/quartet-autoscaling/quartet/recommender/checkpoint"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// checkpoints are the objects that hold history.
type checkpoints struct {
	client  vpatyped.VerticalPodAutoscalerCheckpointsGetter
	schemes checkpoint.Schemes

	mu sync.Mutex
	// objects are those that exist, by VPA and container.
	objects map[types.NamespacedName]map[string]object
}

// object is what is known of a checkpoint in the API server.
type object struct {
	name string
	// annotated tells that it has annotations, which a patch must not replace.
	annotated bool
	// target is what it says that its containers' pods belong to.
	target string
}

// owner is a container of a VPA.
type owner struct {
	vpa       types.NamespacedName
	container string
}

// page is how many objects are listed at a time.
const page = 250

// each hands over all checkpoints of a namespace, or of all where it is empty, one
// after the other, so that they are never in memory together.
func (c *checkpoints) each(ctx context.Context, namespace string, visit func(*vpav1.VerticalPodAutoscalerCheckpoint)) error {
	options := metav1.ListOptions{Limit: page}
	for {
		found, err := c.client.VerticalPodAutoscalerCheckpoints(namespace).List(ctx, options)
		if err != nil {
			return fmt.Errorf("list checkpoints: %w", err)
		}
		for i := range found.Items {
			visit(&found.Items[i])
		}
		if options.Continue = found.Continue; options.Continue == "" {
			return nil
		}
	}
}

// kept is the history of one container as its checkpoint has it.
type kept struct {
	container string
	object    object
	updated   time.Time
	history   checkpoint.History
}

// archive is what the checkpoints of a namespace hold.
type archive struct {
	// vpas are by the VPA's name. Of two checkpoints of one container it has the
	// later one.
	vpas map[string][]kept
	// targets are the names of VPAs by what their checkpoints say of the target.
	targets map[string][]string
}

func newArchive() *archive {
	return &archive{vpas: map[string][]kept{}, targets: map[string][]string{}}
}

// load reads the history of a namespace: without loss where we were the last to
// write, else as the format has it. What cannot be read is left out.
func (c *checkpoints) load(ctx context.Context, namespace string) (*archive, error) {
	all, err := c.loadAll(ctx, namespace)
	if err != nil || all[namespace] == nil {
		return newArchive(), err
	}
	return all[namespace], nil
}

// loadAll reads the history of a namespace, or of all where it is empty, by
// namespace.
func (c *checkpoints) loadAll(ctx context.Context, namespace string) (map[string]*archive, error) {
	all := map[string]*archive{}
	err := c.each(ctx, namespace, func(o *vpav1.VerticalPodAutoscalerCheckpoint) {
		k := kept{container: o.Spec.ContainerName, object: known(o), updated: o.Status.LastUpdateTime.Time}
		var err error
		if k.history, err = c.decode(o); err != nil {
			telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not read a checkpoint",
				slog.String("checkpoint", o.Namespace+"/"+o.Name), slog.Any("error", err))
			// Its name is taken all the same.
			k.history.Learned.Samples = unreadable
		}
		if all[o.Namespace] == nil {
			all[o.Namespace] = newArchive()
		}
		all[o.Namespace].add(o.Spec.VPAObjectName, k)
	})
	return all, err
}

// unreadable stands for the samples of a checkpoint that nobody can have written.
const unreadable = -1

func (c *checkpoints) decode(o *vpav1.VerticalPodAutoscalerCheckpoint) (checkpoint.History, error) {
	if h, whole := checkpoint.Detach(&o.Status, o.Annotations[checkpoint.Annotation], c.schemes); whole {
		return h, nil
	}
	learned, err := checkpoint.Decode(&o.Status, c.schemes)
	return checkpoint.History{Learned: learned}, err
}

func known(o *vpav1.VerticalPodAutoscalerCheckpoint) object {
	return object{name: o.Name, annotated: len(o.Annotations) > 0, target: o.Annotations[checkpoint.TargetAnnotation]}
}

func (a *archive) add(vpa string, k kept) {
	all := a.vpas[vpa]
	for i := range all {
		if all[i].container == k.container {
			if all[i].updated.Before(k.updated) {
				all[i] = k
			}
			return
		}
	}
	if k.object.target != "" && len(all) == 0 {
		a.targets[k.object.target] = append(a.targets[k.object.target], vpa)
	}
	a.vpas[vpa] = append(all, k)
}

// state is what is known of a VPA's containers, and when the oldest of it was
// written.
func (a *archive) state(vpa string) estimator.State {
	state := estimator.State{Learned: map[string]estimator.Learned{}, Windows: map[string]map[string]estimator.Window{}}
	for _, k := range a.vpas[vpa] {
		if k.history.Learned.Samples == unreadable {
			continue
		}
		state.Learned[k.container] = k.history.Learned
		for pod, w := range k.history.Running {
			if state.Windows[pod] == nil {
				state.Windows[pod] = map[string]estimator.Window{}
			}
			state.Windows[pod][k.container] = w
		}
		if at := utc(k.updated); state.Checkpointed.IsZero() || at.Before(state.Checkpointed) {
			state.Checkpointed = at
		}
	}
	return state
}

// updated is when the history of a VPA was last written.
func (a *archive) updated(vpa string) time.Time {
	var latest time.Time
	for _, k := range a.vpas[vpa] {
		if k.updated.After(latest) {
			latest = k.updated
		}
	}
	return latest
}

// note keeps which objects a VPA has.
func (c *checkpoints) note(vpa types.NamespacedName, all []kept) {
	for _, k := range all {
		c.exists(owner{vpa, k.container}, k.object)
	}
}

func (c *checkpoints) exists(o owner, as object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.objects[o.vpa] == nil {
		c.objects[o.vpa] = map[string]object{}
	}
	c.objects[o.vpa][o.container] = as
}

func (c *checkpoints) find(o owner) (object, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	have, found := c.objects[o.vpa][o.container]
	return have, found
}

// forget drops what is known of a VPA's objects.
func (c *checkpoints) forget(vpa types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.objects, vpa)
}
