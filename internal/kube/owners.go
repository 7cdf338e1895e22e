package kube

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Ownership tells whether a pod's controllers lead to a target.
type Ownership int

const (
	// Owned means that the target is among them.
	Owned Ownership = iota
	// Pending means that one of them is of a cached kind and not in the cache, so that what is
	// above it is not known.
	Pending
	// Elsewhere means that they lead to something else, or to a kind that is not cached, or
	// there are none.
	Elsewhere
)

// mostOwners is how far up controllers are followed.
const mostOwners = 5

// Ownership follows the controllers of a pod up to the target, by its UID.
func (t *Targets) Ownership(pod *corev1.Pod, target types.UID) Ownership {
	owner := metav1.GetControllerOfNoCopy(pod)
	for range mostOwners {
		if owner == nil {
			return Elsewhere
		}
		if owner.UID == target {
			return Owned
		}
		above, cached := t.controller(pod.Namespace, owner)
		switch {
		case !cached:
			return Elsewhere
		case above == nil:
			return Pending
		}
		owner = metav1.GetControllerOfNoCopy(above)
	}
	return Elsewhere
}

// TopOwner names the highest controller of a pod that is known, as "Deployment
// api", and nothing where it has none.
func (t *Targets) TopOwner(pod *corev1.Pod) string {
	name := ""
	owner := metav1.GetControllerOfNoCopy(pod)
	for range mostOwners {
		if owner == nil {
			break
		}
		name = owner.Kind + " " + owner.Name
		above, _ := t.controller(pod.Namespace, owner)
		if above == nil {
			break
		}
		owner = metav1.GetControllerOfNoCopy(above)
	}
	return name
}

// controller finds a controller in the caches; nil where it is not there, or is
// another of the name. The second value tells whether its kind is cached.
func (t *Targets) controller(namespace string, owner *metav1.OwnerReference) (*Target, bool) {
	ref := Ref{Namespace: namespace, APIVersion: owner.APIVersion, Kind: owner.Kind, Name: owner.Name}
	if _, cached := t.kind(ref); !cached {
		return nil, false
	}
	found := t.Find(ref)
	if found == nil || found.UID != owner.UID {
		return nil, true
	}
	return found, true
}
