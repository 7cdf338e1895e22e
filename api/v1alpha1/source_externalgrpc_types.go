package v1alpha1

// ExternalGRPCSource is a server that speaks KEDA's externalscaler protocol.
// Value: Value.
type ExternalGRPCSource struct {
	// address as host:port.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=261
	Address string `json:"address"`
	// metricName to ask for, where the server has several.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	MetricName string `json:"metricName,omitempty"`
	// metadata is handed to the server as it is (scalerMetadata of KEDA).
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Metadata map[string]string `json:"metadata,omitempty"`
	// tls of the connection. Without it the connection is plain.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
}
