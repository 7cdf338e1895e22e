package v1alpha1

// PostgreSQLSource is one statement that gives one number. Value: Value.
type PostgreSQLSource struct {
	// address of the server as host:port.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=261
	// +kubebuilder:validation:Pattern=`^(\[[0-9A-Fa-f:.]+\]|[^\s/@:\[\]]+):[0-9]{1,5}$`
	Address string `json:"address"`
	// database is the database's name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Database string `json:"database"`
	// statement runs alone in a read-only transaction, under the source's timeout.
	// It begins with SELECT, WITH, VALUES or TABLE and gives one row with one
	// column, a number. A second column named sampled_at, a timestamptz, is the
	// time at which the value was measured; without it that is the server's time
	// when it is asked.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	Statement string `json:"statement"`
	// listen is a channel of NOTIFY: the statement runs again at once when anything
	// is notified there, besides every pollInterval.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Listen string `json:"listen,omitempty"`
	// credentials to connect with. A password is never sent in clear text without
	// tls.
	Credentials BasicAuth `json:"credentials"`
	// tls of the connection. Without it the connection is plain.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
}

// MySQLSource is one statement that gives one number, of a MySQL or a MariaDB
// server. Value: Value.
type MySQLSource struct {
	// address of the server as host:port.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=261
	// +kubebuilder:validation:Pattern=`^(\[[0-9A-Fa-f:.]+\]|[^\s/@:\[\]]+):[0-9]{1,5}$`
	Address string `json:"address"`
	// database is the database's name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Database string `json:"database"`
	// statement runs alone in a read-only transaction, under the source's timeout.
	// It begins with SELECT, WITH, VALUES or TABLE and gives one row with one
	// column, a number. A second column named sampled_at, a TIMESTAMP or a DATETIME
	// in UTC, is the time at which the value was measured; without it that is the
	// server's time when it is asked. The session's time zone is UTC.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	Statement string `json:"statement"`
	// credentials to connect with. A password is never sent in clear text without
	// tls.
	Credentials BasicAuth `json:"credentials"`
	// tls of the connection. Without it the connection is plain.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
}
