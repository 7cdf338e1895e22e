// Package verticalpolicy is what a VerticalScalingPolicy says, as the decisions of
// the VPA's three binaries take it: one projection for each, small, and the same
// after a pass through JSON. Empty and absent mean the same in every field. It is
// pure data with the few questions that all three ask of it; which policy holds
// for an object is internal/vertical/policies' to find, and what follows from it
// each component's to decide.
package verticalpolicy
