package v1alpha1

// KafkaSource is the lag of one consumer group. Values: Depth, ArrivalRate,
// DrainRate, OldestAge, SecondsToDrain.
type KafkaSource struct {
	// brokers to start from, as host:port.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=261
	Brokers []string `json:"brokers"`
	// group is the consumer group.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Group string `json:"group"`
	// topics limits the lag to these. Without it all topics of the group count.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=249
	Topics []string `json:"topics,omitempty"`
	// limitToPartitions caps what a reader is told to the work that as many
	// workers as there are partitions can take.
	// +optional
	LimitToPartitions bool `json:"limitToPartitions,omitempty"`
	// sasl authenticates.
	// +optional
	SASL *KafkaSASL `json:"sasl,omitempty"`
	// tls of the connection. Without it the connection is plain.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
}

// KafkaSASL is a SASL mechanism and its credentials.
type KafkaSASL struct {
	// mechanism of SASL.
	// +kubebuilder:validation:Enum=PLAIN;SCRAM-SHA-256;SCRAM-SHA-512
	Mechanism string `json:"mechanism"`
	BasicAuth `json:",inline"`
}
