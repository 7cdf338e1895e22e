package fit

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// Admits tells whether a node's labels and taints let the pod onto it.
func (p Pod) Admits(n Node) bool {
	return p.selects(n.Name, n.Labels) && p.tolerates(n.Taints)
}

// admitsPool tells whether a new node of the pool would take the pod, in any of
// its zones.
func (p Pod) admitsPool(pool Pool) bool {
	if !p.tolerates(pool.Taints) {
		return false
	}
	if len(pool.Zones) == 0 {
		return p.selects("", pool.Labels)
	}
	return slices.ContainsFunc(pool.Zones, func(zone string) bool {
		labels := map[string]string{corev1.LabelTopologyZone: zone}
		for name, value := range pool.Labels {
			labels[name] = value
		}
		return p.selects("", labels)
	})
}

// Labels are the names of the labels that placing the pod depends on.
func (p Pod) Labels() []string {
	var out []string
	for name := range p.Selector {
		out = append(out, name)
	}
	for _, term := range p.Affinity {
		for _, e := range term.MatchExpressions {
			out = append(out, e.Key)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (p Pod) selects(name string, labels map[string]string) bool {
	for key, value := range p.Selector {
		if has, ok := labels[key]; !ok || has != value {
			return false
		}
	}
	// Terms are alternatives; without any the pod may go anywhere.
	return len(p.Affinity) == 0 || slices.ContainsFunc(p.Affinity, func(term corev1.NodeSelectorTerm) bool {
		if len(term.MatchExpressions)+len(term.MatchFields) == 0 {
			return false
		}
		fields := map[string]string{}
		if name != "" {
			fields["metadata.name"] = name
		}
		return matchesAll(term.MatchExpressions, labels) && matchesAll(term.MatchFields, fields)
	})
}

func matchesAll(all []corev1.NodeSelectorRequirement, values map[string]string) bool {
	return !slices.ContainsFunc(all, func(r corev1.NodeSelectorRequirement) bool { return !matches(r, values) })
}

func matches(r corev1.NodeSelectorRequirement, values map[string]string) bool {
	value, has := values[r.Key]
	switch r.Operator {
	case corev1.NodeSelectorOpIn:
		return has && slices.Contains(r.Values, value)
	case corev1.NodeSelectorOpNotIn:
		return !has || !slices.Contains(r.Values, value)
	case corev1.NodeSelectorOpExists:
		return has
	case corev1.NodeSelectorOpDoesNotExist:
		return !has
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if !has || len(r.Values) != 1 {
			return false
		}
		is, err := strconv.ParseInt(value, 10, 64)
		bound, wrong := strconv.ParseInt(r.Values[0], 10, 64)
		if err != nil || wrong != nil {
			return false
		}
		return r.Operator == corev1.NodeSelectorOpGt && is > bound || r.Operator == corev1.NodeSelectorOpLt && is < bound
	}
	return false
}

func (p Pod) tolerates(taints []corev1.Taint) bool {
	return !slices.ContainsFunc(taints, func(t corev1.Taint) bool {
		if t.Effect != corev1.TaintEffectNoSchedule && t.Effect != corev1.TaintEffectNoExecute {
			return false
		}
		return !slices.ContainsFunc(p.Tolerations, func(tolerated corev1.Toleration) bool { return toleratesTaint(tolerated, t) })
	})
}

// toleratesTaint knows Exists and Equal; other operators tolerate nothing here.
func toleratesTaint(tolerated corev1.Toleration, taint corev1.Taint) bool {
	if tolerated.Effect != "" && tolerated.Effect != taint.Effect || tolerated.Key != "" && tolerated.Key != taint.Key {
		return false
	}
	switch tolerated.Operator {
	case corev1.TolerationOpExists:
		return true
	case "", corev1.TolerationOpEqual:
		return tolerated.Key != "" && tolerated.Value == taint.Value
	}
	return false
}
