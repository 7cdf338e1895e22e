package v1alpha1

// KafkaSource is the lag of one consumer group. Values: Depth, Lag, ArrivalRate,
// DrainRate, OldestAge, SecondsToDrain.
//
// +kubebuilder:validation:XValidation:rule="!has(self.partitions) || (has(self.topics) && self.topics.size() == 1)",message="partitions are numbers within one topic: give exactly one topic in topics",fieldPath=".partitions"
type KafkaSource struct {
	// brokers to start from, as host:port.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=261
	// +kubebuilder:validation:XValidation:rule="self.all(b, b.matches('^[^/@ ]+:[0-9]{1,5}$'))",message="brokers must be host:port, such as kafka:9092, without a scheme, a user or a password: those go into sasl and tls"
	Brokers []string `json:"brokers"`
	// group is the consumer group.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Group string `json:"group"`
	// topics limits the lag to these. Without it all topics count that the group
	// committed offsets of or that its members read.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=249
	Topics []string `json:"topics,omitempty"`
	// partitions limits the lag to these partitions of the one topic.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:Minimum=0
	Partitions []int32 `json:"partitions,omitempty"`
	// offsetReset is what the group's consumers do with a partition that they have
	// no offset of, as their setting auto.offset.reset says: with Earliest all of
	// it is lag, with Latest none.
	// +optional
	// +kubebuilder:default=Earliest
	// +kubebuilder:validation:Enum=Earliest;Latest
	OffsetReset string `json:"offsetReset,omitempty"`
	// limitToPartitions limits Depth to what can be worked on at the same time, so
	// that no workers are asked for that would be given no partition. The whole lag
	// is then shown by value Lag.
	// +optional
	LimitToPartitions *KafkaPartitionLimit `json:"limitToPartitions,omitempty"`
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

// KafkaPartitionLimit is how much of each partition's lag counts.
type KafkaPartitionLimit struct {
	// messagesPerWorker is the work of one worker, the HPA's averageValue: of each
	// partition, which one worker reads, no more than this counts in Depth.
	// +kubebuilder:validation:Minimum=1
	MessagesPerWorker int32 `json:"messagesPerWorker"`
}
