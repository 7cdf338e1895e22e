package v1alpha1

// RabbitMQSource is one queue, or all queues of a pattern summed up. Values:
// Depth, Pending (ready), AckPending (unacknowledged), ArrivalRate, DrainRate,
// OldestAge where the broker knows it, SecondsToDrain.
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
