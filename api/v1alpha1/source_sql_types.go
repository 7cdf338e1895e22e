package v1alpha1

// SQLSource is one statement that gives one number. Value: Value.
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
