// Package features names upstream's feature gates of the VPA as a value that
// snapshots carry. It is pure; the flag that sets it is in featureflag.
package features

// Gates tell which gated features of upstream's VPA 1.8 are on. All are alpha and
// off by default, which is the zero value.
type Gates struct {
	// CPUStartupBoost lets spec.startupBoost and the container policies' raise CPU
	// while a container starts.
	CPUStartupBoost bool `json:"cpuStartupBoost,omitempty"`
	// InPlace lets the update mode InPlace resize pods and never evict them.
	InPlace bool `json:"inPlace,omitempty"`
	// PerVPAConfig lets VPAs set evictAfterOOMSeconds, oomBumpUpRatio,
	// oomMinBumpUp, memoryAggregationIntervalSeconds and
	// memoryAggregationIntervalCount.
	PerVPAConfig bool `json:"perVPAConfig,omitempty"`
}

// The names of the gates.
const (
	CPUStartupBoost = "CPUStartupBoost"
	InPlace         = "InPlace"
	PerVPAConfig    = "PerVPAConfig"
)
