package v1alpha1

// BeanstalkdSource is one tube. Values: Depth (ready and reserved), Pending
// (ready), AckPending (reserved), Delayed, Buried, ArrivalRate, DrainRate,
// SecondsToDrain. The server has neither users nor TLS.
type BeanstalkdSource struct {
	// address of the server as host:port.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=261
	// +kubebuilder:validation:Pattern=`^([^\s:@/]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$`
	Address string `json:"address"`
	// tube is the tube's name.
	// +optional
	// +kubebuilder:default=default
	// +kubebuilder:validation:MaxLength=200
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9+/;.$_()][A-Za-z0-9+/;.$_()-]*$`
	Tube string `json:"tube,omitempty"`
}
