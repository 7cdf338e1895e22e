package query_test

import (
	"bufio"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/test/golden"
)

// TestScenarios plays each file of testdata/scenarios. A file is a list of
// commands, each followed by "----", what it printed, and an empty line:
//
//	object metrics=depth:Depth,... [maxAge=1m] [interval=1s] [mode=Auto] [generation=2] [created=1h]
//	       [stale=Hold|Floor] [floor=5] [atMost=2m] [namespaces=team=data] (a ClusterMetricSource)
//	read at=5s pending=3 ack=1 delivered=7,9 [epoch=a] [oldest=2] (numbers, "nan", "empty", "absent")
//	read at=5s depth=3 arrived=10 drained=7 (or one of the two counters)
//	fail at=6s reason=Unreachable message="..."
//	rival name=older created=-1h metrics=depth [namespaces=team=data]
//	specfault reason=SecretNotFound message="..." | specfault none
//	turn at=7s             decides and shows what came out
//	serve at=8s            judges what is served, as a read does
func TestScenarios(t *testing.T) { golden.Scenarios(t, "testdata/scenarios/*.txt", play) }

// epoch is time 0 of every scenario.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// stage is one object's world.
type stage struct {
	t        testing.TB
	snapshot query.Snapshot
	state    query.State
}

func newStage(t testing.TB) *stage {
	return &stage{t: t, snapshot: query.Snapshot{
		Unit:       decision.Unit{Kind: "MetricSource", Namespace: "shop", Name: "orders", UID: "1"},
		Mode:       query.ModeAuto,
		Created:    epoch,
		Generation: 1,
		Spec:       query.Spec{Generation: 1, Source: "natsJetStream ORDERS/workers", MaxAge: time.Minute, PollInterval: time.Second},
	}}
}

// play runs a file's commands and gives the file with what they print now.
func play(t testing.TB, text string) string {
	s := newStage(t)
	var out strings.Builder
	lines := bufio.NewScanner(strings.NewReader(text))
	skipping := false
	for lines.Scan() {
		line := lines.Text()
		switch {
		case skipping:
			// The empty line after the output was printed with it.
			skipping = line != ""
		case line == "----":
			skipping = true
		case line == "" || strings.HasPrefix(line, "#"):
			fmt.Fprintln(&out, line)
		default:
			fmt.Fprintln(&out, line)
			if printed := s.do(line); printed != "" {
				fmt.Fprintf(&out, "----\n%s\n", printed)
			}
		}
	}
	return out.String()
}

// command is a word and its arguments.
type command struct {
	t    testing.TB
	word string
	args map[string]string
}

func parse(t testing.TB, line string) command {
	word, rest, _ := strings.Cut(line, " ")
	c := command{t: t, word: word, args: map[string]string{}}
	for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimSpace(rest) {
		key, after, ok := strings.Cut(rest, "=")
		if !ok {
			c.args[rest] = ""
			break
		}
		if strings.HasPrefix(after, `"`) {
			value, tail, _ := strings.Cut(after[1:], `"`)
			c.args[key], rest = value, tail
			continue
		}
		value, tail, _ := strings.Cut(after, " ")
		c.args[key], rest = value, tail
	}
	return c
}

func (c command) duration(key string, fallback time.Duration) time.Duration {
	text, ok := c.args[key]
	if !ok {
		return fallback
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		c.t.Fatalf("%s: %v", key, err)
	}
	return d
}

func (c command) at() time.Time { return epoch.Add(c.duration("at", 0)) }

func (s *stage) do(line string) string {
	c := parse(s.t, line)
	switch c.word {
	case "object":
		s.object(c)
	case "read":
		s.read(c)
	case "fail":
		s.fail(c)
	case "rival":
		s.snapshot.Rivals = append(s.snapshot.Rivals, query.Rival{
			Name: c.args["name"], Created: epoch.Add(c.duration("created", 0)), Metrics: strings.Split(c.args["metrics"], ","),
			Namespaces: c.args["namespaces"],
		})
	case "specfault":
		s.snapshot.SpecFault = nil
		if _, none := c.args["none"]; !none {
			s.snapshot.SpecFault = &decision.Fault{Source: "shop/orders", Reason: c.args["reason"], Message: c.args["message"]}
		}
	case "turn":
		return s.turn(c)
	case "serve":
		return s.serve(c)
	default:
		s.t.Fatalf("no such command: %s", line)
	}
	return ""
}

func (s *stage) object(c command) {
	spec := &s.snapshot.Spec
	spec.Metrics = nil
	for _, m := range strings.Split(c.args["metrics"], ",") {
		name, kind, _ := strings.Cut(m, ":")
		spec.Metrics = append(spec.Metrics, query.Metric{Name: name, Kind: query.Kind(kind)})
	}
	spec.MaxAge = c.duration("maxAge", spec.MaxAge)
	spec.PollInterval = c.duration("interval", spec.PollInterval)
	spec.OnStale = c.onStale()
	if namespaces, cluster := c.args["namespaces"]; cluster {
		s.snapshot.Unit = decision.Unit{Kind: "ClusterMetricSource", Name: "orders", UID: "1"}
		spec.Namespaces = namespaces
	}
	s.snapshot.Created = epoch.Add(c.duration("created", 0))
	if mode, ok := c.args["mode"]; ok {
		s.snapshot.Mode = query.Mode(mode)
	}
}

func (c command) onStale() query.OnStale {
	policy := query.OnStale{Policy: query.StalePolicy(c.args["stale"])}
	if text, ok := c.args["floor"]; ok {
		var err error
		if policy.Floor, err = strconv.ParseFloat(text, 64); err != nil {
			c.t.Fatal(err)
		}
	}
	if _, ok := c.args["atMost"]; ok {
		atMost := c.duration("atMost", 0)
		policy.AtMost = &atMost
	}
	return policy
}

func (s *stage) read(c command) {
	r := &query.Reading{At: c.at(), Gauges: map[query.Kind]query.Gauge{}, Epoch: c.args["epoch"], Skew: c.duration("skew", 0)}
	for key, kind := range map[string]query.Kind{
		"pending": query.Pending, "ack": query.AckPending, "oldest": query.OldestAge, "depth": query.Depth,
	} {
		switch text, ok := c.args[key]; {
		case !ok || text == "absent":
		case text == "nan":
			r.Gauges[kind] = query.Gauge{Presence: query.NotANumber}
		case text == "empty":
			r.Gauges[kind] = query.Gauge{Presence: query.Empty}
		default:
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				s.t.Fatalf("%s: %v", key, err)
			}
			r.Gauges[kind] = query.NumberOf(v)
		}
	}
	r.Delivered = c.counters("delivered")
	if arrived := c.counters("arrived"); len(arrived) == 1 {
		r.Arrived = &arrived[0]
	}
	if drained := c.counters("drained"); len(drained) == 1 {
		r.Drained = &drained[0]
	}
	s.snapshot.Poll.Reading, s.snapshot.Poll.Failing = r, false
}

// counters are the numbers of a list, nil where it is not there.
func (c command) counters(key string) (counters []uint64) {
	text, ok := c.args[key]
	if !ok {
		return nil
	}
	for _, n := range strings.Split(text, ",") {
		v, err := strconv.ParseUint(n, 10, 64)
		if err != nil {
			c.t.Fatalf("%s: %v", key, err)
		}
		counters = append(counters, v)
	}
	return counters
}

func (s *stage) fail(c command) {
	inRow := 1
	if s.snapshot.Poll.Failing {
		inRow += s.snapshot.Poll.LastFailure.InRow
	}
	s.snapshot.Poll.Failing = true
	s.snapshot.Poll.LastFailure = &query.Failure{At: c.at(), Reason: c.args["reason"], Message: c.args["message"], InRow: inRow}
}

func (s *stage) turn(c command) string {
	s.snapshot.Now = c.at()
	d := query.Rules.Decide(s.snapshot, s.state)
	outcome := decision.Outcome{Result: decision.Unneeded}
	if d.Act {
		outcome.Result = decision.Succeeded
	}
	s.state = query.Rules.Commit(s.state, d, outcome)
	var out strings.Builder
	for _, sample := range d.Served.Samples {
		fmt.Fprintf(&out, "%s\n", sampleText(sample))
	}
	for _, cond := range d.Conditions {
		fmt.Fprintf(&out, "%s=%s %s: %s\n", cond.Type, cond.Status, cond.Reason, cond.Message)
	}
	for _, step := range d.Steps {
		if _, show := c.args["steps"]; show {
			fmt.Fprintf(&out, "  %s %s: %s\n", step.Rule, step.Reason, step.Message)
		}
	}
	fmt.Fprintf(&out, "act=%t", d.Act)
	if !d.RecheckAt.IsZero() {
		fmt.Fprintf(&out, " recheck=%s", d.RecheckAt.Sub(epoch).Round(time.Millisecond))
	}
	return out.String() + "\n"
}

func sampleText(s query.Sample) string {
	if s.Fault != nil {
		return fmt.Sprintf("%s: no value: %s: %s", s.Metric, s.Fault.Reason, s.Fault.Message)
	}
	text := fmt.Sprintf("%s: %s", s.Metric, strconv.FormatFloat(s.Value, 'f', 3, 64))
	if s.WindowSeconds > 0 {
		text += fmt.Sprintf(" over %d s", s.WindowSeconds)
	}
	return text
}

// serve judges what was last published, as every read does.
func (s *stage) serve(c command) string {
	var out []string
	for _, sample := range s.state.Served.Samples {
		served, fault := query.Serve(sample, s.state.Served.Facts, c.at())
		if fault != nil {
			out = append(out, fmt.Sprintf("%s: 503 %s", sample.Metric, fault.Error()))
			continue
		}
		text := sampleText(served)
		if s.state.Served.Facts.OnStale.Policy != "" {
			text += " of " + s.state.Served.Facts.SampledAt.Format(time.TimeOnly)
		}
		out = append(out, text)
	}
	if len(out) == 0 {
		return "nothing is served\n"
	}
	return strings.Join(slices.Clip(out), "\n") + "\n"
}
