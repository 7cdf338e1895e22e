package podreview

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func owner(r *reader) metav1.OwnerReference {
	var out metav1.OwnerReference
	r.object(func(key []byte) {
		switch string(key) {
		case "apiVersion":
			out.APIVersion = r.text()
		case "kind":
			out.Kind = r.text()
		case "name":
			out.Name = r.text()
		case "uid":
			out.UID = types.UID(r.text())
		case "controller":
			if controls := r.truth(); controls {
				out.Controller = &controls
			}
		}
	})
	return out
}

func containers(r *reader, words bool) []corev1.Container {
	var out []corev1.Container
	r.array(func() {
		out = append(out, corev1.Container{})
		c := &out[len(out)-1]
		r.object(func(key []byte) { container(r, key, c, words) })
	})
	return out
}

func container(r *reader, key []byte, c *corev1.Container, words bool) {
	switch string(key) {
	case "name":
		c.Name = r.text()
	case "restartPolicy":
		if policy := corev1.ContainerRestartPolicy(r.text()); policy != "" {
			c.RestartPolicy = &policy
		}
	case "resources":
		r.object(func(key []byte) { requirements(r, key, &c.Resources) })
	case "env":
		if words {
			r.array(func() { c.Env = append(c.Env, variable(r)) })
		}
	case "command":
		if words {
			r.array(func() { c.Command = append(c.Command, r.text()) })
		}
	case "args":
		if words {
			r.array(func() { c.Args = append(c.Args, r.text()) })
		}
	}
}

func variable(r *reader) corev1.EnvVar {
	var out corev1.EnvVar
	r.object(func(key []byte) {
		switch string(key) {
		case "name":
			out.Name = r.text()
		case "value":
			out.Value = r.text()
		}
	})
	return out
}

// requirements reads a member of resources. Of claims only their number is told.
func requirements(r *reader, key []byte, into *corev1.ResourceRequirements) {
	switch string(key) {
	case "requests":
		into.Requests = list(r)
	case "limits":
		into.Limits = list(r)
	case "claims":
		r.array(func() {
			r.skip()
			into.Claims = append(into.Claims, corev1.ResourceClaim{})
		})
	}
}

func list(r *reader) corev1.ResourceList {
	out := make(corev1.ResourceList, 2)
	if !r.object(func(key []byte) {
		name := corev1.ResourceName(key)
		out[name] = quantity(r)
	}) {
		return nil
	}
	return out
}

// quantity reads an amount, as a string or a number.
func quantity(r *reader) resource.Quantity {
	if r.err != nil || r.word("null") {
		return resource.Quantity{}
	}
	var text string
	if r.at < len(r.data) && r.data[r.at] == '"' {
		text = string(r.quoted())
	} else {
		text = string(r.token())
	}
	if r.err != nil {
		return resource.Quantity{}
	}
	q, err := resource.ParseQuantity(strings.TrimSpace(text))
	if err != nil {
		r.err = fmt.Errorf("amount %q: %w", text, err)
	}
	return q
}
