package v1alpha1

// Types of conditions. A condition's reason is one word in CamelCase that a
// program can match; its message is a sentence for a person.
const (
	// ConditionReady sums an object up: it is valid and does what it says.
	ConditionReady = "Ready"
	// ConditionFresh tells whether every metric's sample is younger than the
	// source's maxAge.
	ConditionFresh = "Fresh"
	// ConditionSourceReachable tells whether the last poll reached the source.
	ConditionSourceReachable = "SourceReachable"
	// ConditionAttached tells whether a policy holds for its target. Of two
	// policies on one target the older is attached.
	ConditionAttached = "Attached"
)
