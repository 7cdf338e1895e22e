package cli

import (
	"fmt"

	"github.com/quartet-autoscaling/quartet/internal/decisionapi/v1alpha1"
)

// component is a binary that serves its last decisions.
type component struct {
	// key names the group of the decisions, and their switch in the chart.
	key string
	// server is the binary, and values its key in the chart's values.
	server, values string
	// cluster components decide on the whole cluster: their decisions have no
	// namespace.
	cluster bool
}

var (
	hpaController  = component{key: "hpa", server: "hpa-controller", values: "hpaController"}
	metricsAdapter = component{key: "adapter", server: "metrics-adapter", values: "metricsAdapter"}
	vpaRecommender = component{key: "recommender", server: "vpa-recommender", values: "vpaRecommender"}
	vpaUpdater     = component{key: "updater", server: "vpa-updater", values: "vpaUpdater"}
	vpaAdmission   = component{key: "admission", server: "vpa-admission", values: "vpaAdmission"}
	clusterScaler  = component{key: "cluster", server: "cluster-scaler", values: "clusterScaler", cluster: true}
)

func (c component) group() string { return v1alpha1.GroupName(c.key) }

// notServed tells that the component is not there, and how to have it.
func (c component) notServed() error {
	return fmt.Errorf("this cluster does not serve the decisions of %s: the API group %s is not installed\n"+
		"Install Quartet's chart with %s.enabled=true and apiServices.%sDecisions=true", c.server, c.group(), c.values, c.key)
}

// object is a kind of object of the API.
type object struct {
	// kind is how messages call it.
	kind string
	// path is the API path of its group and version, and resource its resource.
	path, resource string
	cluster        bool
	// prefix goes before the name in the name of its decisions.
	prefix string
}

var (
	objectHPA          = object{kind: "HorizontalPodAutoscaler", path: "/apis/autoscaling/v2", resource: "horizontalpodautoscalers"}
	objectScaler       = object{kind: "HorizontalScaler", path: "/apis/autoscaling.quartet.dev/v1alpha1", resource: "horizontalscalers", prefix: "horizontalscaler."}
	objectMetricSource = object{kind: "MetricSource", path: "/apis/autoscaling.quartet.dev/v1alpha1", resource: "metricsources"}
	objectVPA          = object{kind: "VerticalPodAutoscaler", path: "/apis/autoscaling.k8s.io/v1", resource: "verticalpodautoscalers"}
	objectPod          = object{kind: "Pod", path: "/api/v1", resource: "pods"}
	objectNode         = object{kind: "Node", path: "/api/v1", resource: "nodes", cluster: true}
	objectNodePool     = object{kind: "NodePool", path: "/apis/autoscaling.quartet.dev/v1alpha1", resource: "nodepools", cluster: true}
)
