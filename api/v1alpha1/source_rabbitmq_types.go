package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// QueueTypeClassic is the queueType of a queue whose answers are always its own.
const QueueTypeClassic = "Classic"

// RabbitMQSource is one queue, or all queues of a pattern summed up. Over the
// management API it serves Depth, Pending (ready), AckPending (unacknowledged),
// ArrivalRate, DrainRate, SecondsToDrain, and OldestAge where publishers write a
// timestamp on messages. Over AMQP it serves Pending alone: AMQP does not tell what
// is unacknowledged, and work under way must not count as none.
//
// +kubebuilder:validation:XValidation:rule="[has(self.queue), has(self.queuePattern)].exists_one(set, set)",message="rabbitMQ must have exactly one of queue, queuePattern"
// +kubebuilder:validation:XValidation:rule="!has(self.queuePattern) || self.url.startsWith('http')",message="queuePattern needs the management API: give url as http:// or https://",fieldPath=".queuePattern"
// +kubebuilder:validation:XValidation:rule="!has(self.tls) || self.url.startsWith('amqps:') || self.url.startsWith('https:')",message="tls needs a url that begins with amqps:// or https://",fieldPath=".tls"
// +kubebuilder:validation:XValidation:rule="!has(self.queueType) || self.url.startsWith('amqp')",message="queueType is used over AMQP only, the management API knows it: remove it",fieldPath=".queueType"
type RabbitMQSource struct {
	// url of the broker: amqp:// or amqps:// for Pending alone, http:// or https://
	// of the management API for the other values and for patterns.
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^(amqps?|https?)://[^@?#\s]+$`
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
	// queueType is what the queue is, where url is amqp:// or amqps://. Over AMQP a
	// quorum queue without a leader answers as one does that is empty and has no
	// consumers. Such an answer is believed of a queue that is declared Classic here,
	// and is a failed poll otherwise.
	// +optional
	// +kubebuilder:validation:Enum=Classic;Quorum
	QueueType string `json:"queueType,omitempty"`
	// statisticsAge is how old the management API's figures can be. The API does not
	// say when they were counted, so samples carry the time of the poll less this.
	// It is the broker's collect_statistics_interval (for quorum queues
	// quorum_tick_interval) and the interval of its sample retention policies
	// together: 10s (the default) where the broker's settings are its defaults.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	StatisticsAge *metav1.Duration `json:"statisticsAge,omitempty"`
	// credentials to connect with. Without them the user is guest, with password
	// guest, whom a broker admits from its own machine only; or, over amqps:// with a
	// client certificate, whom the broker takes that for.
	// +optional
	Credentials *BasicAuth `json:"credentials,omitempty"`
	// tls of the connection.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
}
