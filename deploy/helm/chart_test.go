// Package helm_test renders the chart with the pinned helm under many values,
// decodes every object strictly into its type, and holds the rendered whole to
// what others rely on: names, certificates, permissions. Whether a cluster takes
// the objects is for the lab's tests to say.
package helm_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
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
		apiextensionsv1.AddToScheme, apiregistrationv1.AddToScheme, admissionregistrationv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return scheme
}

// readChart opens every file of the chart: only what a test itself opens makes
// the go command run it again, and here another program reads them.
var readChart = sync.OnceValue(func() error {
	return filepath.WalkDir("quartet", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		_, err = os.ReadFile(path)
		return err
	})
})

func helm(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	if err := readChart(); err != nil {
		t.Fatal(err)
	}
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

// components are the binaries' names by their keys among the values.
var components = map[string]string{
	"metricsAdapter": "metrics-adapter", "hpaController": "hpa-controller", "vpaRecommender": "vpa-recommender",
	"vpaUpdater": "vpa-updater", "vpaAdmission": "vpa-admission", "clusterScaler": "cluster-scaler",
}

// everything is rendered with all components, and what else is set.
func everything(t *testing.T, set ...string) rendered {
	t.Helper()
	var all []string
	for key := range components {
		all = append(all, key+".enabled=true")
	}
	slices.Sort(all)
	return render(t, append(all, set...)...)
}

func (r rendered) count(kind string) int {
	n := 0
	for key := range r {
		if strings.HasPrefix(key, kind+"/") {
			n++
		}
	}
	return n
}

func TestDefaultObjects(t *testing.T) {
	objects := render(t)
	for kind, want := range map[string]int{
		"CustomResourceDefinition": 7, "Deployment": 2, "MutatingWebhookConfiguration": 0, "ValidatingWebhookConfiguration": 0,
	} {
		if n := objects.count(kind); n != want {
			t.Errorf("%d of %s, want %d", n, kind, want)
		}
	}
	for _, component := range []string{"metrics-adapter", "hpa-controller"} {
		get[*appsv1.Deployment](t, objects, "Deployment/"+component)
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
			set:     []string{"apiServices.externalMetrics=false", "apiServices.hpaDecisions=false", "apiServices.adapterDecisions=false"},
			want:    []string{"Secret/metrics-adapter-tls"},
			without: []string{"APIService/v1beta1.external.metrics.k8s.io", "APIService/v1alpha1.hpa.decisions.quartet.dev", "APIService/v1alpha1.adapter.decisions.quartet.dev"},
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
		"upstream's CRDs come with the first that needs them": {
			set: []string{"vpaUpdater.enabled=true"},
			want: []string{
				"CustomResourceDefinition/verticalpodautoscalers.autoscaling.k8s.io",
				"CustomResourceDefinition/verticalpodautoscalercheckpoints.autoscaling.k8s.io",
			},
		},
		"upstream's CRDs can be left to others": {
			set:     []string{"vpaUpdater.enabled=true", "crds.installVPA=false"},
			want:    []string{"Deployment/vpa-updater", "CustomResourceDefinition/nodepools.autoscaling.quartet.dev"},
			without: []string{"CustomResourceDefinition/verticalpodautoscalers.autoscaling.k8s.io"},
		},
		"the lease of upstream's admission webhook": {
			set:     []string{"vpaUpdater.enabled=true", "vpaUpdater.admissionLease.namespace=vpa"},
			want:    []string{"Role/vpa/quartet:vpa-updater:admission-lease", "RoleBinding/vpa/quartet:vpa-updater:admission-lease"},
			without: []string{"Role/quartet:vpa-updater:admission-lease"},
		},
		"an admission webhook that is off is not asked": {
			set:     []string{"vpaAdmission.enabled=true", "vpaAdmission.mode=Off"},
			want:    []string{"Deployment/vpa-admission", "Secret/vpa-admission-webhook"},
			without: []string{"MutatingWebhookConfiguration/quartet-vpa-admission", "ValidatingWebhookConfiguration/quartet-vpa-admission"},
		},
		"decisions of the components can be left out": {
			set: []string{
				"vpaRecommender.enabled=true", "vpaUpdater.enabled=true", "vpaAdmission.enabled=true", "clusterScaler.enabled=true",
				"apiServices.recommenderDecisions=false", "apiServices.updaterDecisions=false",
				"apiServices.admissionDecisions=false", "apiServices.clusterDecisions=false",
			},
			want: []string{"APIService/v1alpha1.hpa.decisions.quartet.dev"},
			without: []string{
				"APIService/v1alpha1.recommender.decisions.quartet.dev", "APIService/v1alpha1.updater.decisions.quartet.dev",
				"APIService/v1alpha1.admission.decisions.quartet.dev", "APIService/v1alpha1.cluster.decisions.quartet.dev",
			},
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
		"a misspelled key":           {set: "hpaControler.mode=Auto", want: "hpaControler"},
		"an unknown mode":            {set: "hpaController.mode=On", want: "/hpaController/mode"},
		"a port out of range":        {set: "metricsAdapter.port=70000", want: "/metricsAdapter/port"},
		"a key of another component": {set: "hpaController.webhookPort=9443", want: "webhookPort"},
		"no time to answer":          {set: "vpaAdmission.webhook.timeoutSeconds=0", want: "/vpaAdmission/webhook/timeoutSeconds"},
		"a bare argument":            {set: "hpaController.extraArgs={version}", want: "/hpaController/extraArgs/0"},
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
