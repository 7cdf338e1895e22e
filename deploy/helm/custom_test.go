package helm_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

func TestCustomMetrics(t *testing.T) {
	const v1, v2 = "APIService/v1beta1.custom.metrics.k8s.io", "APIService/v1beta2.custom.metrics.k8s.io"
	objects := render(t)
	if objects[v1] == nil || objects[v2] == nil {
		t.Error("custom metrics are not registered")
	}
	objects = render(t, "apiServices.customMetrics=false", "metricsAdapter.customMetrics.resources={services,queues.example.com}")
	if objects[v1] != nil || objects[v2] != nil {
		t.Error("custom metrics are registered although they were switched off")
	}
	have := rules(get[*rbacv1.ClusterRole](t, objects, "ClusterRole/quartet:metrics-adapter").Rules)
	for _, want := range []string{"services list watch", "example.com/queues list watch", "pods list watch", "namespaces list watch"} {
		if !slices.Contains(have, want) {
			t.Errorf("the adapter may not %s: %v", want, have)
		}
	}
}

// peers are the values of two, one of which verifies nothing.
var peers = []string{
	"metricsAdapter.peers[0].name=keda", "metricsAdapter.peers[0].service=keda/keda-operator-metrics-apiserver:443",
	"metricsAdapter.peers[0].metrics=^s[0-9]+-: #", "metricsAdapter.peers[0].ca.secret=keda-ca", "metricsAdapter.peers[0].namespaces={shop,data}",
	"metricsAdapter.peers[0].maxAge=5m",
	"metricsAdapter.peers[1].name=dd", "metricsAdapter.peers[1].service=datadog/cluster-agent", "metricsAdapter.peers[1].metrics=^datadog",
	"metricsAdapter.peers[1].insecureSkipVerify=true", "metricsAdapter.peers[1].timeout=2s",
}

func TestPeers(t *testing.T) {
	objects := render(t, peers...)
	pod := get[*appsv1.Deployment](t, objects, "Deployment/metrics-adapter").Spec.Template.Spec
	var have []string
	for _, arg := range pod.Containers[0].Args {
		if strings.HasPrefix(arg, "--external-metrics-peer=") {
			have = append(have, arg)
		}
	}
	want := []string{
		"--external-metrics-peer=name=keda,service=keda/keda-operator-metrics-apiserver:443,metrics=^s[0-9]+-: #,namespaces=shop,data,max-age=5m,ca-file=/etc/quartet/peers/keda.crt",
		"--external-metrics-peer=name=dd,service=datadog/cluster-agent,metrics=^datadog,timeout=2s,insecure-skip-verify=true",
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("arguments (-want +have):\n%s", diff)
	}
	for _, volume := range pod.Volumes {
		if volume.Name != "peers" {
			continue
		}
		sources := volume.Projected.Sources
		if len(sources) != 1 || sources[0].Secret.Name != "keda-ca" || sources[0].Secret.Items[0].Key != "ca.crt" || sources[0].Secret.Items[0].Path != "keda.crt" {
			t.Errorf("certificates %+v", sources)
		}
	}
	mounted := false
	for _, mount := range pod.Containers[0].VolumeMounts {
		mounted = mounted || mount.Name == "peers" && mount.MountPath == "/etc/quartet/peers" && mount.ReadOnly
	}
	if !mounted {
		t.Errorf("mounts %+v", pod.Containers[0].VolumeMounts)
	}
	have = rules(get[*rbacv1.ClusterRole](t, objects, "ClusterRole/quartet:metrics-adapter").Rules)
	if !slices.Contains(have, "external.metrics.k8s.io/* get list") {
		t.Errorf("the adapter may not ask its peers: %v", have)
	}
	insecure := strings.ReplaceAll(strings.Join(peers[6:], "\n"), "peers[1]", "peers[0]")
	for _, volume := range get[*appsv1.Deployment](t, render(t, strings.Split(insecure, "\n")...), "Deployment/metrics-adapter").Spec.Template.Spec.Volumes {
		if volume.Name == "peers" {
			t.Error("a volume of no certificate")
		}
	}
}

func TestRefusedPeers(t *testing.T) {
	for name, test := range map[string]struct {
		set  []string
		want string
	}{
		"without a certificate": {set: []string{"name=a", "service=a/b", "metrics=x"}, want: "ca"},
		"without metrics":       {set: []string{"name=a", "service=a/b", "ca.secret=x"}, want: "metrics"},
		"of two certificates":   {set: []string{"name=a", "service=a/b", "metrics=x", "ca.secret=x", "ca.configMap=y"}, want: "/metricsAdapter/peers/0/ca"},
		"no namespace":          {set: []string{"name=a", "service=b", "metrics=x", "ca.secret=x"}, want: "/metricsAdapter/peers/0/service"},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"template", "quartet", "quartet"}
			for _, s := range test.set {
				args = append(args, "--set", "metricsAdapter.peers[0]."+s)
			}
			_, stderr, err := helm(t, args...)
			if err == nil || !strings.Contains(stderr, test.want) {
				t.Errorf("%v, %q, want an error with %q", err, stderr, test.want)
			}
		})
	}
}
