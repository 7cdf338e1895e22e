package controller

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/kube"
)

// policies holds all HorizontalScalingPolicies, and what was read of them and of
// the policies inside HorizontalScalers. Its methods may be called on nil, which
// holds none.
type policies struct {
	*kube.Custom

	mu    sync.Mutex
	known map[object]*policySpec
}

// kindPolicy is the kind of a policy that is an object of its own.
const kindPolicy = "HorizontalScalingPolicy"

// byTarget indexes policies by namespace and name of the HPA.
const byTarget = "target"

// newPolicies makes the cache; nil without a client.
func newPolicies(own client.WithWatch) (*policies, error) {
	if own == nil {
		return nil, nil
	}
	custom, err := kube.NewCustom(kube.CustomConfig{
		Client: own, Objects: "HorizontalScalingPolicies",
		Object: &v1alpha1.HorizontalScalingPolicy{}, List: func() client.ObjectList { return &v1alpha1.HorizontalScalingPolicyList{} },
		Transform: withoutManagers, Log: logReadable("HorizontalScalingPolicies"),
		Indexers: cache.Indexers{byTarget: func(o any) ([]string, error) {
			if p, ok := o.(*v1alpha1.HorizontalScalingPolicy); ok {
				return []string{targetOf(p).NamespacedName.String()}, nil
			}
			return nil, nil
		}},
	})
	if err != nil {
		return nil, err
	}
	return &policies{Custom: custom, known: map[object]*policySpec{}}, nil
}

// targetOf names the object that a policy is for.
func targetOf(p *v1alpha1.HorizontalScalingPolicy) object {
	return object{kind: replicas.Kind, NamespacedName: types.NamespacedName{Namespace: p.Namespace, Name: p.Spec.TargetRef.Name}}
}

func policyObject(p *v1alpha1.HorizontalScalingPolicy) object {
	return object{kind: kindPolicy, NamespacedName: client.ObjectKeyFromObject(p)}
}

func (p *policies) synced() bool { return p == nil || p.Synced() }

// get finds a policy; nil where there is none.
func (p *policies) get(key types.NamespacedName) *v1alpha1.HorizontalScalingPolicy {
	policy, _ := p.Get(key.Namespace, key.Name).(*v1alpha1.HorizontalScalingPolicy)
	return policy
}

// on gives the policies that are for an HPA, the one that holds first: the older,
// and of two of an age the one whose name is first. Those being deleted are gone.
func (p *policies) on(target object) []*v1alpha1.HorizontalScalingPolicy {
	found := p.ByIndex(byTarget, target.NamespacedName.String())
	if len(found) == 0 {
		return nil
	}
	out := make([]*v1alpha1.HorizontalScalingPolicy, 0, len(found))
	for _, o := range found {
		if policy, ok := o.(*v1alpha1.HorizontalScalingPolicy); ok && policy.DeletionTimestamp == nil {
			out = append(out, policy)
		}
	}
	slices.SortFunc(out, func(a, b *v1alpha1.HorizontalScalingPolicy) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	return out
}

// attached gives the policy that holds for an HPA; nil for none.
func (p *policies) attached(target object, now time.Time) *replicas.Policy {
	if p == nil {
		return nil
	}
	on := p.on(target)
	if len(on) == 0 {
		return nil
	}
	return p.read(on[0]).at(kindPolicy+" "+on[0].Name, now)
}

// inside gives the policy inside a HorizontalScaler; nil for none.
func (p *policies) inside(s *v1alpha1.HorizontalScaler, now time.Time) *replicas.Policy {
	if p == nil || s == nil || s.Spec.Policy == nil {
		return nil
	}
	of := written{
		object: scalerObject(s), uid: s.UID, generation: s.Generation, spec: s.Spec.Policy,
	}
	return p.readSpec(of).at(replicas.KindScaler+" "+s.Name, now)
}

// read gives what could be read of a policy.
func (p *policies) read(of *v1alpha1.HorizontalScalingPolicy) *policySpec {
	return p.readSpec(written{object: policyObject(of), uid: of.UID, generation: of.Generation, spec: &of.Spec.HorizontalPolicy})
}

// written is a policy as its owner wrote it.
type written struct {
	object
	uid        types.UID
	generation int64
	spec       *v1alpha1.HorizontalPolicy
}

// readSpec reads a spec once. Where it cannot be read the last one of the same
// object that could be stays.
func (p *policies) readSpec(w written) *policySpec {
	p.mu.Lock()
	defer p.mu.Unlock()
	have := p.known[w.object]
	if have != nil && have.uid != w.uid {
		have = nil
	}
	if have != nil && have.seen == w.generation && equality.Semantic.DeepEqual(have.latest, w.spec) {
		return have
	}
	next := &policySpec{uid: w.uid, seen: w.generation, latest: w.spec}
	schedules, err := parseSchedules(w.spec)
	switch {
	case err == nil:
		next.good, next.generation, next.schedules = w.spec, w.generation, schedules
	case have != nil && have.good != nil:
		next.fault = err
		next.good, next.generation, next.schedules = have.good, have.generation, have.schedules
	default:
		next.fault = err
	}
	p.known[w.object] = next
	return next
}

// forget drops what was read of an object that is gone.
func (p *policies) forget(key object) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, key)
}

// watch calls back with the HPA of each policy that is there, appears, is edited,
// or goes; with both where it is given another.
func (p *policies) watch(changed func(object)) (stop func(), err error) {
	if p == nil {
		return func() {}, nil
	}
	return p.each(func(before, after *v1alpha1.HorizontalScalingPolicy) {
		if before != nil && after != nil && !policyEdited(before, after) {
			return
		}
		for _, policy := range []*v1alpha1.HorizontalScalingPolicy{before, after} {
			if policy != nil {
				changed(targetOf(policy))
			}
		}
		if after == nil {
			p.forget(policyObject(before))
		}
	})
}

// policyEdited leaves out writes of the status.
func policyEdited(before, after *v1alpha1.HorizontalScalingPolicy) bool {
	return before.UID != after.UID || (before.DeletionTimestamp == nil) != (after.DeletionTimestamp == nil) ||
		!equality.Semantic.DeepEqual(before.Spec, after.Spec)
}

// each calls back for all that happens to policies; before is nil for one that is
// there or appears, after for one that goes.
func (p *policies) each(call func(before, after *v1alpha1.HorizontalScalingPolicy)) (stop func(), err error) {
	return watchObjects(p.Informer(), "HorizontalScalingPolicies", call)
}
