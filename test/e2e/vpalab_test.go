package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/lab/labtest"
	"github.com/quartet-autoscaling/quartet/test/lab/resourcemetrics"
)

// vpaLab is a lab of its own, in which usage is what a test says, with a namespace.
type vpaLab struct{ *stage }

func newVPALab(t *testing.T, name string) *vpaLab {
	t.Helper()
	l := labtest.Start(t, lab.Options{Name: name, Nodes: 1, ResourceMetrics: true})
	if err := l.InstallUpstreamVPA(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &vpaLab{newStageWithoutBroker(t, l, "")}
}

// install installs the chart with these components only.
func (s *vpaLab) install(components map[string]map[string]any) *lab.Release {
	s.t.Helper()
	values := onlyVPAs(components)
	values["crds"] = map[string]any{"installVPA": false}
	release, err := s.lab.InstallChart(s.t.Context(), lab.ChartOptions{Values: values})
	if err == nil {
		err = release.WaitReady(s.t.Context())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return release
}

// onlyVPAs are the chart's values with these components only.
func onlyVPAs(components map[string]map[string]any) map[string]any {
	values := map[string]any{}
	for _, name := range []string{"metricsAdapter", "hpaController", "vpaRecommender", "vpaUpdater", "vpaAdmission", "clusterScaler"} {
		values[name] = map[string]any{"enabled": false}
	}
	for name, component := range components {
		component["enabled"] = true
		values[name] = component
	}
	return values
}

// running waits for so many running pods, and gives them.
func (s *vpaLab) running(want int) []corev1.Pod {
	s.t.Helper()
	var pods []corev1.Pod
	eventually(s.t, 60*time.Second, func() error {
		pods = slices.DeleteFunc(s.pods(workload), func(p corev1.Pod) bool {
			return p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil
		})
		if len(pods) != want {
			return fmt.Errorf("%d pods run, want %d", len(pods), want)
		}
		return nil
	})
	return pods
}

// use has the metrics API tell this usage of the pods.
func (s *vpaLab) use(pods []corev1.Pod, milliCPU, memory int64) {
	for _, p := range pods {
		s.lab.ResourceMetrics().Add(resourcemetrics.Pod{
			Namespace: p.Namespace, Name: p.Name, Labels: p.Labels, Containers: []string{"worker"},
			Usage: resourcemetrics.Usage{MilliCPU: milliCPU, MemoryBytes: memory},
		})
	}
}

// recommended is the recommendation for the worker, or why there is none.
func (s *vpaLab) recommended(name string) (vpav1.RecommendedContainerResources, error) {
	s.t.Helper()
	var vpa vpav1.VerticalPodAutoscaler
	s.get(name, &vpa)
	if r := vpa.Status.Recommendation; r != nil && len(r.ContainerRecommendations) == 1 {
		return r.ContainerRecommendations[0], nil
	}
	return vpav1.RecommendedContainerResources{}, fmt.Errorf("%s has no recommendation: %v", name, vpa.Status.Conditions)
}

// awaitRecommended waits for a recommendation and gives it.
func (s *vpaLab) awaitRecommended(name string, limit time.Duration) (r vpav1.RecommendedContainerResources) {
	s.t.Helper()
	eventually(s.t, limit, func() (err error) {
		r, err = s.recommended(name)
		return err
	})
	return r
}

// checkpoint is the history of the workload's one container; the zero value where
// there is none.
func (s *vpaLab) checkpoint() vpav1.VerticalPodAutoscalerCheckpoint {
	s.t.Helper()
	var list vpav1.VerticalPodAutoscalerCheckpointList
	if err := s.client.List(s.t.Context(), &list); err != nil {
		s.t.Fatal(err)
	}
	for _, c := range list.Items {
		if c.Namespace == s.namespace && c.Spec.VPAObjectName == workload {
			return c
		}
	}
	return vpav1.VerticalPodAutoscalerCheckpoint{}
}

// describe is what kubectl describe says of a VPA.
func (s *vpaLab) describe(name string) string {
	s.t.Helper()
	out, err := s.lab.Kubectl(s.t.Context(), "describe", "verticalpodautoscaler", name, "-n", s.namespace)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func mebibytes(n int64) *resource.Quantity { return resource.NewQuantity(n<<20, resource.BinarySI) }
