package helm_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// permissions are what the binaries may do: rules by role, of a namespace where
// "Role" goes before the name. The release's namespace is left out.
var permissions = map[string][]string{
	"quartet:metrics-adapter": {
		"apiregistration.k8s.io/apiservices [v1beta1.external.metrics.k8s.io v1beta1.custom.metrics.k8s.io v1beta2.custom.metrics.k8s.io] get",
		"autoscaling.quartet.dev/clustermetricsources get list watch",
		"autoscaling.quartet.dev/clustermetricsources/status patch",
		"autoscaling.quartet.dev/metricsources get list watch",
		"autoscaling.quartet.dev/metricsources/status patch",
		"events.k8s.io/events create patch",
		"namespaces list watch",
		"pods list watch",
	},
	"Role quartet:metrics-adapter:leader-election": leading("metrics-adapter"),
	"quartet:hpa-controller": {
		"*/*/scale get update",
		"adapter.decisions.quartet.dev/metricchanges watch",
		"apps/deployments list watch",
		"apps/replicasets list watch",
		"apps/statefulsets list watch",
		"autoscaling.k8s.io/verticalpodautoscalers list watch",
		"autoscaling.quartet.dev/horizontalscalers get list watch",
		"autoscaling.quartet.dev/horizontalscalers/status update",
		"autoscaling.quartet.dev/horizontalscalingpolicies get list watch",
		"autoscaling.quartet.dev/horizontalscalingpolicies/status update",
		"autoscaling/horizontalpodautoscalers get list watch",
		"autoscaling/horizontalpodautoscalers/status update",
		"custom.metrics.k8s.io/* get list",
		"events create patch",
		"external.metrics.k8s.io/* get list",
		"metrics.k8s.io/pods get list",
		"pods list watch",
	},
	"Role quartet:hpa-controller:leader-election": leading("hpa-controller"),
	"Role quartet:hpa-controller:state":           {"autoscaling.quartet.dev/stateshards list create update delete"},
	"quartet:vpa-recommender": {
		"*/*/scale get",
		"apps/daemonsets list watch",
		"apps/deployments list watch",
		"apps/replicasets list watch",
		"apps/statefulsets list watch",
		"autoscaling.k8s.io/verticalpodautoscalercheckpoints list create patch delete",
		"autoscaling.k8s.io/verticalpodautoscalers get list watch",
		"autoscaling.k8s.io/verticalpodautoscalers/status update",
		"autoscaling.quartet.dev/horizontalscalers list watch",
		"autoscaling.quartet.dev/verticalscalingpolicies list watch",
		"autoscaling.quartet.dev/verticalscalingpolicies/status update",
		"autoscaling/horizontalpodautoscalers list watch",
		"batch/cronjobs list watch",
		"batch/jobs list watch",
		"events create patch",
		"events list watch",
		"metrics.k8s.io/pods list",
		"pods list watch",
		"replicationcontrollers list watch",
	},
	"Role quartet:vpa-recommender:leader-election": leading("vpa-recommender"),
	"Role kube-system/quartet:vpa-recommender:other-writers": {
		"coordination.k8s.io/leases [vpa-recommender-lease vpa-recommender] get",
	},
	"quartet:vpa-updater": {
		"apps/daemonsets list watch",
		"apps/replicasets get list watch",
		"apps/statefulsets list watch",
		"autoscaling.k8s.io/verticalpodautoscalers list watch",
		"autoscaling.quartet.dev/verticalscalingpolicies list watch",
		"batch/jobs get list watch",
		"events create patch",
		"limitranges list watch",
		"pods list watch",
		"pods patch",
		"pods/eviction create",
		"pods/resize patch",
		"replicationcontrollers list watch",
	},
	"Role quartet:vpa-updater:leader-election":           leading("vpa-updater"),
	"Role quartet:vpa-updater:admission-lease":           {"coordination.k8s.io/leases [vpa-admission-controller] get"},
	"Role kube-system/quartet:vpa-updater:other-writers": {"coordination.k8s.io/leases [vpa-updater] get"},
	"quartet:vpa-admission": {
		"admissionregistration.k8s.io/mutatingwebhookconfigurations [quartet-vpa-admission] get update",
		"admissionregistration.k8s.io/mutatingwebhookconfigurations [vpa-webhook-config] get",
		"admissionregistration.k8s.io/validatingwebhookconfigurations [quartet-vpa-admission] get update",
		"apps/replicasets get list watch",
		"autoscaling.k8s.io/verticalpodautoscalers list watch",
		"autoscaling.quartet.dev/verticalscalingpolicies list watch",
		"batch/jobs get list watch",
		"events create patch",
		"limitranges list watch",
	},
	"Role quartet:vpa-admission": append(leading("vpa-admission-controller"), "secrets [vpa-admission-webhook] get update"),
	"quartet:cluster-scaler": {
		"autoscaling.quartet.dev/nodepools get list",
		"autoscaling.quartet.dev/nodepools/status update",
		"events create patch",
		"namespaces list watch",
		"nodes get list watch create update delete",
		"pods list watch",
		"pods/eviction create",
		"policy/poddisruptionbudgets list watch",
	},
	"Role quartet:cluster-scaler:leader-election":           leading("cluster-scaler"),
	"Role kube-system/quartet:cluster-scaler:other-writers": {"coordination.k8s.io/leases [cluster-autoscaler] get"},
}

// leading is keeping one lease.
func leading(lease string) []string {
	return []string{"coordination.k8s.io/leases [" + lease + "] get update", "coordination.k8s.io/leases create"}
}

// TestPermissions holds the roles of the binaries to a list: a new permission is
// a decision that a reviewer must see.
func TestPermissions(t *testing.T) {
	have := map[string][]string{}
	for key, object := range everything(t, "userRoles=false") {
		switch role := object.(type) {
		case *rbacv1.ClusterRole:
			have[role.Name] = rules(role.Rules)
		case *rbacv1.Role:
			have[strings.Replace(key, "Role/", "Role ", 1)] = rules(role.Rules)
		}
	}
	if diff := cmp.Diff(permissions, have); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
}

// TestPermissionsOfKindness holds what the updater may do beyond, where it is to
// find out whether pods fit, and to roll Deployments out.
func TestPermissionsOfKindness(t *testing.T) {
	for setting, want := range map[string][]string{
		"vpaUpdater.fit=Policy": {"autoscaling.quartet.dev/nodepools list watch", "nodes list watch", "resourcequotas list watch"},
		"vpaUpdater.surge=true": {"apps/deployments list watch patch"},
	} {
		role := get[*rbacv1.ClusterRole](t, everything(t, setting), "ClusterRole/quartet:vpa-updater")
		var more []string
		for _, rule := range rules(role.Rules) {
			if !slices.Contains(permissions["quartet:vpa-updater"], rule) {
				more = append(more, rule)
			}
		}
		if diff := cmp.Diff(want, more); diff != "" {
			t.Errorf("%s (-want +have):\n%s", setting, diff)
		}
	}
}

// TestPermissionsOfSharing holds what several replicas of the adapter may do
// beyond one.
func TestPermissionsOfSharing(t *testing.T) {
	objects := everything(t, "metricsAdapter.replicas=2")
	role := get[*rbacv1.Role](t, objects, "Role/quartet:metrics-adapter:replicas")
	if diff := cmp.Diff([]string{"discovery.k8s.io/endpointslices list"}, rules(role.Rules)); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
	var paths []string
	for _, rule := range get[*rbacv1.ClusterRole](t, objects, "ClusterRole/quartet:metrics-adapter").Rules {
		for _, path := range rule.NonResourceURLs {
			paths = append(paths, path+" "+strings.Join(rule.Verbs, " "))
		}
	}
	if diff := cmp.Diff([]string{"/polls get"}, paths); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
	container := get[*appsv1.Deployment](t, objects, "Deployment/metrics-adapter").Spec.Template.Spec.Containers[0]
	if !slices.Contains(container.Args, "--share-polls") ||
		!slices.Contains(container.Args, "--share-polls-ca-file=/etc/quartet/tls/ca.crt") ||
		!slices.ContainsFunc(container.Env, func(v corev1.EnvVar) bool {
			return v.Name == "POD_IP" && v.ValueFrom != nil && v.ValueFrom.FieldRef.FieldPath == "status.podIP"
		}) {
		t.Errorf("the container has arguments %q and variables %v", container.Args, container.Env)
	}
	alone := get[*appsv1.Deployment](t, everything(t), "Deployment/metrics-adapter").Spec.Template.Spec.Containers[0]
	if slices.Contains(alone.Args, "--share-polls") {
		t.Error("one replica alone is told to share")
	}
}

// TestPermissionsOfMemoryByUsage holds what the updater may do where it asks for
// usage.
func TestPermissionsOfMemoryByUsage(t *testing.T) {
	objects := everything(t, "vpaUpdater.inPlaceMemoryDecrease=WhenUsageAllows")
	want := append(slices.Clone(permissions["quartet:vpa-updater"]), "metrics.k8s.io/pods list")
	slices.Sort(want)
	if diff := cmp.Diff(want, rules(get[*rbacv1.ClusterRole](t, objects, "ClusterRole/quartet:vpa-updater").Rules)); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
	container := get[*appsv1.Deployment](t, objects, "Deployment/vpa-updater").Spec.Template.Spec.Containers[0]
	if !slices.Contains(container.Args, "--in-place-memory-decrease=WhenUsageAllows") {
		t.Errorf("the container has arguments %q", container.Args)
	}
}

// rules gives a line for each resource.
func rules(all []rbacv1.PolicyRule) []string {
	var out []string
	for _, rule := range all {
		names := ""
		if len(rule.ResourceNames) > 0 {
			names = " [" + strings.Join(rule.ResourceNames, " ") + "]"
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				out = append(out, strings.TrimPrefix(group+"/"+resource, "/")+names+" "+strings.Join(rule.Verbs, " "))
			}
		}
	}
	slices.Sort(out)
	return out
}

// TestBindings checks that each binding is of a role that is there and to the
// component that the role is named after.
func TestBindings(t *testing.T) {
	objects := everything(t, "metricsAdapter.secretNamespaces={shop}")
	// What the API server itself brings.
	brought := []string{"ClusterRole/system:auth-delegator", "Role/kube-system/extension-apiserver-authentication-reader"}
	check := func(name, roleKey string, subjects []rbacv1.Subject) {
		if objects[roleKey] == nil && !slices.Contains(brought, roleKey) {
			t.Errorf("%s: there is no %s", name, roleKey)
		}
		component := strings.Split(name, ":")[1]
		want := []rbacv1.Subject{{Kind: "ServiceAccount", Name: component, Namespace: namespace}}
		if diff := cmp.Diff(want, subjects); diff != "" {
			t.Errorf("%s (-want +have):\n%s", name, diff)
		}
	}
	bound := 0
	for _, object := range objects {
		switch b := object.(type) {
		case *rbacv1.ClusterRoleBinding:
			check(b.Name, "ClusterRole/"+b.RoleRef.Name, b.Subjects)
			bound++
		case *rbacv1.RoleBinding:
			where := ""
			if b.Namespace != namespace {
				where = b.Namespace + "/"
			}
			check(b.Name, "Role/"+where+b.RoleRef.Name, b.Subjects)
			bound++
		}
	}
	if bound < 3*len(components) {
		t.Errorf("only %d bindings", bound)
	}
}

// TestPeopleSeeDecisions checks that each group that is served can be read by
// those who may view the objects decided on.
func TestPeopleSeeDecisions(t *testing.T) {
	objects := everything(t)
	readable := map[string]bool{}
	for _, name := range []string{"quartet:view", "quartet:cluster-view"} {
		for _, rule := range get[*rbacv1.ClusterRole](t, objects, "ClusterRole/"+name).Rules {
			for _, group := range rule.APIGroups {
				readable[group] = slices.Contains(rule.Verbs, "get")
			}
		}
	}
	served := 0
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		if group, ok := strings.CutPrefix(key, "APIService/v1alpha1."); ok {
			served++
			if !readable[group] {
				t.Errorf("nobody may read %s", group)
			}
		}
	}
	if served != len(components) {
		t.Errorf("%d groups of decisions, want one of each component", served)
	}
}
