package source

import (
	"fmt"
	"runtime/debug"

	"k8s.io/klog/v2"
)

// ReasonBroken is the reason of what ended in a panic of the code that reads a
// source: a fault of ours or of a client library, which an answer that nobody thought
// of brought to light. It is the one object's failure, and no other's.
const ReasonBroken = "SourceBroken"

// Broken turns a panic into a failure. What was panicked with is logged by its type
// and not shown, since it might hold anything.
func Broken(during string, panicked any) *Error {
	klog.ErrorS(nil, "Recovered from a panic while asking a source", "during", during,
		"type", fmt.Sprintf("%T", panicked), "stack", string(debug.Stack()))
	return Errorf(ReasonBroken, "the code that reads this source failed (%T): see the log", panicked)
}

// Recovered is deferred in the goroutines that a source begins to ask several things
// at once, whose panics nobody else could outlive. It makes one the goroutine's error.
func Recovered(err *error) {
	if panicked := recover(); panicked != nil {
		*err = Broken("poll", panicked)
	}
}
