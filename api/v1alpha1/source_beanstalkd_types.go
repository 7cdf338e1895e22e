package v1alpha1

// BeanstalkdSource is one tube. Values: Depth, Pending (ready), AckPending
// (reserved), ArrivalRate, DrainRate, SecondsToDrain.
type BeanstalkdSource struct {
	// address of the server as host:port.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=261
	Address string `json:"address"`
	// tube is the tube's name.
	// +optional
	// +kubebuilder:default=default
	// +kubebuilder:validation:MaxLength=200
	Tube string `json:"tube,omitempty"`
}
