package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi/v1alpha1"
)

// hpaAnswer is the last decision on a HorizontalPodAutoscaler.
type hpaAnswer struct{ d *v1alpha1.Decision }

func explainHPA(ctx context.Context, a *asker, name string) (answer, error) {
	return explainCount(ctx, a, objectHPA, name)
}

func explainScaler(ctx context.Context, a *asker, name string) (answer, error) {
	return explainCount(ctx, a, objectScaler, name)
}

func explainCount(ctx context.Context, a *asker, o object, name string) (answer, error) {
	d, err := a.decision(ctx, hpaController, o, name)
	if err != nil {
		return nil, err
	}
	return hpaAnswer{d}, nil
}

func (h hpaAnswer) value() any { return h.d }

// text tells a decision in plain words. Every reason in it is one of the
// decision's own.
func (h hpaAnswer) text(now time.Time) string {
	d := h.d
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", headline(d), decided(d, now))
	reasons(&b, d)
	if held := holds(d); len(held) > 0 {
		fmt.Fprintf(&b, "\nHeld back by:\n")
		for _, s := range held {
			fmt.Fprintf(&b, "  %s, from %s to %s: %s\n", s.Rule, s.In, s.Out, s.Message)
		}
	}
	steps(&b, "Steps", d.Steps)
	faults(&b, d)
	conditions(&b, d.Conditions)
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

// decided tells when the decision was made, and by whom.
func decided(d *v1alpha1.Decision, now time.Time) string {
	return fmt.Sprintf("Decided %s by %s %s.", ago(d.At.Time, now), d.Component, d.BuildVersion)
}

// ago is "12s ago (2026-03-01T12:00:00Z)".
func ago(at, now time.Time) string {
	return fmt.Sprintf("%s ago (%s)", duration.HumanDuration(max(now.Sub(at), 0)), at.UTC().Format(time.RFC3339))
}

// reasons tells the sum of the decision and what became of it.
func reasons(b *strings.Builder, d *v1alpha1.Decision) {
	fmt.Fprintf(b, "\nWhy:      %s%s\n", d.Reason, suffix(": ", d.Message))
	fmt.Fprintf(b, "Outcome:  %s\n", result(d))
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

func steps(b *strings.Builder, heading string, all []decision.Step) {
	rows := make([][]string, 0, len(all))
	for _, s := range all {
		rows = append(rows, []string{s.Rule, change(s), s.Reason, s.Message})
	}
	table(b, heading, []string{"RULE", "VALUE", "REASON", "MESSAGE"}, rows)
}

func faults(b *strings.Builder, d *v1alpha1.Decision) {
	rows := make([][]string, 0, len(d.Faults))
	for _, f := range d.Faults {
		rows = append(rows, []string{f.Source, f.Reason, f.Message})
	}
	table(b, "Faults", []string{"SOURCE", "REASON", "MESSAGE"}, rows)
}

func conditions(b *strings.Builder, all []decision.Condition) {
	rows := make([][]string, 0, len(all))
	for _, c := range all {
		rows = append(rows, []string{c.Type, string(c.Status), c.Reason, c.Message})
	}
	table(b, "Conditions", []string{"TYPE", "STATUS", "REASON", "MESSAGE"}, rows)
}

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

// table writes rows aligned below a heading, without blanks at line ends, and
// nothing where there are no rows.
func table(b *strings.Builder, heading string, columns []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s:\n", heading)
	align(b, append([][]string{columns}, rows...))
}

// align writes rows with their cells below one another.
func align(b *strings.Builder, rows [][]string) {
	var aligned strings.Builder
	w := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		// Writing to a builder cannot fail.
		_, _ = fmt.Fprintln(w, "  "+strings.Join(row, "\t"))
	}
	_ = w.Flush()
	for line := range strings.Lines(aligned.String()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
}

// facts writes names and what is known of them, one a line, and leaves out those
// of which nothing is.
func facts(b *strings.Builder, pairs ...[2]string) {
	var rows [][]string
	for _, p := range pairs {
		if p[1] != "" {
			rows = append(rows, []string{p[0] + ":", p[1]})
		}
	}
	if len(rows) > 0 {
		b.WriteString("\n")
		align(b, rows)
	}
}

// unknowns is what could not be found out, by what it is.
type unknowns map[string]string

func (u unknowns) note(what string, err error) { u[what] = err.Error() }

// write tells what is not known, so that nobody takes silence for an answer.
func (u unknowns) write(b *strings.Builder) {
	if len(u) == 0 {
		return
	}
	fmt.Fprintf(b, "\nNot known:\n")
	for _, what := range sorted(u) {
		fmt.Fprintf(b, "  %s: %s\n", what, strings.ReplaceAll(u[what], "\n", "\n    "))
	}
}
