package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/kube"
	"github.com/quartet-autoscaling/quartet/internal/loop"
)

// visit is one turn's view of the cluster, handed from the observer to the
// actuator and the publisher in the context.
type visit struct {
	// hpa is the cache's and must not be changed. A HorizontalScaler is given as
	// one, with its own kind.
	hpa   *autoscalingv2.HorizontalPodAutoscaler
	scale kube.Scale
	// moved tells that the target is not what it was decided by: the turn is taken
	// again.
	moved bool
	// policy is what is attached to the object, nil for nothing.
	policy *replicas.Policy
	// slots are where the turn waits for answers and writes.
	slots *slots
	// queries are how long each metric took, in the order of the spec.
	queries []time.Duration
}

type visitKey struct{}

func withVisit(ctx context.Context, v *visit) context.Context {
	return context.WithValue(ctx, visitKey{}, v)
}

func visitOf(ctx context.Context) *visit {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		return v
	}
	return &visit{}
}

// hpaSource finds an object in the cache; nil where it is gone.
type hpaSource func(key object) *autoscalingv2.HorizontalPodAutoscaler

// scaleClient reads and sets counts.
type scaleClient interface {
	Get(ctx context.Context, ref kube.Ref) (kube.Scale, error)
	Set(ctx context.Context, read kube.Scale, replicas int32, manager string) error
}

// policySource gives what is attached to an object at a time; nil for nothing.
type policySource func(key object, now time.Time) *replicas.Policy

// metricSource answers one metric.
type metricSource interface {
	sample(ctx context.Context, namespace string, m replicas.Metric, pods labels.Selector) replicas.Samples
}

// observer gathers a snapshot.
type observer struct {
	mode   string
	config replicas.Config
	hpas   hpaSource
	// policies is nil where there are none.
	policies policySource
	pods     *kube.Pods
	scales   scaleClient
	metrics  metricSource
	rivals   *rivals
	// asker asks metrics; assemble makes it.
	asker *asker
	// targets tells of targets and of what owns pods, sharing and verticals of what
	// else acts on them. Without targets all pods count by label, and nothing is told
	// of what is around.
	targets   targetSource
	sharing   func(*autoscalingv2.HorizontalPodAutoscaler) []string
	verticals *verticals
}

// Observe gathers everything that the decision on one object needs. What fails
// is data in the snapshot.
func (o *observer) Observe(ctx context.Context, unit decision.Unit, now time.Time) (replicas.Snapshot, error) {
	v := visitOf(ctx)
	v.hpa = o.hpas(objectOfUnit(unit))
	if v.hpa == nil || string(v.hpa.UID) != unit.UID {
		return replicas.Snapshot{}, loop.ErrGone
	}
	s := replicas.Snapshot{
		Now: now, Mode: o.mode, Config: o.config,
		Gates:  replicas.Gates{ScaleToZero: true},
		HPA:    projectHPA(v.hpa, o.config),
		Writer: projectWriter(v.hpa),
	}
	if o.policies != nil {
		v.policy = o.policies(objectOfUnit(unit), now)
		s.Policy = v.policy
	}
	o.scale(ctx, v, &s)
	o.around(v, &s)
	var selector labels.Selector
	if s.Scale.Selector != "" {
		var err error
		if selector, err = labels.Parse(s.Scale.Selector); err != nil {
			s.Scale.SelectorError = err.Error()
		}
	}
	if !replicas.NeedsMetrics(&s) {
		return s, nil
	}
	matching, err := o.pods.Matching(unit.Namespace, selector)
	if err != nil {
		return replicas.Snapshot{}, err
	}
	whose := ownership{o.targets}
	pods, strays, claim := whose.split(matching, claimOf(s.HPA.Target, v.scale.UID))
	o.rivals.put(objectOfUnit(unit), s.Scale.Selector, watched{selector, claim})
	if s.Rivals = o.rivals.of(unit.Namespace, pods, whose); s.Rivals != nil {
		// Whose pods they are is not known: no metric of them is asked for.
		return s, nil
	}
	s.Pods, s.Strays = projectPods(pods, s.HPA.Metrics), whose.describe(strays)
	s.Verticals = o.verticals.of(unit.Namespace, s.HPA.Target, pods)
	err = o.sample(ctx, v, &s, question{namespace: unit.Namespace, selector: selector, text: s.Scale.Selector, pods: pods})
	for key, samples := range s.Samples {
		s.Samples[key] = withoutStrays(samples, strays)
	}
	return s, err
}

// around tells what else is known of the target without asking for anything.
func (o *observer) around(v *visit, s *replicas.Snapshot) {
	if o.targets == nil {
		return
	}
	target := o.targets.Find(refOf(s))
	s.Setter, s.Rollout = projectSetter(target), projectRollout(target)
	s.Sharers = o.sharing(v.hpa)
}

func refOf(s *replicas.Snapshot) kube.Ref {
	t := s.HPA.Target
	return kube.Ref{Namespace: s.HPA.Namespace, APIVersion: t.APIVersion, Kind: t.Kind, Name: t.Name}
}

func (o *observer) scale(ctx context.Context, v *visit, s *replicas.Snapshot) {
	var err error
	v.scale, err = o.scales.Get(ctx, refOf(s))
	if err != nil {
		var invalid *kube.TargetError
		s.Scale = replicas.Scale{Error: err.Error(), InvalidTarget: errors.As(err, &invalid)}
		return
	}
	s.Scale = replicas.Scale{
		Spec: v.scale.Spec.Replicas, Status: v.scale.Status.Replicas, Selector: v.scale.Status.Selector,
	}
}

// sample asks for all metrics of the spec at the same time; q is what they have in
// common.
func (o *observer) sample(ctx context.Context, v *visit, s *replicas.Snapshot, q question) error {
	asked := make([]pending, len(s.HPA.Metrics))
	for i, m := range s.HPA.Metrics {
		q.metric = m
		asked[i] = o.asker.ask(q)
	}
	if err := v.slots.await(ctx, asked); err != nil {
		return fmt.Errorf("ask for metrics: %w", err)
	}
	s.Samples = make(map[string]replicas.Samples, len(asked))
	v.queries = make([]time.Duration, len(asked))
	for i := range asked {
		s.Samples[replicas.Key(i)], v.queries[i] = asked[i].read()
	}
	return nil
}
