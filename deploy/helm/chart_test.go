// Package helm_test renders the chart with the pinned helm under many values,
// decodes every object strictly into its type, and holds the rendered whole to
// what others rely on: names, certificates, permissions. Whether a cluster takes
// the objects is for the lab's tests to say.
package helm_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/yaml"

	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

const namespace = "quartet-system"

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, rbacv1.AddToScheme, policyv1.AddToScheme,
		apiextensionsv1.AddToScheme, apiregistrationv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return scheme
}

func helm(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	programs, err := toolchain.Pinned(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return run(t.Context(), programs.Path(toolchain.Helm), args)
}

func run(ctx context.Context, program string, args []string) (string, string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return stdout.String(), stderr.String(), err
}

// rendered are the objects of a release, by kind and name.
type rendered map[string]runtime.Object

// render gives the objects that the values make. set are helm's --set arguments.
func render(t *testing.T, set ...string) rendered {
	t.Helper()
	args := []string{"template", "quartet", "quartet", "--namespace", namespace}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	stdout, stderr, err := helm(t, args...)
	if err != nil {
		t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	scheme := newScheme(t)
	objects := rendered{}
	for _, doc := range strings.Split("\n"+stdout, "\n---") {
		var head struct {
			metav1.TypeMeta   `json:",inline"`
			metav1.ObjectMeta `json:"metadata"`
		}
		if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		if head.Kind == "" {
			continue
		}
		obj, err := scheme.New(head.GroupVersionKind())
		if err != nil {
			t.Fatalf("%s %s: %v", head.Kind, head.Name, err)
		}
		if err := yaml.UnmarshalStrict([]byte(doc), obj); err != nil {
			t.Errorf("%s %s: %v", head.Kind, head.Name, err)
		}
		key := head.Kind + "/" + head.Name
		if head.Namespace != "" && head.Namespace != namespace {
			key = head.Kind + "/" + head.Namespace + "/" + head.Name
		}
		if objects[key] != nil {
			t.Errorf("%s is rendered twice", key)
		}
		objects[key] = obj
	}
	return objects
}

func get[T runtime.Object](t *testing.T, objects rendered, key string) T {
	t.Helper()
	obj, ok := objects[key].(T)
	if !ok {
		t.Fatalf("no %s among the rendered objects", key)
	}
	return obj
}

func TestLint(t *testing.T) {
	stdout, stderr, err := helm(t, "lint", "--strict", "quartet")
	if err != nil {
		t.Errorf("helm lint: %v\n%s%s", err, stdout, stderr)
	}
}

func TestDefaultObjects(t *testing.T) {
	objects := render(t)
	crds := 0
	for key := range objects {
		if strings.HasPrefix(key, "CustomResourceDefinition/") {
			crds++
		}
	}
	if crds != 7 {
		t.Errorf("%d CRDs, want 7", crds)
	}
	for _, component := range []string{"metrics-adapter", "hpa-controller"} {
		deployment := get[*appsv1.Deployment](t, objects, "Deployment/"+component)
		container := deployment.Spec.Template.Spec.Containers[0]
		if diff := cmp.Diff([]string{"/" + component}, container.Command); diff != "" {
			t.Errorf("%s: command (-want +have):\n%s", component, diff)
		}
		if objects["PodDisruptionBudget/"+component] != nil {
			t.Errorf("%s: one replica has a disruption budget, which would block every drain", component)
		}
		selector := get[*corev1.Service](t, objects, "Service/"+component).Spec.Selector
		for key, value := range selector {
			if deployment.Spec.Template.Labels[key] != value {
				t.Errorf("%s: the Service's selector %v misses the pods %v", component, selector, deployment.Spec.Template.Labels)
			}
		}
	}
}

// TestCertificates checks that the aggregation layer would trust what each
// binary serves.
func TestCertificates(t *testing.T) {
	objects := render(t)
	for component, apiService := range map[string]string{
		"metrics-adapter": "v1beta1.external.metrics.k8s.io",
		"hpa-controller":  "v1alpha1.hpa.decisions.quartet.dev",
	} {
		secret := get[*corev1.Secret](t, objects, "Secret/"+component+"-tls")
		pair, err := tls.X509KeyPair(secret.Data["tls.crt"], secret.Data["tls.key"])
		if err != nil {
			t.Fatalf("%s: %v", component, err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(get[*apiregistrationv1.APIService](t, objects, "APIService/"+apiService).Spec.CABundle) {
			t.Fatalf("%s: no certificate in the APIService's caBundle", component)
		}
		host := component + "." + namespace + ".svc"
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); err != nil {
			t.Errorf("%s: %v", component, err)
		}
	}
}

func TestValues(t *testing.T) {
	cases := map[string]struct {
		set     []string
		want    []string
		without []string
	}{
		"several replicas have a budget": {
			set:  []string{"metricsAdapter.replicas=3", "hpaController.replicas=2"},
			want: []string{"PodDisruptionBudget/metrics-adapter", "PodDisruptionBudget/hpa-controller"},
		},
		"a component can be left out": {
			set:     []string{"metricsAdapter.enabled=false"},
			want:    []string{"Deployment/hpa-controller"},
			without: []string{"Deployment/metrics-adapter", "APIService/v1beta1.external.metrics.k8s.io", "ClusterRole/quartet:metrics-adapter"},
		},
		"each API group can be left out": {
			set:     []string{"apiServices.externalMetrics=false", "apiServices.hpaDecisions=false"},
			want:    []string{"Secret/metrics-adapter-tls"},
			without: []string{"APIService/v1beta1.external.metrics.k8s.io", "APIService/v1alpha1.hpa.decisions.quartet.dev"},
		},
		"a certificate can be given": {
			set:     []string{"hpaController.tls.existingSecret=mine", "hpaController.tls.caBundle=pem"},
			want:    []string{"APIService/v1alpha1.hpa.decisions.quartet.dev", "Secret/metrics-adapter-tls"},
			without: []string{"Secret/hpa-controller-tls", "Secret/mine"},
		},
		"Secrets of some namespaces": {
			set:     []string{"metricsAdapter.secretNamespaces={shop,data}"},
			want:    []string{"Role/shop/quartet:metrics-adapter:credentials", "RoleBinding/data/quartet:metrics-adapter:credentials"},
			without: []string{"ClusterRole/quartet:metrics-adapter:credentials"},
		},
		"Secrets of all namespaces": {
			set:  []string{"metricsAdapter.secretNamespaces={*}"},
			want: []string{"ClusterRole/quartet:metrics-adapter:credentials", "ClusterRoleBinding/quartet:metrics-adapter:credentials"},
		},
		"CRDs can be left to others": {
			set:     []string{"crds.install=false"},
			without: []string{"CustomResourceDefinition/metricsources.autoscaling.quartet.dev"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			objects := render(t, c.set...)
			for _, key := range c.want {
				if objects[key] == nil {
					t.Errorf("%s is missing", key)
				}
			}
			for _, key := range c.without {
				if objects[key] != nil {
					t.Errorf("%s is there", key)
				}
			}
		})
	}
}

func TestRefusedValues(t *testing.T) {
	cases := map[string]struct{ set, want string }{
		"a misspelled key":    {set: "hpaControler.mode=Auto", want: "hpaControler"},
		"an unknown mode":     {set: "hpaController.mode=On", want: "/hpaController/mode"},
		"a port out of range": {set: "metricsAdapter.port=70000", want: "/metricsAdapter/port"},
		"a bare argument":     {set: "hpaController.extraArgs={version}", want: "/hpaController/extraArgs/0"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, stderr, err := helm(t, "template", "quartet", "quartet", "--set", c.set)
			if err == nil || !strings.Contains(stderr, c.want) {
				t.Errorf("%v, %q, want an error with %q", err, stderr, c.want)
			}
		})
	}
}

func TestPodSettings(t *testing.T) {
	objects := render(t,
		"hpaController.ledger.dir=/ledger", "hpaController.extraArgs={--sync-period=5s}",
		"hpaController.podSpec.nodeSelector.disk=ssd", "commonLabels.team=scaling", "crds.keep=false")
	deployment := get[*appsv1.Deployment](t, objects, "Deployment/hpa-controller")
	pod := deployment.Spec.Template.Spec
	for _, arg := range []string{"--ledger-dir=/ledger", "--sync-period=5s", "--mode=Auto"} {
		if !slices.Contains(pod.Containers[0].Args, arg) {
			t.Errorf("%s is not among the arguments %v", arg, pod.Containers[0].Args)
		}
	}
	if pod.NodeSelector["disk"] != "ssd" {
		t.Errorf("node selector %v", pod.NodeSelector)
	}
	if deployment.Spec.Template.Labels["team"] != "scaling" || deployment.Labels["team"] != "scaling" {
		t.Error("the common label is not on the Deployment and its pods")
	}
	crd := get[*apiextensionsv1.CustomResourceDefinition](t, objects, "CustomResourceDefinition/nodepools.autoscaling.quartet.dev")
	if _, kept := crd.Annotations["helm.sh/resource-policy"]; kept {
		t.Error("the CRD is kept although crds.keep is false")
	}
}

// TestPermissions holds the roles of the binaries to a list: a new permission is
// a decision that a reviewer must see.
func TestPermissions(t *testing.T) {
	objects := render(t)
	for name, want := range map[string][]string{
		"quartet:metrics-adapter": {
			"autoscaling.quartet.dev/metricsources get list watch",
			"autoscaling.quartet.dev/metricsources/status patch",
			"events.k8s.io/events create patch",
		},
		"quartet:hpa-controller": {
			"*/*/scale get update",
			"autoscaling/horizontalpodautoscalers get list watch",
			"autoscaling/horizontalpodautoscalers/status update",
			"custom.metrics.k8s.io/* get list",
			"events create patch",
			"external.metrics.k8s.io/* get list",
			"metrics.k8s.io/pods get list",
			"pods list watch",
		},
	} {
		role := get[*rbacv1.ClusterRole](t, objects, "ClusterRole/"+name)
		var have []string
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					have = append(have, strings.TrimPrefix(group+"/"+resource, "/")+" "+strings.Join(rule.Verbs, " "))
				}
			}
		}
		slices.Sort(have)
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s (-want +have):\n%s", name, diff)
		}
	}
}
