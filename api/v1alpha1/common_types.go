package v1alpha1

// Mode says how far a binary, a policy or a pool may go. An owner can start by
// watching.
//
// +kubebuilder:validation:Enum=Off;Recommend;Auto
type Mode string

// The modes.
const (
	// ModeOff does nothing at all.
	ModeOff Mode = "Off"
	// ModeRecommend decides and reports and never acts.
	ModeRecommend Mode = "Recommend"
	// ModeAuto acts.
	ModeAuto Mode = "Auto"
)

// SecretKey names one key of a Secret. A namespaced object reads Secrets of its
// own namespace; a cluster-scoped object reads Secrets of the namespace that the
// binary runs in. There is no field for another namespace, so nobody can read
// a Secret through us that they could not read themselves.
type SecretKey struct {
	// name of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// key inside the Secret's data.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key"`
}

// TLS is how a connection is secured. Certificates are read again when their
// Secret changes.
//
// +kubebuilder:validation:XValidation:rule="has(self.clientCertificate) == has(self.clientKey)",message="clientCertificate and clientKey go together: set both for mutual TLS, or neither"
type TLS struct {
	// ca holds the PEM certificates to trust in place of the system's.
	// +optional
	CA *SecretKey `json:"ca,omitempty"`
	// clientCertificate holds the PEM certificate to present (mutual TLS).
	// +optional
	ClientCertificate *SecretKey `json:"clientCertificate,omitempty"`
	// clientKey holds the PEM key of clientCertificate.
	// +optional
	ClientKey *SecretKey `json:"clientKey,omitempty"`
	// serverName is the name to verify in the server's certificate, where it is
	// not the host that is dialled.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ServerName string `json:"serverName,omitempty"`
	// insecureSkipVerify accepts any certificate. For tests only.
	// +optional
	InsecureSkipVerify bool `json:"insecureSkipVerify,omitempty"`
}

// BasicAuth is a user name and a password, both from Secrets.
type BasicAuth struct {
	// username holds the user's name.
	Username SecretKey `json:"username"`
	// password holds the password.
	Password SecretKey `json:"password"`
}
