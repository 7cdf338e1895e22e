package controller

import (
	"maps"
	"slices"
	"strings"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
)

// explained is the object of a decision: its values in a line each, and what is
// served with the facts about it as detail.
func explained(d query.Decision, o decision.Outcome) decisionapi.Decision {
	out := decisionapi.Render(d.Decision, o, struct {
		Generation int64        `json:"generation"`
		Source     string       `json:"source,omitempty"`
		Served     query.Served `json:"served"`
	}{d.Generation, d.SourceText, d.Served})
	out.From, out.To = line(d.From), line(d.To)
	return out
}

// line is "depth=7, wait=NoDrain" in the order of names.
func line(values query.Values) string {
	parts := make([]string, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		parts = append(parts, name+"="+values[name])
	}
	return strings.Join(parts, ", ")
}
