package helm_test

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

func TestComponents(t *testing.T) {
	objects := everything(t)
	if n := objects.count("CustomResourceDefinition"); n != 9 {
		t.Errorf("%d CRDs, want ours and two of upstream", n)
	}
	for _, component := range components {
		deployment := get[*appsv1.Deployment](t, objects, "Deployment/"+component)
		container := deployment.Spec.Template.Spec.Containers[0]
		if diff := cmp.Diff([]string{"/" + component}, container.Command); diff != "" {
			t.Errorf("%s: command (-want +have):\n%s", component, diff)
		}
		if objects["PodDisruptionBudget/"+component] != nil {
			t.Errorf("%s: one replica has a disruption budget, which would block every drain", component)
		}
		service := get[*corev1.Service](t, objects, "Service/"+component)
		for key, value := range service.Spec.Selector {
			if deployment.Spec.Template.Labels[key] != value {
				t.Errorf("%s: the Service's selector %v misses the pods %v", component, service.Spec.Selector, deployment.Spec.Template.Labels)
			}
		}
		for _, port := range service.Spec.Ports {
			if !slices.ContainsFunc(container.Ports, func(p corev1.ContainerPort) bool { return p.Name == port.TargetPort.StrVal }) {
				t.Errorf("%s: the Service leads to %v, which is no port of the container", component, port.TargetPort)
			}
		}
		get[*corev1.ServiceAccount](t, objects, "ServiceAccount/"+deployment.Spec.Template.Spec.ServiceAccountName)
	}
}

// TestCertificates checks that the aggregation layer would trust what each
// binary serves.
func TestCertificates(t *testing.T) {
	objects := everything(t)
	for component, apiServices := range map[string][]string{
		"metrics-adapter": {
			"v1beta1.external.metrics.k8s.io", "v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io", "v1alpha1.adapter.decisions.quartet.dev",
		},
		"hpa-controller":  {"v1alpha1.hpa.decisions.quartet.dev"},
		"vpa-recommender": {"v1alpha1.recommender.decisions.quartet.dev"},
		"vpa-updater":     {"v1alpha1.updater.decisions.quartet.dev"},
		"vpa-admission":   {"v1alpha1.admission.decisions.quartet.dev"},
		"cluster-scaler":  {"v1alpha1.cluster.decisions.quartet.dev"},
	} {
		secret := get[*corev1.Secret](t, objects, "Secret/"+component+"-tls")
		pair, err := tls.X509KeyPair(secret.Data["tls.crt"], secret.Data["tls.key"])
		if err != nil {
			t.Fatalf("%s: %v", component, err)
		}
		for _, name := range apiServices {
			spec := get[*apiregistrationv1.APIService](t, objects, "APIService/"+name).Spec
			roots := x509.NewCertPool()
			if !roots.AppendCertsFromPEM(spec.CABundle) {
				t.Fatalf("%s: no certificate in the APIService's caBundle", name)
			}
			host := spec.Service.Name + "." + spec.Service.Namespace + ".svc"
			if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestWebhook checks that the API server asks where vpa-admission answers, that
// nobody waits for it in vain, and that it can start when it is away.
func TestWebhook(t *testing.T) {
	objects := everything(t, "vpaAdmission.webhookPort=7777", "vpaAdmission.webhookServicePort=8888",
		"vpaAdmission.webhook.excludedNamespaces={kube-system,infra}")
	var configs []admissionregistrationv1.WebhookClientConfig
	for _, w := range get[*admissionregistrationv1.MutatingWebhookConfiguration](t, objects, "MutatingWebhookConfiguration/quartet-vpa-admission").Webhooks {
		configs = append(configs, w.ClientConfig)
		if *w.FailurePolicy != admissionregistrationv1.Ignore {
			t.Errorf("%s: failure policy %s", w.Name, *w.FailurePolicy)
		}
		// Objects are completed wherever they are, pods are not.
		if strings.HasPrefix(w.Name, "verticalpodautoscalers.") {
			continue
		}
		want := []string{"kube-system", "infra", namespace}
		if diff := cmp.Diff(want, w.NamespaceSelector.MatchExpressions[0].Values); diff != "" {
			t.Errorf("%s: left out (-want +have):\n%s", w.Name, diff)
		}
	}
	for _, w := range get[*admissionregistrationv1.ValidatingWebhookConfiguration](t, objects, "ValidatingWebhookConfiguration/quartet-vpa-admission").Webhooks {
		configs = append(configs, w.ClientConfig)
		if *w.FailurePolicy != admissionregistrationv1.Ignore {
			t.Errorf("%s: failure policy %s", w.Name, *w.FailurePolicy)
		}
	}
	service := get[*corev1.Service](t, objects, "Service/vpa-admission")
	container := get[*appsv1.Deployment](t, objects, "Deployment/vpa-admission").Spec.Template.Spec.Containers[0]
	if len(configs) != 3 {
		t.Fatalf("%d webhooks, want 3", len(configs))
	}
	for _, c := range configs {
		if c.Service.Name != service.Name || c.Service.Namespace != service.Namespace || *c.Service.Port != service.Spec.Ports[1].Port {
			t.Errorf("the API server would ask %v, the Service is %v", c.Service, service.Spec.Ports)
		}
		if len(c.CABundle) > 0 {
			t.Error("an upgrade would take the CA away that vpa-admission put in")
		}
	}
	if !slices.Contains(container.Args, "--webhook-port=7777") || container.Ports[1].ContainerPort != 7777 {
		t.Errorf("arguments %v, ports %v", container.Args, container.Ports)
	}
	if data := get[*corev1.Secret](t, objects, "Secret/vpa-admission-webhook").Data; len(data) > 0 {
		t.Error("an upgrade would replace the webhook's certificate")
	}
}
