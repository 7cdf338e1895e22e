package estimator

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/test/golden"
)

// TestScenarios plays the files of testdata. A file is a list of blocks, parted
// by empty lines. The lines of a block before "----" change the world, then one
// turn runs, and what it decided stands after "----". See testdata/README for
// the words.
func TestScenarios(t *testing.T) { golden.Scenarios(t, "testdata/*.txt", play) }

func play(t testing.TB, text string) string {
	s := &scene{snapshot: steady(start, Amounts{}), state: State{}}
	s.snapshot.Pods = map[string]Pod{}
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		words, _, turns := strings.Cut(block, "----")
		words = strings.TrimRight(words, "\n")
		if i > 0 {
			out.WriteString("\n")
		}
		out.WriteString(words + "\n")
		for _, line := range strings.Split(words, "\n") {
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if err := s.word(strings.Fields(line)); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
		if turns {
			out.WriteString("----\n" + tell(s.turn(), s.state))
		}
	}
	return out.String()
}

// scene is the world of one file.
type scene struct {
	snapshot Snapshot
	state    State
}

// turn decides and lets the action succeed.
func (s *scene) turn() Decision {
	d := Decide(s.snapshot, s.state)
	outcome := decision.Outcome{Result: decision.Unneeded}
	if d.Act {
		outcome.Result = decision.Succeeded
		s.snapshot.VPA.Recommended = d.To
	}
	s.state = Commit(s.state, d, outcome)
	s.snapshot.VPA.Conditions = nil
	for _, c := range d.Conditions {
		s.snapshot.VPA.Conditions = append(s.snapshot.VPA.Conditions, c.Type)
	}
	return d
}

func (s *scene) word(words []string) error {
	rest := strings.Join(words[1:], " ")
	switch words[0] {
	case "wait":
		return s.wait(words[1])
	case "pass":
		return s.passes(words[1], words[2])
	case "use":
		return s.use(words[1], words[2:])
	case "pods":
		s.pods(strings.Split(rest, ","))
	case "nopods":
		s.snapshot.Pods = nil
	case "kill":
		pod := s.snapshot.Pods[words[1]]
		c := pod.Containers[words[2]]
		c.Killed = s.snapshot.Now
		pod.Containers[words[2]] = c
	case "held":
		return s.held(words[1], words[2], words[3:])
	case "evict":
		return s.evict(words[1], words[2], words[3])
	case "flag":
		c := &s.snapshot.Config
		on := map[string]*bool{"count-limit": &c.OOMCountLimit, "stop-at-max": &c.OOMStopAtMax, "humanize": &c.Humanize,
			"per-vpa-config": &c.PerVPAConfig, "whole-cpu": &c.WholeCPU}[words[1]]
		*on = true
	case "whole":
		s.snapshot.VPA.WholeCPU = words[1:]
	case "nopolicy":
		s.snapshot.VPA.Policies = nil
	case "policy":
		return s.policy(words[1], words[2:])
	case "target":
		s.snapshot.TargetError = strings.TrimPrefix(rest, "ok")
	case "fetching":
		s.snapshot.Fetching = strings.TrimPrefix(rest, "ok")
	case "usage":
		s.snapshot.UsageError = strings.TrimPrefix(rest, "ok")
	case "mode":
		s.snapshot.Mode = words[1]
	case "writer":
		s.writer(words[1:])
	case "restart":
		s.state = State{}
	default:
		return s.attachedWord(words)
	}
	return nil
}

// wait moves the time, and the samples with it.
func (s *scene) wait(text string) error {
	by, err := time.ParseDuration(text)
	if err != nil {
		return err
	}
	s.snapshot.Now = s.snapshot.Now.Add(by)
	for name, pod := range s.snapshot.Pods {
		pod.Sampled = s.snapshot.Now
		s.snapshot.Pods[name] = pod
	}
	return nil
}

func (s *scene) passes(count, every string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	for range n {
		s.turn()
		if err := s.wait(every); err != nil {
			return err
		}
	}
	return nil
}

func (s *scene) use(container string, words []string) error {
	a, err := parseAmounts(words)
	if err != nil {
		return err
	}
	for _, pod := range s.snapshot.Pods {
		c := pod.Containers[container]
		c.Usage, c.Request = a, 200<<20
		pod.Containers[container] = c
	}
	return nil
}

func parseAmounts(words []string) (Amounts, error) {
	var a Amounts
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		q, err := resource.ParseQuantity(value)
		if err != nil {
			return a, err
		}
		if name == CPU {
			a.set(CPU, q.MilliValue())
		} else {
			a.set(Memory, q.Value())
		}
	}
	return a, nil
}

func (s *scene) pods(names []string) {
	before := s.snapshot.Pods
	s.snapshot.Pods = map[string]Pod{}
	for _, name := range names {
		pod, known := before[name]
		if !known {
			pod = Pod{Sampled: s.snapshot.Now, Containers: map[string]Container{}}
		}
		s.snapshot.Pods[name] = pod
	}
}

func (s *scene) policy(container string, words []string) error {
	p := Policy{Container: container}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		side, name, _ := strings.Cut(key, "-")
		switch side {
		case "off":
			p.Off = true
		case "only":
			p.Limited, p.Controlled = true, []string{value}
		case "oom", "peak":
			if err := tune(&p.Tuning, key, value); err != nil {
				return err
			}
		case "min", "max":
			a, err := parseAmounts([]string{name + "=" + value})
			if err != nil {
				return err
			}
			if side == "min" {
				p.Min = a
			} else {
				p.Max = a
			}
		default:
			return fmt.Errorf("unknown part %q", word)
		}
	}
	s.snapshot.VPA.Policies = append(s.snapshot.VPA.Policies, p)
	return nil
}

// held is what a container requests and is held to from now on.
func (s *scene) held(pod, container string, words []string) error {
	c := s.snapshot.Pods[pod].Containers[container]
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		q, err := resource.ParseQuantity(value)
		if err != nil {
			return err
		}
		if name == "limit" {
			c.Limit = q.Value()
		} else {
			c.Request = q.Value()
		}
	}
	s.snapshot.Pods[pod].Containers[container] = c
	return nil
}

func (s *scene) evict(pod, container, memory string) error {
	q, err := resource.ParseQuantity(memory)
	if err != nil {
		return err
	}
	c := s.snapshot.Pods[pod].Containers[container]
	c.Evicted = &Kill{At: s.snapshot.Now, Request: q.Value()}
	s.snapshot.Pods[pod].Containers[container] = c
	return nil
}

// tune sets one field of the alpha feature PerVPAConfig.
func tune(t *Tuning, key, value string) error {
	number, err := strconv.ParseFloat(value, 64)
	interval, errInterval := time.ParseDuration(value)
	switch key {
	case "oom-ratio":
		t.OOMRatio = &number
	case "oom-bytes":
		t.OOMBytes = &number
	case "peak-intervals":
		t.PeakIntervals = int64(number)
	case "peak-interval":
		t.PeakInterval, err = interval, errInterval
	}
	return err
}

func (s *scene) writer(words []string) {
	s.snapshot.Writer = nil
	if words[0] != "none" {
		s.snapshot.Writer = &Writer{Name: words[0], At: s.snapshot.Now}
		for _, word := range words[1:] {
			s.snapshot.Writer.Lease = s.snapshot.Writer.Lease || word == "lease"
			s.snapshot.Writer.AfterUs = s.snapshot.Writer.AfterUs || word == "after-us"
		}
	}
}

// tell prints a decision, what it shows, and how much was learned.
func tell(d Decision, s State) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s (act %v): %s\n", d.At.Format("01-02 15:04:05"), d.Reason, d.Act, d.Message)
	for _, step := range d.Steps {
		fmt.Fprintf(&b, "  %s [%s>%s] %s: %s\n", step.Rule, step.In, step.Out, step.Reason, step.Message)
	}
	for _, c := range d.To {
		for _, name := range resources {
			if c.Target.Of(name) != nil {
				fmt.Fprintf(&b, "  = %s %s: %s <= %s <= %s, uncapped %s\n", c.Container, name, amountText(name, *c.Lower.Of(name)),
					amountText(name, *c.Target.Of(name)), amountText(name, *c.Upper.Of(name)), amountText(name, *c.Uncapped.Of(name)))
			}
		}
	}
	for _, c := range d.Conditions {
		fmt.Fprintf(&b, "  condition %s=%s %s %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	for _, kind := range d.Status.Withdrawn {
		fmt.Fprintf(&b, "  withdrawn %s\n", kind)
	}
	for _, e := range d.Events {
		fmt.Fprintf(&b, "  event %s %s: %s\n", e.Type, e.Reason, e.Message)
	}
	for _, f := range d.Faults {
		fmt.Fprintf(&b, "  fault %s %s: %s\n", f.Source, f.Reason, f.Message)
	}
	if len(d.Checkpoints) > 0 {
		fmt.Fprintf(&b, "  checkpoints %s\n", list(d.Checkpoints))
	}
	fmt.Fprintf(&b, "  known: %d containers, %d pods\n", len(s.Learned), len(s.Windows))
	return b.String()
}
