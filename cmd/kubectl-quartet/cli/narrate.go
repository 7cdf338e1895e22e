package cli

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi/v1alpha1"
)

// narrate tells a decision in plain words. Every reason in it is one of the
// decision's own.
func narrate(d *v1alpha1.Decision, age time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", headline(d))
	fmt.Fprintf(&b, "Decided %s ago (%s) by %s %s.\n", duration.HumanDuration(age), d.At.UTC().Format(time.RFC3339), d.Component, d.BuildVersion)
	fmt.Fprintf(&b, "\nWhy:      %s%s\n", d.Reason, suffix(": ", d.Message))
	fmt.Fprintf(&b, "Outcome:  %s\n", result(d))

	if held := holds(d); len(held) > 0 {
		fmt.Fprintf(&b, "\nHeld back by:\n")
		for _, s := range held {
			fmt.Fprintf(&b, "  %s, from %s to %s: %s\n", s.Rule, s.In, s.Out, s.Message)
		}
	}
	if len(d.Steps) > 0 {
		rows := make([][]string, 0, len(d.Steps))
		for _, s := range d.Steps {
			rows = append(rows, []string{s.Rule, change(s), s.Reason, s.Message})
		}
		table(&b, "Steps", []string{"RULE", "VALUE", "REASON", "MESSAGE"}, rows)
	}
	if len(d.Faults) > 0 {
		rows := make([][]string, 0, len(d.Faults))
		for _, f := range d.Faults {
			rows = append(rows, []string{f.Source, f.Reason, f.Message})
		}
		table(&b, "Faults", []string{"SOURCE", "REASON", "MESSAGE"}, rows)
	}
	if len(d.Conditions) > 0 {
		rows := make([][]string, 0, len(d.Conditions))
		for _, c := range d.Conditions {
			rows = append(rows, []string{c.Type, string(c.Status), c.Reason, c.Message})
		}
		table(&b, "Conditions", []string{"TYPE", "STATUS", "REASON", "MESSAGE"}, rows)
	}
	return b.String()
}

// headline says in one line what is to become of the unit.
func headline(d *v1alpha1.Decision) string {
	if d.From == d.To {
		return fmt.Sprintf("%s stays at %s.", d.Unit, d.To)
	}
	if d.Act {
		return fmt.Sprintf("%s goes from %s to %s.", d.Unit, d.From, d.To)
	}
	return fmt.Sprintf("%s stays at %s, and would go to %s.", d.Unit, d.From, d.To)
}

// result says what became of the action.
func result(d *v1alpha1.Decision) string {
	switch d.Outcome.Result {
	case decision.Unneeded:
		if d.From != d.To {
			return "nothing was done: the decision is shown and not carried out"
		}
		return "there was nothing to do"
	case decision.Succeeded:
		return "the change was made"
	case decision.Withheld:
		return "the change was not tried" + suffix(": ", d.Outcome.Error)
	case decision.Failed:
		return "the change failed" + suffix(": ", d.Outcome.Error)
	}
	return string(d.Outcome.Result)
}

// holds are the steps that brought the value nearer to the one in force again,
// after a rule before them had wanted more of a change.
func holds(d *v1alpha1.Decision) []decision.Step {
	var held []decision.Step
	from, err := strconv.ParseFloat(d.From, 64)
	if err != nil {
		return nil
	}
	for _, s := range d.Steps {
		in, inErr := strconv.ParseFloat(s.In, 64)
		out, outErr := strconv.ParseFloat(s.Out, 64)
		if inErr == nil && outErr == nil && distance(out, from) < distance(in, from) {
			held = append(held, s)
		}
	}
	return held
}

func distance(a, b float64) float64 { return max(a-b, b-a) }

// change is "3 -> 5", or the value where the rule left it as it was.
func change(s decision.Step) string {
	switch {
	case s.Changed() && s.In != "" && s.Out != "":
		return s.In + " -> " + s.Out
	case s.Out != "":
		return s.Out
	}
	return s.In
}

func suffix(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + text
}

// table writes rows aligned below a heading, without blanks at line ends.
func table(b *strings.Builder, heading string, columns []string, rows [][]string) {
	fmt.Fprintf(b, "\n%s:\n", heading)
	var aligned strings.Builder
	w := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{columns}, rows...) {
		// Writing to a builder cannot fail.
		_, _ = fmt.Fprintln(w, "  "+strings.Join(row, "\t"))
	}
	_ = w.Flush()
	for line := range strings.Lines(aligned.String()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
}
