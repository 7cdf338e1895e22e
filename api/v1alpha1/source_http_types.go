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

// HTTPSource is a value in a document. Value: Value.
//
// +kubebuilder:validation:XValidation:rule="[has(self.url), has(self.pods)].exists_one(set, set)",message="http must have exactly one of url, pods"
// +kubebuilder:validation:XValidation:rule="[has(self.jsonPath), has(self.openMetrics)].exists_one(set, set)",message="http must have exactly one of jsonPath, openMetrics"
type HTTPSource struct {
	// url of the document.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https?://[^@\s]+$`
	URL string `json:"url,omitempty"`
	// pods reads the document of each pod of a selector.
	// +optional
	Pods *HTTPPods `json:"pods,omitempty"`
	// jsonPath of the number in a JSON document, such as {.queue.depth}.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	JSONPath string `json:"jsonPath,omitempty"`
	// openMetrics is the series in an OpenMetrics document, such as
	// queue_depth{queue="orders"}.
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
type HTTPPods struct {
	// selector of the pods.
	Selector metav1.LabelSelector `json:"selector"`
	// port, by number or by name.
	Port intstr.IntOrString `json:"port"`
	// path of the document.
	// +optional
	// +kubebuilder:default="/metrics"
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/`
	Path string `json:"path,omitempty"`
	// aggregate is how the pods' values become one.
	// +optional
	// +kubebuilder:default=Sum
	// +kubebuilder:validation:Enum=Sum;Average;Max
	Aggregate string `json:"aggregate,omitempty"`
}
