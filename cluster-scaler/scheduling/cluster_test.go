package scheduling

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const zone = corev1.LabelTopologyZone

func testNode(name, in string, taints ...corev1.Taint) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name, zone: in}},
		Spec:       corev1.NodeSpec{Taints: taints},
		Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			"cpu": resource.MustParse("2"), "memory": resource.MustParse("4Gi"), "pods": resource.MustParse("10"),
		}},
	}
}

func testPod(name, cpu string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name), Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{"cpu": resource.MustParse(cpu)},
		}}}},
	}
	if change != nil {
		change(p)
	}
	return p
}

var web = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}

func anti(key string, namespaces *metav1.LabelSelector) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: key, LabelSelector: web, NamespaceSelector: namespaces}},
		}}
	}
}

// TestPlugins asks about a pod on node a, which has a pod of 1500m of namespace
// shop with host port 80, and on node b, which is empty.
func TestPlugins(t *testing.T) {
	port := func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80, Protocol: corev1.ProtocolTCP}}
	}
	cases := map[string]struct {
		pod    *corev1.Pod
		taints []corev1.Taint // of node a
		cordon bool
		a, b   string // what the verdicts hold; empty where it fits
	}{
		"fits both":         {pod: testPod("p", "500m", nil)},
		"requests too much": {pod: testPod("p", "600m", nil), a: "NodeResourcesFit: Insufficient cpu"},
		"fits nowhere":      {pod: testPod("p", "3", nil), a: "NodeResourcesFit", b: "NodeResourcesFit: Insufficient cpu"},
		"a taint":           {pod: testPod("p", "1m", nil), taints: []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoSchedule}}, a: "TaintToleration"},
		"a soft taint":      {pod: testPod("p", "1m", nil), taints: []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectPreferNoSchedule}}},
		"a taint that is tolerated": {pod: testPod("p", "1m", func(p *corev1.Pod) {
			p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
		}), taints: []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoSchedule}}},
		"a cordon":                         {pod: testPod("p", "1m", nil), cordon: true, a: "NodeUnschedulable"},
		"a selector":                       {pod: testPod("p", "1m", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{zone: "z1"} }), b: "NodeAffinity"},
		"a node name":                      {pod: testPod("p", "1m", func(p *corev1.Pod) { p.Spec.NodeName = "b" }), a: "NodeName"},
		"a host port":                      {pod: testPod("p", "1m", port), a: "NodePorts"},
		"away from its like, by host":      {pod: testPod("p", "1m", anti(corev1.LabelHostname, nil)), a: "InterPodAffinity"},
		"away from namespaces of a label":  {pod: testPod("p", "1m", anti(corev1.LabelHostname, &metav1.LabelSelector{MatchLabels: map[string]string{"team": "shop"}})), a: "InterPodAffinity"},
		"away from namespaces of no label": {pod: testPod("p", "1m", anti(corev1.LabelHostname, &metav1.LabelSelector{MatchLabels: map[string]string{"team": "none"}}))},
		"spread over zones, one more here": {pod: testPod("p", "1m", func(p *corev1.Pod) {
			p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
				MaxSkew: 1, TopologyKey: zone, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: web,
			}}
		}), a: "PodTopologySpread"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cluster, err := New(map[string]map[string]string{"shop": {"team": "shop"}})
			if err != nil {
				t.Fatal(err)
			}
			a := testNode("a", "z1", c.taints...)
			a.Spec.Unschedulable = c.cordon
			for _, err := range []error{cluster.AddNode(a), cluster.AddNode(testNode("b", "z2")), cluster.Place(testPod("there", "1500m", port), "a")} {
				if err != nil {
					t.Fatal(err)
				}
			}
			q := cluster.Ask(c.pod)
			for node, want := range map[string]string{"a": c.a, "b": c.b} {
				v := q.Fits(node)
				if v.Fits() != (want == "") || want != "" && !strings.HasPrefix(v.String(), want) {
					t.Errorf("on %s: %q, want %q", node, v, want)
				}
			}
		})
	}
}

// TestClusterForgets wants pods that were taken and nodes that were removed to
// leave nothing behind.
func TestClusterForgets(t *testing.T) {
	cluster, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	pod := testPod("p", "2", anti(corev1.LabelHostname, nil))
	for _, err := range []error{cluster.AddNode(testNode("a", "")), cluster.Place(pod, "a"), cluster.Take(pod)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	other := testPod("q", "2", anti(corev1.LabelHostname, nil))
	if v := cluster.Ask(other).Fits("a"); !v.Fits() {
		t.Errorf("a node that was cleared refuses: %s", v)
	}
	if err := cluster.Place(pod, "a"); err != nil {
		t.Fatal(err)
	}
	cluster.RemoveNode("a")
	if cluster.On(pod) != "" || cluster.HasNode("a") {
		t.Error("a node that was removed is there")
	}
	if v := cluster.Ask(other).Fits("a"); v.Fits() {
		t.Error("a pod fits on a node that is not there")
	}
	if err := cluster.Place(pod, "a"); err == nil {
		t.Error("a pod was placed on a node that is not there")
	}
}
