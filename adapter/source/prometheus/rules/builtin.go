package rules

// Builtin is a Mapper that knows the kinds that every cluster has, and no cluster.
// With it an override of another kind is taken for one within namespaces, named in
// the plural.
type Builtin struct{}

// kinds of every cluster: singular, and what it is.
var kinds = []struct {
	singular string
	Resource
}{
	{"pod", Resource{"", "pods", true}},
	{"service", Resource{"", "services", true}},
	{"persistentvolumeclaim", Resource{"", "persistentvolumeclaims", true}},
	{"replicationcontroller", Resource{"", "replicationcontrollers", true}},
	{"node", Resource{"", "nodes", false}},
	{"persistentvolume", Resource{"", "persistentvolumes", false}},
	{"namespace", namespaces},
	{"deployment", Resource{"apps", "deployments", true}},
	{"statefulset", Resource{"apps", "statefulsets", true}},
	{"daemonset", Resource{"apps", "daemonsets", true}},
	{"replicaset", Resource{"apps", "replicasets", true}},
	{"job", Resource{"batch", "jobs", true}},
	{"cronjob", Resource{"batch", "cronjobs", true}},
	{"ingress", Resource{"networking.k8s.io", "ingresses", true}},
	{"horizontalpodautoscaler", Resource{"autoscaling", "horizontalpodautoscalers", true}},
}

// Resource finds a kind that every cluster has.
func (Builtin) Resource(group, name string) (Resource, bool, error) {
	for _, k := range kinds {
		if (name == k.singular || name == k.Plural) && (group == "" || group == k.Group) {
			return k.Resource, true, nil
		}
	}
	return Resource{}, false, nil
}
