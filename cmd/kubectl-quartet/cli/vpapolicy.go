package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi/v1alpha1"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// attached are the conditions that tell what stands behind a recommendation
// besides usage, with the words that introduce them.
var attached = []struct{ kind, intro string }{
	{estimator.Policed, "Policy:   "},
	{estimator.Conflict, "Conflict: "},
	{estimator.ColdStart, "Start:    "},
}

// behind tells of the policy in force, of what follows the same requests, and of
// what new containers began from.
func behind(b *strings.Builder, d *v1alpha1.Decision) {
	for _, a := range attached {
		i := slices.IndexFunc(d.Conditions, func(c decision.Condition) bool { return c.Type == a.kind && c.Status == decision.True })
		if i >= 0 {
			fmt.Fprintf(b, "%s%s\n", a.intro, d.Conditions[i].Message)
		}
	}
}

// others are the conditions that behind does not tell.
func others(all []decision.Condition) []decision.Condition {
	return slices.DeleteFunc(slices.Clone(all), func(c decision.Condition) bool {
		return c.Status == decision.True && slices.ContainsFunc(attached, func(a struct{ kind, intro string }) bool { return a.kind == c.Type })
	})
}
