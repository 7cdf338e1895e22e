package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
	// not the host that is dialed.
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

// TargetReference names an object in the policy's own namespace.
type TargetReference struct {
	// name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// RecurringWindow is a stretch of time that comes again.
type RecurringWindow struct {
	// cron is when the window opens: minute, hour, day of month, month, day of
	// week, as in a CronJob.
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9*/,-]+ +[0-9*/,-]+ +[0-9*/,?-]+ +[0-9A-Za-z*/,-]+ +[0-9A-Za-z*/,?-]+$')",message="cron must have five fields (minute, hour, day of month, month, day of week) of numbers, names, lists, ranges and steps, such as '0 8 * * MON-FRI'"
	Cron string `json:"cron"`
	// timeZone that cron is read in, a name of the IANA database.
	// +optional
	// +kubebuilder:default="Etc/UTC"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self != 'Local' && timestamp('2026-01-01T00:00:00Z').getHours(self) >= 0",message="timeZone must be a name of the IANA database, such as Europe/Berlin or Etc/UTC"
	TimeZone string `json:"timeZone,omitempty"`
	// duration is how long the window stays open, from 1m to 168h.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('168h')",message="duration must be from 1m to 168h"
	Duration metav1.Duration `json:"duration"`
}

// PolicyStatus is what became of a policy.
type PolicyStatus struct {
	// observedGeneration is the generation that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions are Ready and Attached. Of two policies on one target the older
	// is attached; the newer names it in its condition.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
