package v1alpha1

// ExternalGRPCSource is a server that speaks KEDA's externalscaler protocol.
// Values: Value, and Active (1 or 0).
//
// +kubebuilder:validation:XValidation:rule="!has(self.metadata) || !has(self.metadataFrom) || self.metadataFrom.all(from, !(from.name in self.metadata))",message="a key of metadata is also in metadataFrom: keep one of the two",fieldPath=".metadataFrom"
type ExternalGRPCSource struct {
	// address as host:port.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=261
	// +kubebuilder:validation:Pattern=`^([^\s:/@\[\]]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$`
	Address string `json:"address"`
	// metricName to ask for. Without it the first metric that the server lists
	// is asked for.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	MetricName string `json:"metricName,omitempty"`
	// metadata is handed to the server as it is (scalerMetadata of KEDA).
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Metadata map[string]string `json:"metadata,omitempty"`
	// metadataFrom adds metadata whose values are in Secrets.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	MetadataFrom []MetadataFromSecret `json:"metadataFrom,omitempty"`
	// scaledObject is what the server is told to be asked for: by default the
	// name and the namespace of this object.
	// +optional
	ScaledObject *ScaledObjectName `json:"scaledObject,omitempty"`
	// push has the server tell of changes (StreamIsActive), where it does; a poll
	// follows each word of it.
	// +optional
	// +kubebuilder:default=true
	Push *bool `json:"push,omitempty"`
	// tls of the connection. Without it the connection is plain.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
}

// MetadataFromSecret is one entry of metadata whose value is in a Secret.
type MetadataFromSecret struct {
	// name of the entry.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Name string `json:"name"`
	// secretKey holds the value.
	SecretKey SecretKey `json:"secretKey"`
}

// ScaledObjectName names the object that a scaler is asked for.
type ScaledObjectName struct {
	// name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// namespace of the object; by default this object's own.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
}
