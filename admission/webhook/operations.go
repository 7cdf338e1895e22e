package webhook

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/quartet-autoscaling/quartet/admission/patch"
	"github.com/quartet-autoscaling/quartet/admission/runtimes"
)

// operationsOf is the patch as the API server gets it: the decision's operations,
// and for its edits the strings of the pod as they are to be. An edit that does
// not fit the pod is left out.
func operationsOf(d patch.Decision, pod *corev1.Pod) []patch.Operation {
	if len(d.Edits) == 0 {
		return d.Operations
	}
	out := append(make([]patch.Operation, 0, len(d.Operations)+len(d.Edits)), d.Operations...)
	for rest := d.Edits; len(rest) > 0; {
		path, parts := rest[0].Path, []runtimes.Replacement(nil)
		for len(rest) > 0 && rest[0].Path == path {
			parts = append(parts, runtimes.Replacement{Offset: rest[0].Offset, From: rest[0].From, To: rest[0].To})
			rest = rest[1:]
		}
		if text := stringAt(pod, path); text != nil {
			if edited, ok := runtimes.Rewrite(*text, parts); ok {
				out = append(out, patch.Operation{Op: "replace", Path: path, Value: edited})
			}
		}
	}
	return out
}

// stringAt finds the string at a path such as /spec/containers/0/env/1/value; nil
// where there is none.
func stringAt(pod *corev1.Pod, path string) *string {
	words := strings.Split(path, "/")
	if len(words) < 6 || words[1] != "spec" {
		return nil
	}
	containers := pod.Spec.Containers
	if words[2] == "initContainers" {
		containers = pod.Spec.InitContainers
	}
	c, ok := element(containers, words[3])
	if !ok {
		return nil
	}
	switch words[4] {
	case "env":
		if e, ok := element(c.Env, words[5]); ok {
			return &e.Value
		}
	case "command":
		if s, ok := element(c.Command, words[5]); ok {
			return s
		}
	case "args":
		if s, ok := element(c.Args, words[5]); ok {
			return s
		}
	}
	return nil
}

func element[E any](all []E, index string) (*E, bool) {
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= len(all) {
		return nil, false
	}
	return &all[i], true
}
