package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	decisions "github.com/quartet-autoscaling/quartet/internal/decisionapi/v1alpha1"
)

// frame is what the view shows at one moment.
type frame struct {
	elapsed  time.Duration
	duration time.Duration
	rate     int
	depth    int
	peak     int
	produced int
	consumed int
	replicas int
	working  int
	reaction reactionReport
	last     decisions.Decision
	recent   []decisions.Decision
	cluster  clusterSeen
	// Histories, one value a sample, the oldest first.
	rates, depths, sizes, nodes []int
}

// frame gathers what there is to show now, without the histories.
func (p *play) frame() frame {
	counts, seen := p.tally.Counts(), p.watcher.seen()
	r := report{}
	r.setReaction(p.meter.Summary())
	return frame{
		elapsed: time.Since(p.start), rate: p.producer.CurrentRate(),
		depth: counts.Depth(), peak: counts.Peak, produced: counts.Produced, consumed: counts.Consumed,
		replicas: max(0, seen.replicas.Final), working: p.fleet.Size(),
		reaction: r.Reaction, last: seen.last, recent: seen.decisions,
		cluster: p.cluster.seen(),
	}
}

var (
	styleTitle = lipgloss.NewStyle().Bold(true)
	styleFaint = lipgloss.NewStyle().Faint(true)
	styleUp    = lipgloss.NewStyle().Foreground(lipgloss.Color("2"))
	styleDown  = lipgloss.NewStyle().Foreground(lipgloss.Color("6"))
)

const labelWidth = 10

// render draws a frame for a terminal of the given width.
func render(f frame, width int) string {
	width = max(width, 60)
	chart := width - labelWidth - 36
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n\n", styleTitle.Render("Quartet"), styleFaint.Render(clock(f)))
	row := func(label string, history []int, format string, args ...any) {
		fmt.Fprintf(&b, "%-*s%-*s %s\n", labelWidth, label, chart, spark(history, chart), fmt.Sprintf(format, args...))
	}
	row("arrivals", f.rates, "%d messages/s", f.rate)
	row("queue", f.depths, "%d messages (peak %d)", f.depth, f.peak)
	row("workers", f.sizes, "%d working, %d wanted (%d to %d)", f.working, f.replicas, minReplicas, maxReplicas)
	row("nodes", f.nodes, "%d, %d pods pending (%d to %d)", f.cluster.nodes.Final, f.cluster.pending, minNodes, maxNodes)
	fmt.Fprintf(&b, "\n%-*s%s\n", labelWidth, "pool", truncate(poolText(f.cluster), width-labelWidth))
	fmt.Fprintf(&b, "%-*s%s\n", labelWidth, steady, truncate(steadyText(f.cluster), width-labelWidth))
	fmt.Fprintf(&b, "%-*s%d done of %d; nothing may be lost\n", labelWidth, "messages", f.consumed, f.produced)
	fmt.Fprintf(&b, "%-*s%s\n", labelWidth, "reaction", reactionText(f.reaction))
	fmt.Fprintf(&b, "%-*s%s\n", labelWidth, "now", truncate(f.last.Message, width-labelWidth))
	fmt.Fprintf(&b, "\n%s\n", styleTitle.Render("last decisions that changed something"))
	for i := len(f.recent) - 1; i >= 0; i-- {
		d := f.recent[i]
		fmt.Fprintf(&b, "%s  %s  %s\n", d.At.Format("15:04:05"), arrow(d), truncate(d.Message, width-22))
	}
	fmt.Fprintf(&b, "\n%s\n", styleFaint.Render("q ends the demo"))
	return b.String()
}

func clock(f frame) string {
	elapsed := f.elapsed.Truncate(time.Second).String()
	if f.duration > 0 {
		return elapsed + " of " + f.duration.String()
	}
	return elapsed
}

func reactionText(r reactionReport) string {
	if r.Count == 0 {
		return "no scale-up yet"
	}
	return fmt.Sprintf("median %.2f s, at most %.2f s, over %d scale-ups", r.Median, r.Max, r.Count)
}

// poolText is what the pool says of itself.
func poolText(c clusterSeen) string {
	for _, condition := range c.pool.Status.Conditions {
		if condition.Type == v1alpha1.ConditionReady {
			return condition.Message
		}
	}
	return "has not reported yet"
}

func steadyText(c clusterSeen) string {
	if c.target == "" {
		return fmt.Sprintf("asks for %s of CPU and uses %s; no recommendation yet", c.steady, steadyCPU)
	}
	return fmt.Sprintf("asks for %s of CPU and uses %s; the recommendation is %s", c.steady, steadyCPU, c.target)
}

func arrow(d decisions.Decision) string {
	text := fmt.Sprintf("%3s -> %-3s", d.From, d.To)
	if d.Conditions == nil && !d.Act {
		return text
	}
	if len(d.To) > len(d.From) || (len(d.To) == len(d.From) && d.To > d.From) {
		return styleUp.Render(text)
	}
	return styleDown.Render(text)
}

func truncate(s string, width int) string {
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return string(r[:max(0, width-1)]) + "…"
}

var bars = []rune("▁▂▃▄▅▆▇█")

// spark draws the last values of a history, scaled to their maximum.
func spark(history []int, width int) string {
	history = history[max(0, len(history)-width):]
	top := 1
	for _, v := range history {
		top = max(top, v)
	}
	out := make([]rune, len(history))
	for i, v := range history {
		out[i] = bars[v*(len(bars)-1)/top]
	}
	return string(out)
}
