package v1alpha1

// Source is where metrics come from: exactly one member is set.
//
// +kubebuilder:validation:XValidation:rule="[has(self.natsJetStream), has(self.prometheus), has(self.rabbitMQ), has(self.kafka), has(self.redis), has(self.externalGRPC), has(self.http), has(self.postgreSQL), has(self.mySQL), has(self.beanstalkd), has(self.formula)].exists_one(set, set)",message="source must have exactly one member, such as natsJetStream: put each further source into a MetricSource of its own"
type Source struct {
	// natsJetStream reads a JetStream consumer. Values: Depth (Pending and
	// AckPending together), Pending, AckPending, Redelivered, ArrivalRate,
	// DrainRate, OldestAge, SecondsToDrain.
	// +optional
	NATSJetStream *NATSJetStreamSource `json:"natsJetStream,omitempty"`
	// prometheus asks a Prometheus server.
	// +optional
	Prometheus *PrometheusSource `json:"prometheus,omitempty"`
	// rabbitMQ reads queues of a RabbitMQ broker.
	// +optional
	RabbitMQ *RabbitMQSource `json:"rabbitMQ,omitempty"`
	// kafka reads a consumer group's lag.
	// +optional
	Kafka *KafkaSource `json:"kafka,omitempty"`
	// redis reads a list or a stream.
	// +optional
	Redis *RedisSource `json:"redis,omitempty"`
	// externalGRPC asks a server that speaks KEDA's externalscaler protocol.
	// +optional
	ExternalGRPC *ExternalGRPCSource `json:"externalGRPC,omitempty"`
	// http reads a value out of a JSON or OpenMetrics document.
	// +optional
	HTTP *HTTPSource `json:"http,omitempty"`
	// postgreSQL runs one read-only statement.
	// +optional
	PostgreSQL *PostgreSQLSource `json:"postgreSQL,omitempty"`
	// mySQL runs one read-only statement, on MySQL or MariaDB.
	// +optional
	MySQL *MySQLSource `json:"mySQL,omitempty"`
	// beanstalkd reads a tube.
	// +optional
	Beanstalkd *BeanstalkdSource `json:"beanstalkd,omitempty"`
	// formula computes over other MetricSources.
	// +optional
	Formula *FormulaSource `json:"formula,omitempty"`
}

// NATSJetStreamSource is one durable consumer of one stream.
type NATSJetStreamSource struct {
	// servers are the URLs of the cluster's servers, tried in turn:
	// nats://host:4222, tls://host:4222, ws:// or wss://.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.all(s, s.matches('^(nats|tls|ws|wss)://[^/@]+/?$'))",message="servers must be URLs such as nats://host:4222 (or tls://, ws://, wss://) without a user or password: those go into credentials"
	Servers []string `json:"servers"`
	// stream is the stream's name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:Pattern=`^[^\s.*>/\\]+$`
	Stream string `json:"stream"`
	// consumer is the durable consumer's name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:Pattern=`^[^\s.*>/\\]+$`
	Consumer string `json:"consumer"`
	// domain is the JetStream domain, where the stream lives in another one than
	// the servers' own.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Domain string `json:"domain,omitempty"`
	// credentials to connect with.
	// +optional
	Credentials *NATSCredentials `json:"credentials,omitempty"`
	// tls of the connection.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
}

// NATSCredentials is exactly one way to authenticate with NATS.
//
// +kubebuilder:validation:XValidation:rule="[has(self.basic), has(self.token), has(self.credsFile), has(self.nkeySeed)].exists_one(set, set)",message="credentials must have exactly one of basic, token, credsFile, nkeySeed"
type NATSCredentials struct {
	// basic is a user and a password.
	// +optional
	Basic *BasicAuth `json:"basic,omitempty"`
	// token holds an authentication token.
	// +optional
	Token *SecretKey `json:"token,omitempty"`
	// credsFile holds the contents of a .creds file (JWT and seed).
	// +optional
	CredsFile *SecretKey `json:"credsFile,omitempty"`
	// nkeySeed holds an NKey's seed.
	// +optional
	NKeySeed *SecretKey `json:"nkeySeed,omitempty"`
}
