package replicas

import (
	"fmt"
	"strings"
)

// Strays are pods that the selector matches and that belong to something else than
// the target: they are not in Pods, and count for nothing.
type Strays struct {
	Count int `json:"count"`
	// Pods are the first few by name, Owners what they belong to, as "Deployment
	// api", sorted; NoOwner stands for pods that nothing controls.
	Pods   []string `json:"pods"`
	Owners []string `json:"owners"`
}

// NoOwner stands for what pods without a controller belong to.
const NoOwner = "nothing"

// ShownStrays is how many stray pods, and how many of their owners, are named.
const ShownStrays = 5

// tellStrays shows which pods are left out.
func tellStrays(t *turn) verdict {
	t.judge(StrayPods)
	s := t.s.Strays
	if s == nil || s.Count == 0 {
		return proceed
	}
	target := t.s.HPA.Target.text()
	// Owners change seldom; names of pods stand in the step alone.
	t.notice(StrayPods, ReasonOtherOwner, fmt.Sprintf(
		"the selector %s of %s also matches pods of %s: they are not counted; give the pods of each a label of their own",
		t.s.Scale.Selector, target, strings.Join(s.Owners, ", ")))
	step := &t.d.Steps[len(t.d.Steps)-1]
	step.Message = fmt.Sprintf("%d pods are left out, for they do not belong to %s: %s", s.Count, target, names(s.Pods, s.Count))
	return proceed
}

// names lists the first few of so many.
func names(first []string, of int) string {
	text := strings.Join(first, ", ")
	if more := of - len(first); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
