package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// PrometheusSource is an instant query. Value: Value. Not served by any binary
// of this version.
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

// HTTPAuth is exactly one way to authenticate over HTTP.
//
// +kubebuilder:validation:XValidation:rule="[has(self.basic), has(self.bearer)].exists_one(set, set)",message="auth must have exactly one of basic, bearer"
type HTTPAuth struct {
	// basic is a user and a password.
	// +optional
	Basic *BasicAuth `json:"basic,omitempty"`
	// bearer holds a token.
	// +optional
	Bearer *SecretKey `json:"bearer,omitempty"`
}

// RabbitMQSource is one queue, or all queues of a pattern summed up. Values:
// Depth, Pending (ready), AckPending (unacknowledged), ArrivalRate, DrainRate,
// OldestAge where the broker knows it, SecondsToDrain. Not served by any binary
// of this version.
//
// +kubebuilder:validation:XValidation:rule="[has(self.queue), has(self.queuePattern)].exists_one(set, set)",message="rabbitMQ must have exactly one of queue, queuePattern"
// +kubebuilder:validation:XValidation:rule="!has(self.queuePattern) || self.url.startsWith('http')",message="queuePattern needs the management API: give url as http:// or https://",fieldPath=".queuePattern"
type RabbitMQSource struct {
	// url of the broker: amqp:// or amqps:// for depth alone, http:// or https://
	// of the management API for rates and patterns.
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^(amqps?|https?)://[^@\s]+$`
	URL string `json:"url"`
	// vhost is the virtual host.
	// +optional
	// +kubebuilder:default="/"
	// +kubebuilder:validation:MaxLength=255
	VHost string `json:"vhost,omitempty"`
	// queue is the queue's name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Queue string `json:"queue,omitempty"`
	// queuePattern is a regular expression (RE2) that whole names must match.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	QueuePattern string `json:"queuePattern,omitempty"`
	// credentials to connect with.
	// +optional
	Credentials *BasicAuth `json:"credentials,omitempty"`
	// tls of the connection.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
}

// KafkaSource is the lag of one consumer group. Values: Depth, ArrivalRate,
// DrainRate, OldestAge, SecondsToDrain. Not served by any binary of this
// version.
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

// RedisSource is one list or one stream. Values: Depth, ArrivalRate, DrainRate,
// SecondsToDrain; of a stream also Pending (lag of the group), AckPending and
// OldestAge. Not served by any binary of this version.
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

// ExternalGRPCSource is a server that speaks KEDA's externalscaler protocol.
// Value: Value. Not served by any binary of this version.
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

// HTTPSource is a value in a document. Value: Value. Not served by any binary of
// this version.
//
// +kubebuilder:validation:XValidation:rule="[has(self.url), has(self.pods)].exists_one(set, set)",message="http must have exactly one of url, pods"
// +kubebuilder:validation:XValidation:rule="[has(self.jsonPath), has(self.openMetrics)].exists_one(set, set)",message="http must have exactly one of jsonPath, openMetrics"
type HTTPSource struct {
	// url of the document.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^https?://[^@\s]+$`
	URL string `json:"url,omitempty"`
	// pods reads the document of each pod of a selector.
	// +optional
	Pods *HTTPPods `json:"pods,omitempty"`
	// jsonPath of the number in a JSON document, such as {.queue.depth}.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	JSONPath string `json:"jsonPath,omitempty"`
	// openMetrics is the series in an OpenMetrics document, such as
	// queue_depth{queue="orders"}.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	OpenMetrics string `json:"openMetrics,omitempty"`
	// auth of the requests.
	// +optional
	Auth *HTTPAuth `json:"auth,omitempty"`
	// tls of the connection.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
}

// HTTPPods is the document of each Ready pod of a selector.
type HTTPPods struct {
	// selector of the pods.
	Selector metav1.LabelSelector `json:"selector"`
	// port, by number or by name.
	Port intstr.IntOrString `json:"port"`
	// path of the document.
	// +optional
	// +kubebuilder:default="/metrics"
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/`
	Path string `json:"path,omitempty"`
	// aggregate is how the pods' values become one.
	// +optional
	// +kubebuilder:default=Sum
	// +kubebuilder:validation:Enum=Sum;Average;Max
	Aggregate string `json:"aggregate,omitempty"`
}

// SQLSource is one statement that gives one number. Value: Value. Not served by
// any binary of this version.
type SQLSource struct {
	// address of the server as host:port.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=261
	Address string `json:"address"`
	// database is the database's name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Database string `json:"database"`
	// statement runs in a read-only transaction under the source's timeout.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	Statement string `json:"statement"`
	// credentials to connect with.
	Credentials BasicAuth `json:"credentials"`
	// tls of the connection. Without it the connection is plain.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
}

// BeanstalkdSource is one tube. Values: Depth, Pending (ready), AckPending
// (reserved), ArrivalRate, DrainRate, SecondsToDrain. Not served by any binary
// of this version.
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

// FormulaSource computes a number from metrics of other sources of the
// namespace. Value: Value. Not served by any binary of this version.
type FormulaSource struct {
	// expression in CEL over the inputs' names, such as
	// "max(orders, returns * 2.0)".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Expression string `json:"expression"`
	// inputs of the expression.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Inputs []FormulaInput `json:"inputs"`
}

// FormulaInput is one metric under a name of its own.
type FormulaInput struct {
	// name in the expression.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[a-z_][A-Za-z0-9_]*$`
	Name string `json:"name"`
	// metric is the name of a metric that a MetricSource of the namespace serves.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Metric string `json:"metric"`
}
