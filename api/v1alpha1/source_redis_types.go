package v1alpha1

// RedisSource is one list or one stream. Values: Depth, ArrivalRate, DrainRate,
// SecondsToDrain; of a stream also Pending (lag of the group), AckPending and
// OldestAge.
//
// +kubebuilder:validation:XValidation:rule="[has(self.list), has(self.stream)].exists_one(set, set)",message="redis must have exactly one of list, stream"
// +kubebuilder:validation:XValidation:rule="(self.topology == 'Sentinel') == has(self.sentinelMaster)",message="sentinelMaster and topology Sentinel go together: set both or neither"
type RedisSource struct {
	// addresses of the server, the sentinels or the cluster's nodes, as
	// host:port.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=261
	Addresses []string `json:"addresses"`
	// topology is what the addresses are.
	// +optional
	// +kubebuilder:default=Single
	// +kubebuilder:validation:Enum=Single;Sentinel;Cluster
	Topology string `json:"topology,omitempty"`
	// sentinelMaster is the name of the master set.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	SentinelMaster string `json:"sentinelMaster,omitempty"`
	// database is the number of the logical database.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Database int32 `json:"database,omitempty"`
	// list is the key of a list.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	List string `json:"list,omitempty"`
	// stream is a stream and its consumer group.
	// +optional
	Stream *RedisStream `json:"stream,omitempty"`
	// credentials to connect with.
	// +optional
	Credentials *BasicAuth `json:"credentials,omitempty"`
	// tls of the connection. Without it the connection is plain.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
}

// RedisStream is a stream as one consumer group sees it.
type RedisStream struct {
	// key of the stream.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Key string `json:"key"`
	// group is the consumer group.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Group string `json:"group"`
}
