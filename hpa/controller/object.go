package controller

import (
	"context"
	"sync"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// object names one object that scales a target: a HorizontalPodAutoscaler or a
// HorizontalScaler.
type object struct {
	// kind is replicas.Kind or replicas.KindScaler.
	kind string
	types.NamespacedName
}

// String is namespace/name, with the kind before it where that is not
// HorizontalPodAutoscaler.
func (o object) String() string {
	if o.kind == replicas.KindScaler {
		return o.kind + " " + o.NamespacedName.String()
	}
	return o.NamespacedName.String()
}

// objectOf names an object as it is held by the caches.
func objectOf(hpa *autoscalingv2.HorizontalPodAutoscaler) object {
	kind := replicas.Kind
	if hpa.Kind == replicas.KindScaler {
		kind = replicas.KindScaler
	}
	return object{kind: kind, NamespacedName: types.NamespacedName{Namespace: hpa.Namespace, Name: hpa.Name}}
}

// objectOfUnit names the object that a decision is about.
func objectOfUnit(u decision.Unit) object {
	return object{kind: u.Kind, NamespacedName: types.NamespacedName{Namespace: u.Namespace, Name: u.Name}}
}

// objects are both kinds as the shell sees them: a HorizontalScaler is given as
// the HorizontalPodAutoscaler of the same spec and status, with its own kind.
type objects struct {
	hpas *hpaCache
	// scalers and policies are nil where the own kinds are not served.
	scalers  *scalerCache
	policies *policies
}

// newObjects makes the caches; own may be nil.
func newObjects(typed kubernetes.Interface, own client.WithWatch) (*objects, error) {
	o := &objects{}
	var err error
	if o.hpas, err = newHPACache(typed); err != nil {
		return nil, err
	}
	if o.scalers, err = newScalerCache(own); err != nil {
		return nil, err
	}
	if o.policies, err = newPolicies(own); err != nil {
		return nil, err
	}
	return o, nil
}

// policy gives what is attached to an object, as it holds at a time; nil for
// nothing.
func (o *objects) policy(key object, now time.Time) *replicas.Policy {
	if key.kind == replicas.KindScaler {
		return o.policies.inside(o.scalers.scaler(key.Namespace, key.Name), now)
	}
	return o.policies.attached(key, now)
}

// get finds an object; nil where there is none. What it returns is shared and
// must not be changed.
func (o *objects) get(key object) *autoscalingv2.HorizontalPodAutoscaler {
	if key.kind == replicas.KindScaler {
		return o.scalers.get(key.Namespace, key.Name)
	}
	return o.hpas.get(key.Namespace, key.Name)
}

// naming gives the objects of a namespace that name an external metric, of all
// namespaces where it is empty.
func (o *objects) naming(namespace, metric string) []object {
	return o.found(byExternalMetric, namespace+"/"+metric)
}

// found names the objects of both kinds with a value in an index.
func (o *objects) found(index, value string) []object {
	return append(o.hpas.found(index, value), o.scalers.found(index, value)...)
}

// run fills the caches and keeps them current until the context ends.
func (o *objects) run(ctx context.Context) {
	var filling sync.WaitGroup
	filling.Go(func() { o.hpas.run(ctx) })
	if o.scalers != nil {
		filling.Go(func() { o.scalers.Run(ctx) })
	}
	if o.policies != nil {
		filling.Go(func() { o.policies.Run(ctx) })
	}
	filling.Wait()
}

// watch calls back for every object that is there, appears, has its spec or its
// policy edited or goes, until stop is called.
func (o *objects) watch(changed func(object)) (stop func(), err error) {
	stopHPAs, err := o.hpas.watch(changed)
	if err != nil {
		return nil, err
	}
	stopScalers, err := o.scalers.watch(changed)
	if err != nil {
		stopHPAs()
		return nil, err
	}
	stopPolicies, err := o.policies.watch(changed)
	if err != nil {
		stopHPAs()
		stopScalers()
		return nil, err
	}
	return func() { stopHPAs(); stopScalers(); stopPolicies() }, nil
}
