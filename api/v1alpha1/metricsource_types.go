package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MetricValue is what a metric shows of its source.
type MetricValue string

// The values that sources serve. Each source's description lists its own.
const (
	// ValueDepth is the number of messages that are not done with: those that
	// wait and those that are being worked on.
	ValueDepth MetricValue = "Depth"
	// ValueArrivalRate is the number of messages that arrive per second.
	ValueArrivalRate MetricValue = "ArrivalRate"
	// ValueDrainRate is the number of messages that are done with per second.
	ValueDrainRate MetricValue = "DrainRate"
	// ValueOldestAge is the age in seconds of the oldest message not done with.
	ValueOldestAge MetricValue = "OldestAge"
	// ValueSecondsToDrain is Depth over DrainRate. Depth without any drain is an
	// error, not infinity.
	ValueSecondsToDrain MetricValue = "SecondsToDrain"
	// ValuePending is the number of messages that wait for a worker.
	ValuePending MetricValue = "Pending"
	// ValueAckPending is the number of messages delivered and not yet
	// acknowledged.
	ValueAckPending MetricValue = "AckPending"
	// ValueRedelivered is the number of messages delivered more than once and
	// not yet acknowledged.
	ValueRedelivered MetricValue = "Redelivered"
	// ValueQuery is the result of the source's own query or formula.
	ValueQuery MetricValue = "Value"
)

// StalePolicy is what becomes of a metric whose sample is older than maxAge.
//
// +kubebuilder:validation:Enum=Error;Hold;Floor
type StalePolicy string

// The stale policies.
const (
	// StaleError answers with an error that names source, age and last failure.
	StaleError StalePolicy = "Error"
	// StaleHold goes on serving the last sample, with its own time.
	StaleHold StalePolicy = "Hold"
	// StaleFloor serves the greater of the last sample and the floor.
	StaleFloor StalePolicy = "Floor"
)

// SourceMetric is one metric served from a source.
type SourceMetric struct {
	// name of the metric, as an HPA names it in metrics[].external.metric.name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_:.-]*$`
	Name string `json:"name"`
	// value is what the metric shows of the source: Depth, ArrivalRate,
	// DrainRate, OldestAge, SecondsToDrain, Value (of a query), or what the
	// source adds, such as Pending and AckPending of NATS JetStream.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
	Value MetricValue `json:"value"`
	// labels are served with the metric, so that an HPA's metric.selector can
	// match them.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Labels map[string]string `json:"labels,omitempty"`
}

// OnStale is the policy for samples older than maxAge.
//
// +kubebuilder:validation:XValidation:rule="self.policy != 'Floor' || has(self.floor)",message="policy Floor needs floor: the least value to serve while the source is silent"
// +kubebuilder:validation:XValidation:rule="!has(self.floor) || self.policy == 'Floor'",message="floor is used with policy Floor only: set policy to Floor or remove floor"
// +kubebuilder:validation:XValidation:rule="!has(self.atMost) || self.policy != 'Error'",message="atMost is used with policies Hold and Floor only: remove it, or choose one of them"
type OnStale struct {
	// policy is Error (the default): readers get an error; Hold: the last sample
	// is served on, with its own time; Floor: the greater of the last sample and
	// floor, with the last sample's time. While a policy stands in for a sample,
	// condition Fresh says so. Where there is no last sample, or the source
	// answered without a value, every policy is an error.
	// +kubebuilder:default=Error
	// +optional
	Policy StalePolicy `json:"policy,omitempty"`
	// floor is the least value served under policy Floor.
	// +optional
	Floor *resource.Quantity `json:"floor,omitempty"`
	// atMost is how long after maxAge the policy stands in; then readers get an
	// error. Without it the policy has no end.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	AtMost *metav1.Duration `json:"atMost,omitempty"`
}

// MetricSourceSpec is one source and the metrics served from it.
//
// +kubebuilder:validation:XValidation:rule="!has(self.pollInterval) || !has(self.maxAge) || duration(self.maxAge) >= duration(self.pollInterval)",message="maxAge must not be shorter than pollInterval, or every sample would be stale before the next one comes: raise maxAge or lower pollInterval",fieldPath=".maxAge"
// +kubebuilder:validation:XValidation:rule="!has(self.source.natsJetStream) || self.metrics.all(m, m.value in ['Depth', 'ArrivalRate', 'DrainRate', 'OldestAge', 'SecondsToDrain', 'Pending', 'AckPending', 'Redelivered'])",message="metrics[].value of a natsJetStream source must be one of Depth, ArrivalRate, DrainRate, OldestAge, SecondsToDrain, Pending, AckPending, Redelivered",fieldPath=".metrics"
// +kubebuilder:validation:XValidation:rule="!has(self.source.prometheus) || self.metrics.all(m, m.value in ['Value'])",message="metrics[].value of a source of kind prometheus must be Value",fieldPath=".metrics"
// +kubebuilder:validation:XValidation:rule="has(self.source.prometheus) && has(self.source.prometheus.rules) ? size(self.metrics) == 0 : size(self.metrics) > 0",message="metrics must have at least 1 item, or none where rules of a prometheus source name them",fieldPath=".metrics"
// +kubebuilder:validation:XValidation:rule="!has(self.source.rabbitMQ) || self.metrics.all(m, m.value in ['Depth', 'Pending', 'AckPending', 'ArrivalRate', 'DrainRate', 'OldestAge', 'SecondsToDrain'])",message="metrics[].value of a source of kind rabbitMQ must be one of Depth, Pending, AckPending, ArrivalRate, DrainRate, OldestAge, SecondsToDrain",fieldPath=".metrics"
// +kubebuilder:validation:XValidation:rule="!has(self.source.rabbitMQ) || self.source.rabbitMQ.url.startsWith('http') || self.metrics.all(m, m.value == 'Pending')",message="metrics[].value must be Pending where rabbitMQ.url is amqp:// or amqps://: AMQP does not tell what is unacknowledged, so give the management API's http:// or https:// for other values",fieldPath=".metrics"
// +kubebuilder:validation:XValidation:rule="!has(self.source.rabbitMQ) || !self.source.rabbitMQ.url.startsWith('http') || !has(self.maxAge) || duration(self.maxAge) > duration(has(self.source.rabbitMQ.statisticsAge) ? self.source.rabbitMQ.statisticsAge : '10s')",message="maxAge must be longer than rabbitMQ.statisticsAge (10s by default), or every sample would be stale when it comes: raise maxAge",fieldPath=".maxAge"
// +kubebuilder:validation:XValidation:rule="!has(self.source.kafka) || self.metrics.all(m, m.value in ['Depth', 'Lag', 'ArrivalRate', 'DrainRate', 'OldestAge', 'SecondsToDrain'])",message="metrics[].value of a source of kind kafka must be one of Depth, Lag, ArrivalRate, DrainRate, OldestAge, SecondsToDrain",fieldPath=".metrics"
// +kubebuilder:validation:XValidation:rule="!has(self.source.kafka) || !has(self.source.kafka.limitToPartitions) || self.metrics.all(m, m.value != 'SecondsToDrain')",message="metrics[].value cannot be SecondsToDrain with limitToPartitions, which makes Depth a part of the lag: put SecondsToDrain into a MetricSource without the limit",fieldPath=".metrics"
// +kubebuilder:validation:XValidation:rule="!has(self.source.redis) || !has(self.source.redis.stream) || self.metrics.all(m, m.value in ['Depth', 'Pending', 'AckPending', 'ArrivalRate', 'DrainRate', 'OldestAge', 'SecondsToDrain'])",message="metrics[].value of a redis stream must be one of Depth, Pending, AckPending, ArrivalRate, DrainRate, OldestAge, SecondsToDrain",fieldPath=".metrics"
// +kubebuilder:validation:XValidation:rule="!has(self.source.redis) || !has(self.source.redis.list) || self.metrics.all(m, m.value == 'Depth')",message="metrics[].value of a redis list must be Depth: a list counts nothing that rates or ages could be measured from, so use a stream for those",fieldPath=".metrics"
// +kubebuilder:validation:XValidation:rule="!has(self.source.externalGRPC) || self.metrics.all(m, m.value in ['Value', 'Active'])",message="metrics[].value of a source of kind externalGRPC must be one of Value, Active",fieldPath=".metrics"
// +kubebuilder:validation:XValidation:rule="!has(self.source.http) || self.metrics.all(m, m.value in ['Value'])",message="metrics[].value of a source of kind http must be Value",fieldPath=".metrics"
// +kubebuilder:validation:XValidation:rule="!has(self.source.postgreSQL) || self.metrics.all(m, m.value in ['Value'])",message="metrics[].value of a source of kind postgreSQL must be Value",fieldPath=".metrics"
// +kubebuilder:validation:XValidation:rule="!has(self.source.mySQL) || self.metrics.all(m, m.value in ['Value'])",message="metrics[].value of a source of kind mySQL must be Value",fieldPath=".metrics"
// +kubebuilder:validation:XValidation:rule="!has(self.source.beanstalkd) || self.metrics.all(m, m.value in ['Depth', 'Pending', 'AckPending', 'Delayed', 'Buried', 'ArrivalRate', 'DrainRate', 'SecondsToDrain'])",message="metrics[].value of a source of kind beanstalkd must be one of Depth, Pending, AckPending, Delayed, Buried, ArrivalRate, DrainRate, SecondsToDrain",fieldPath=".metrics"
// +kubebuilder:validation:XValidation:rule="!has(self.source.formula) || self.metrics.all(m, m.value in ['Value'])",message="metrics[].value of a source of kind formula must be Value",fieldPath=".metrics"
// +kubebuilder:validation:XValidation:rule="!has(self.source.formula) || self.source.formula.inputs.all(i, !self.metrics.exists(m, m.name == i.metric))",message="a formula must not read a metric that it serves itself: its time would never move",fieldPath=".source"
type MetricSourceSpec struct {
	// source is where the metrics come from: exactly one member.
	Source Source `json:"source"`
	// metrics are the names served. Of two sources that serve one metric name in
	// a namespace the older serves, and the newer says so in its Ready condition.
	// Rules of a prometheus source name their metrics by themselves: it has none here.
	// +optional
	// +kubebuilder:default={}
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Metrics []SourceMetric `json:"metrics,omitempty"`
	// pollInterval is the time between two polls of the source, at least 1s.
	// Objects that ask the same question share one poll at the shortest interval.
	// +optional
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="pollInterval must be 1s or longer"
	PollInterval metav1.Duration `json:"pollInterval,omitzero"`
	// timeout of one poll, from 100ms to 1m.
	// +optional
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('100ms') && duration(self) <= duration('1m')",message="timeout must be from 100ms to 1m"
	Timeout metav1.Duration `json:"timeout,omitzero"`
	// maxAge is the age past which a sample is not served as it is; see onStale.
	// The age counts from the time at which the source measured.
	// +optional
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="maxAge must be 1s or longer"
	MaxAge metav1.Duration `json:"maxAge,omitzero"`
	// onStale is what becomes of a metric whose sample is older than maxAge. By
	// default readers get an error: nothing that is not known ever becomes 0.
	// +optional
	OnStale *OnStale `json:"onStale,omitempty"`
}

// MetricSample is the last sample of one metric.
type MetricSample struct {
	// name of the metric.
	Name string `json:"name"`
	// value of the sample.
	// +optional
	Value *resource.Quantity `json:"value,omitempty"`
	// sampledAt is when the source measured it.
	// +optional
	SampledAt *metav1.Time `json:"sampledAt,omitempty"`
	// error says why there is no newer sample, where there should be one.
	// +optional
	Error string `json:"error,omitempty"`
}

// MetricSourceStatus is what the adapter last saw.
type MetricSourceStatus struct {
	// observedGeneration is the generation that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// source names the kind of source and what is read of it, without secrets:
	// "natsJetStream ORDERS/workers".
	// +optional
	Source string `json:"source,omitempty"`
	// conditions are Ready, Fresh and SourceReachable.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// metrics are the last samples, refreshed at intervals and not at each poll;
	// the metrics API serves the newest.
	// +listType=map
	// +listMapKey=name
	// +optional
	Metrics []MetricSample `json:"metrics,omitempty"`
}

// MetricSource is a queue or a query served as external metrics of its own
// namespace. Served by metrics-adapter.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=quartet,shortName=qms
// +kubebuilder:printcolumn:name="Source",type=string,JSONPath=`.status.source`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Value",type=string,JSONPath=`.status.metrics[0].value`
// +kubebuilder:printcolumn:name="Sampled",type=date,JSONPath=`.status.metrics[0].sampledAt`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type MetricSource struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted.
	Spec MetricSourceSpec `json:"spec"`
	// status is what was last seen.
	// +optional
	Status MetricSourceStatus `json:"status,omitempty"`
}

// MetricSourceList is a list of MetricSources.
//
// +kubebuilder:object:root=true
type MetricSourceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MetricSource `json:"items"`
}

// ClusterMetricSourceSpec is a source shared by several namespaces.
type ClusterMetricSourceSpec struct {
	MetricSourceSpec `json:",inline"`
	// namespaceSelector chooses the namespaces that the metrics are served in, by
	// their labels as they are at each read. Without it they are served in all.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
}

// ClusterMetricSource is a queue or a query served as external metrics of many
// namespaces. A MetricSource of the same metric name in a namespace goes before
// it, and of two ClusterMetricSources that choose a namespace the older. Its
// Secrets are those of the adapter's own namespace. Served by metrics-adapter.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=quartet,shortName=qcms
// +kubebuilder:printcolumn:name="Source",type=string,JSONPath=`.status.source`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Value",type=string,JSONPath=`.status.metrics[0].value`
// +kubebuilder:printcolumn:name="Sampled",type=date,JSONPath=`.status.metrics[0].sampledAt`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterMetricSource struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted.
	Spec ClusterMetricSourceSpec `json:"spec"`
	// status is what was last seen.
	// +optional
	Status MetricSourceStatus `json:"status,omitempty"`
}

// ClusterMetricSourceList is a list of ClusterMetricSources.
//
// +kubebuilder:object:root=true
type ClusterMetricSourceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterMetricSource `json:"items"`
}
