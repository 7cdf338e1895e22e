package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// HTTPAuth is exactly one way to authenticate over HTTP.
//
// +kubebuilder:validation:XValidation:rule="[has(self.basic), has(self.bearer)].exists_one(set, set)",message="auth must have exactly one of basic, bearer"
type HTTPAuth struct {
	// basic is a user and a password.
	// +optional
	Basic *BasicAuth `json:"basic,omitempty"`
	// bearer holds a token.
	// +optional
	Bearer *SecretKey `json:"bearer,omitempty"`
}

// HTTPSource is a value in a document. Value: Value. With pods each pod's own
// value is also served by the custom metrics API.
//
// +kubebuilder:validation:XValidation:rule="[has(self.url), has(self.pods)].exists_one(set, set)",message="http must have exactly one of url, pods"
// +kubebuilder:validation:XValidation:rule="[has(self.jsonPath), has(self.openMetrics)].exists_one(set, set)",message="http must have exactly one of jsonPath, openMetrics"
// +kubebuilder:validation:XValidation:rule="!has(self.timestampPath) || has(self.jsonPath)",message="timestampPath is used with jsonPath only: an OpenMetrics document has its own timestamps",fieldPath=".timestampPath"
type HTTPSource struct {
	// url of the document.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https?://[^/?#@\s]+([/?#]\S*)?$`
	URL string `json:"url,omitempty"`
	// pods reads the document of each pod of a selector.
	// +optional
	Pods *HTTPPods `json:"pods,omitempty"`
	// jsonPath of the number in a JSON document, such as {.queue.depth}. A text
	// that is a number counts as one.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	JSONPath string `json:"jsonPath,omitempty"`
	// timestampPath is the path of the time at which the document's value was
	// measured: a text as in RFC 3339, or a number of seconds since 1970 (of
	// milliseconds where it is over 1e11). Without it the value counts as measured
	// when it was asked for.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	TimestampPath string `json:"timestampPath,omitempty"`
	// openMetrics is the series in an OpenMetrics or Prometheus text document, such
	// as queue_depth{queue="orders"}: the one that has these labels, and may have
	// others.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	OpenMetrics string `json:"openMetrics,omitempty"`
	// auth of the requests.
	// +optional
	Auth *HTTPAuth `json:"auth,omitempty"`
	// tls of the connection.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
}

// HTTPPods is the document of each Ready pod of a selector.
//
// +kubebuilder:validation:XValidation:rule="has(self.selector.matchLabels) || has(self.selector.matchExpressions)",message="selector must have matchLabels or matchExpressions: an empty one would choose every pod of the namespace",fieldPath=".selector"
type HTTPPods struct {
	// selector of the pods, which are of this object's namespace.
	Selector metav1.LabelSelector `json:"selector"`
	// port, by number or by the name that a container gives it.
	Port intstr.IntOrString `json:"port"`
	// scheme is http or https.
	// +optional
	// +kubebuilder:default=http
	// +kubebuilder:validation:Enum=http;https
	Scheme string `json:"scheme,omitempty"`
	// path of the document.
	// +optional
	// +kubebuilder:default="/metrics"
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/`
	Path string `json:"path,omitempty"`
	// aggregate is how the pods' values become one.
	// +optional
	// +kubebuilder:default=Sum
	// +kubebuilder:validation:Enum=Sum;Average;Max;Min
	Aggregate string `json:"aggregate,omitempty"`
	// missingPods is what becomes of the value while a Ready pod does not answer,
	// or answers without a value: Fail (the default), since an aggregate over fewer
	// pods is another number; or Ignore, which aggregates over the others.
	// +optional
	// +kubebuilder:default=Fail
	// +kubebuilder:validation:Enum=Fail;Ignore
	MissingPods string `json:"missingPods,omitempty"`
}
