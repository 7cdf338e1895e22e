package v1alpha1

// PrometheusSource is an instant query. Value: Value.
type PrometheusSource struct {
	// url of the server's root, such as http://prometheus.monitoring:9090.
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https?://[^@\s]+$`
	URL string `json:"url"`
	// query in PromQL. It must give one sample; no sample is an error, not 0.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	Query string `json:"query"`
	// auth of the requests.
	// +optional
	Auth *HTTPAuth `json:"auth,omitempty"`
	// tls of the connection.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
}
