package v1alpha1

// RedisSource is one list or one stream. Values of a list: Depth. Values of a
// stream: Depth, Pending (the group's lag), AckPending, ArrivalRate, DrainRate,
// OldestAge, SecondsToDrain.
//
// +kubebuilder:validation:XValidation:rule="[has(self.list), has(self.stream)].exists_one(set, set)",message="redis must have exactly one of list, stream"
// +kubebuilder:validation:XValidation:rule="(self.topology == 'Sentinel') == has(self.sentinelMaster)",message="sentinelMaster and topology Sentinel go together: set both or neither"
// +kubebuilder:validation:XValidation:rule="!has(self.sentinelCredentials) || self.topology == 'Sentinel'",message="sentinelCredentials are used with topology Sentinel only: remove them"
// +kubebuilder:validation:XValidation:rule="self.topology != 'Single' || self.addresses.size() == 1",message="topology Single takes one address: set topology to Sentinel or Cluster, or give one address",fieldPath=".addresses"
// +kubebuilder:validation:XValidation:rule="self.topology != 'Cluster' || !has(self.database) || self.database == 0",message="database must be 0 in a cluster, which has no other",fieldPath=".database"
type RedisSource struct {
	// addresses of the server, the sentinels or the cluster's nodes, as
	// host:port.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=261
	// +kubebuilder:validation:XValidation:rule="self.all(a, a.matches('^[^/@ ]+:[0-9]{1,5}$'))",message="addresses must be host:port, such as redis:6379, without a scheme, a user or a password: those go into credentials and tls"
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
	// list is the key of a list. A list has no counters, so Depth is all it tells.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	List string `json:"list,omitempty"`
	// stream is a stream and its consumer group.
	// +optional
	Stream *RedisStream `json:"stream,omitempty"`
	// credentials to connect with: a user of the server's ACL, or the user
	// "default" with the server's password.
	// +optional
	Credentials *BasicAuth `json:"credentials,omitempty"`
	// sentinelCredentials are those of the sentinels, which do not share the
	// servers'.
	// +optional
	SentinelCredentials *BasicAuth `json:"sentinelCredentials,omitempty"`
	// tls of the connections, those to sentinels included. Without it they are
	// plain.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
	// keyspaceEvents listens to the server's keyspace events, so that a change is
	// seen at once and not at the next poll. The server's notify-keyspace-events
	// must have K and l for a list, K and t for a stream; where it has not, the
	// polls go on alone.
	// +optional
	KeyspaceEvents bool `json:"keyspaceEvents,omitempty"`
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
