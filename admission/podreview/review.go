package podreview

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// Review is a review of a pod.
type Review struct {
	UID                    string
	Operation, SubResource string
	// Version is that of the reviewed resource.
	Version         string
	Namespace, Name string
	DryRun          bool
	// Pod has the name, the owners, and of its annotations those that were asked
	// for; and of its spec what Containers reads.
	Pod corev1.Pod
	// spec is the pod's, as it was sent.
	spec []byte
}

// Read reads a review and the pod's metadata. keep says which annotations are
// wanted; the others leave an empty map. The error says what is no JSON, or that
// the body is no review.
func Read(body []byte, keep func(annotation []byte) bool) (*Review, error) {
	r, out, found := &reader{data: body}, &Review{}, false
	r.space()
	r.object(func(key []byte) {
		if string(key) == "request" {
			found = r.object(func(key []byte) { out.member(r, key, keep) })
		}
	})
	if r.err != nil {
		return nil, r.err
	}
	if !found {
		return nil, errors.New("there is no request in it")
	}
	out.Pod.Namespace = out.Namespace
	return out, nil
}

func (v *Review) member(r *reader, key []byte, keep func([]byte) bool) {
	switch string(key) {
	case "uid":
		v.UID = r.text()
	case "operation":
		v.Operation = r.text()
	case "subResource":
		v.SubResource = r.text()
	case "namespace":
		v.Namespace = r.text()
	case "name":
		v.Name = r.text()
	case "dryRun":
		v.DryRun = r.truth()
	case "resource":
		r.object(func(key []byte) {
			if string(key) == "version" {
				v.Version = r.text()
			}
		})
	case "object":
		r.object(func(key []byte) {
			switch string(key) {
			case "metadata":
				metadata(r, &v.Pod, keep)
			case "spec":
				start := r.at
				r.skip()
				v.spec = r.data[start:r.at]
			}
		})
	}
}

func metadata(r *reader, pod *corev1.Pod, keep func([]byte) bool) {
	r.object(func(key []byte) {
		switch string(key) {
		case "name":
			pod.Name = r.text()
		case "generateName":
			pod.GenerateName = r.text()
		case "annotations":
			annotations := map[string]string{}
			if r.object(func(key []byte) {
				if keep(key) {
					annotations[string(key)] = r.text()
				}
			}) {
				pod.Annotations = annotations
			}
		case "ownerReferences":
			r.array(func() { pod.OwnerReferences = append(pod.OwnerReferences, owner(r)) })
		}
	})
}

// Containers reads the pod's containers with their resources into Pod.Spec, and
// where words are wanted their environment, command and arguments. It may be
// called once, while the body that the review was read from is unchanged.
func (v *Review) Containers(words bool) error {
	if v.spec == nil {
		return nil
	}
	r, spec := &reader{data: v.spec}, &v.Pod.Spec
	r.object(func(key []byte) {
		switch string(key) {
		case "containers":
			spec.Containers = containers(r, words)
		case "initContainers":
			spec.InitContainers = containers(r, words)
		case "resources":
			resources := &corev1.ResourceRequirements{}
			if r.object(func(key []byte) { requirements(r, key, resources) }) {
				spec.Resources = resources
			}
		}
	})
	if r.err != nil {
		return fmt.Errorf("read the pod's spec: %w", r.err)
	}
	return nil
}
