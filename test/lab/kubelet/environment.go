package kubelet

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"
)

// mount says where this machine has what a container finds under a path.
type mount struct {
	inside, outside string
	pattern         *regexp.Regexp
}

// mounts is ordered by the length of the inside path, longest first.
type mounts []mount

func newMount(inside, outside string) mount {
	inside = strings.TrimSuffix(inside, "/")
	// The path as a whole, or as the beginning of one, between what separates words in arguments and files.
	pattern := regexp.MustCompile(`(^|[\s=,:;"'])` + regexp.QuoteMeta(inside) + `($|[\s=,:;"'/])`)
	return mount{inside: inside, outside: outside, pattern: pattern}
}

// translate replaces paths of the container by this machine's.
func (m mounts) translate(text string) string {
	for _, mount := range m {
		replacement := "${1}" + strings.ReplaceAll(mount.outside, "$", "$$") + "${2}"
		// Twice, since what separates two paths belongs to one match only.
		text = mount.pattern.ReplaceAllString(text, replacement)
		text = mount.pattern.ReplaceAllString(text, replacement)
	}
	return text
}

// environment holds the variables of a container, in their order.
type environment struct {
	own    map[string]string
	names  []string
	mounts mounts
}

// all returns the variables for a process: the base, then the container's own, which count where both have one.
func (e environment) all(base []string) []string {
	all := append([]string{}, base...)
	for _, name := range e.names {
		all = append(all, name+"="+e.mounts.translate(e.own[name]))
	}
	return all
}

func (e *environment) set(name, value string) {
	if _, ok := e.own[name]; !ok {
		e.names = append(e.names, name)
	}
	e.own[name] = value
}

// environment resolves the container's variables.
func (p *pod) environment(ctx context.Context) (environment, error) {
	e := environment{own: map[string]string{}, mounts: p.mounts}
	e.set("HOSTNAME", p.podName())
	if len(p.container.EnvFrom) > 0 {
		return e, fmt.Errorf("the container of %s uses envFrom, which the lab does not know", p.name)
	}
	for _, variable := range p.container.Env {
		value := expand(variable.Value, e.own)
		if variable.ValueFrom != nil {
			var err error
			if value, err = p.valueFrom(ctx, variable.ValueFrom); err != nil {
				return e, fmt.Errorf("finding the value of %s for %s: %w", variable.Name, p.name, err)
			}
		}
		e.set(variable.Name, value)
	}
	return e, nil
}

func (p *pod) valueFrom(ctx context.Context, source *corev1.EnvVarSource) (string, error) {
	switch {
	case source.FieldRef != nil:
		return p.field(source.FieldRef.FieldPath)
	case source.ResourceFieldRef != nil:
		return p.resource(source.ResourceFieldRef)
	case source.SecretKeyRef != nil:
		ref := source.SecretKeyRef
		var secret corev1.Secret
		err := p.config.Client.Get(ctx, ctrlclient.ObjectKey{Namespace: p.namespace, Name: ref.Name}, &secret)
		if missing(err, ref.Optional) {
			return "", nil
		}
		return string(secret.Data[ref.Key]), err
	case source.ConfigMapKeyRef != nil:
		ref := source.ConfigMapKeyRef
		var object corev1.ConfigMap
		err := p.config.Client.Get(ctx, ctrlclient.ObjectKey{Namespace: p.namespace, Name: ref.Name}, &object)
		if missing(err, ref.Optional) {
			return "", nil
		}
		return object.Data[ref.Key], err
	default:
		return "", fmt.Errorf("the lab does not know this kind of source")
	}
}

// labelField matches metadata.labels['key'] and metadata.annotations['key'].
var labelField = regexp.MustCompile(`^metadata\.(labels|annotations)\['([^']*)'\]$`)

// field answers the downward API.
func (p *pod) field(path string) (string, error) {
	switch path {
	case "metadata.name":
		return p.podName(), nil
	case "metadata.namespace":
		return p.namespace, nil
	case "metadata.uid":
		return "lab-" + filepath.Base(p.dir()), nil
	case "spec.serviceAccountName":
		return p.account(), nil
	case "spec.nodeName":
		return "lab-host", nil
	case "status.podIP", "status.podIPs", "status.hostIP", "status.hostIPs":
		return loopback, nil
	}
	if match := labelField.FindStringSubmatch(path); match != nil {
		if match[1] == "labels" {
			return p.meta.labels[match[2]], nil
		}
		return p.meta.annotations[match[2]], nil
	}
	return "", fmt.Errorf("the lab does not know the field %s", path)
}

// resource answers limits and requests, rounded up to the divisor as Kubernetes does.
func (p *pod) resource(ref *corev1.ResourceFieldSelector) (string, error) {
	kind, name, ok := strings.Cut(ref.Resource, ".")
	list := p.container.Resources.Limits
	if kind == "requests" {
		list = p.container.Resources.Requests
	}
	quantity, found := list[corev1.ResourceName(name)]
	if !ok || !found {
		return "", fmt.Errorf("the container has no %s", ref.Resource)
	}
	divisor := ref.Divisor.MilliValue()
	if divisor == 0 {
		divisor = 1000
	}
	return strconv.FormatInt((quantity.MilliValue()+divisor-1)/divisor, 10), nil
}

var reference = regexp.MustCompile(`\$?\$\([A-Za-z_][A-Za-z0-9_.-]*\)`)

// expand replaces $(NAME) by the variable's value as Kubernetes does: an unknown one stays as it is, and $$(NAME)
// stands for $(NAME) itself.
func expand(text string, variables map[string]string) string {
	return reference.ReplaceAllStringFunc(text, func(found string) string {
		if strings.HasPrefix(found, "$$") {
			return found[1:]
		}
		if value, ok := variables[found[2:len(found)-1]]; ok {
			return value
		}
		return found
	})
}
