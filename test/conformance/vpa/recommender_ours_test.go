package vpa

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/recommender/checkpoint"
	"github.com/quartet-autoscaling/quartet/recommender/controller"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// ours is the decisions of this suite's recommender on the cluster.
type ours struct {
	t      *testing.T
	c      *cluster
	status map[string]vpav1.VerticalPodAutoscalerStatus
	state  map[string]estimator.State
	// at is the time of the last turn, as of which checkpoints are.
	at time.Time
}

func newOurs(t *testing.T, c *cluster) *ours {
	return &ours{t: t, c: c, status: map[string]vpav1.VerticalPodAutoscalerStatus{}, state: map[string]estimator.State{}}
}

func view(c *cluster) controller.View { return controller.View{Options: c.options} }

func (o *ours) schemes() checkpoint.Schemes {
	c := o.c.options.Rules
	return checkpoint.Schemes{CPU: estimator.CPUScheme(c.CPU.HalfLife), Memory: estimator.MemoryScheme(c.Memory.HalfLife)}
}

// turn decides on every object.
func (o *ours) turn() {
	o.t.Helper()
	o.at = o.c.now
	for _, v := range o.c.vpas {
		s := o.snapshot(v)
		d := estimator.Decide(s, o.state[v.Name])
		o.state[v.Name] = estimator.Commit(o.state[v.Name], d, decision.Outcome{Result: decision.Succeeded})
		old := o.status[v.Name]
		status := view(o.c).Status(&old, d)
		through(&status, &status)
		o.status[v.Name] = status
	}
}

func (o *ours) snapshot(v *vpav1.VerticalPodAutoscaler) estimator.Snapshot {
	o.t.Helper()
	shown := *v
	shown.Status = o.status[v.Name]
	s := estimator.Snapshot{Now: o.c.now.UTC(), Mode: estimator.ModeAuto, Config: o.c.config(), VPA: view(o.c).VPA(&shown)}
	a := o.c.target(v)
	if a.lost > 0 {
		s.TargetError = "Cannot read targetRef. Reason: " + errMissing.Error()
		return s
	}
	var matching []*corev1.Pod
	for _, pod := range o.c.pods() {
		if pod.Labels["app"] == a.name {
			matching = append(matching, pod)
		}
	}
	used := map[string]*metricsapi.PodMetrics{}
	for i := range o.c.usage {
		used[o.c.usage[i].Name] = &o.c.usage[i]
	}
	s.Pods = view(o.c).Pods(matching, used)
	return s
}

// checkpoint is the status that would be written for a container.
func (o *ours) checkpoint(v, container string) vpav1.VerticalPodAutoscalerCheckpointStatus {
	status := checkpoint.Encode(estimator.Settled(o.state[v], container, o.at, o.c.options.Rules.Memory.HalfLife), o.schemes(), o.at)
	through(&status, &status)
	return status
}

// checkpoints are those of all objects, as upstream names them.
func (o *ours) checkpoints() map[string]*vpav1.VerticalPodAutoscalerCheckpoint {
	out := map[string]*vpav1.VerticalPodAutoscalerCheckpoint{}
	for _, v := range o.c.vpas {
		for container := range o.state[v.Name].Learned {
			c := &vpav1.VerticalPodAutoscalerCheckpoint{Status: o.checkpoint(v.Name, container)}
			c.Namespace, c.Name = namespace, checkpoint.Name(v.Name, container)
			c.Spec.VPAObjectName, c.Spec.ContainerName = v.Name, container
			out[c.Name] = c
		}
	}
	return out
}

// begin makes the recommender anew from checkpoints of version v3.
func (o *ours) begin(from map[string]*vpav1.VerticalPodAutoscalerCheckpoint) {
	o.t.Helper()
	o.state = map[string]estimator.State{}
	for _, c := range from {
		learned, err := checkpoint.Decode(&c.Status, o.schemes())
		if err != nil {
			o.t.Fatal(err)
		}
		s, known := o.state[c.Spec.VPAObjectName]
		if !known {
			s.Learned = map[string]estimator.Learned{}
		}
		s.Learned[c.Spec.ContainerName] = learned
		o.state[c.Spec.VPAObjectName] = s
	}
}

// beginWhole makes the recommender anew from the annotations without loss.
func (o *ours) beginWhole() {
	o.t.Helper()
	for name, state := range o.state {
		fresh := estimator.State{Learned: map[string]estimator.Learned{}, Windows: map[string]map[string]estimator.Window{}}
		for container := range state.Learned {
			status := o.checkpoint(name, container)
			annotation, err := checkpoint.Attach(&status, checkpoint.History{Learned: state.Learned[container], Running: estimator.Running(state, container)})
			if err != nil {
				o.t.Fatal(err)
			}
			h, whole := checkpoint.Detach(&status, annotation, o.schemes())
			if !whole {
				o.t.Fatalf("the history of %s is not read back", container)
			}
			fresh.Learned[container] = h.Learned
			for pod, w := range h.Running {
				if fresh.Windows[pod] == nil {
					fresh.Windows[pod] = map[string]estimator.Window{}
				}
				fresh.Windows[pod][container] = w
			}
		}
		o.state[name] = fresh
	}
}
