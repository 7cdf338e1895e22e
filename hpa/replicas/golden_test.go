package replicas

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/test/golden"
)

// TestScenarios plays the files of testdata. A file is a list of blocks, parted
// by empty lines. The lines of a block before "----" change the world, then one
// turn runs, and what it decided stands after "----". See testdata/README for
// the words.
func TestScenarios(t *testing.T) { golden.Scenarios(t, "testdata/*.txt", play) }

func play(t testing.TB, text string) string {
	w := newWorld(1)
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
			if err := w.word(strings.Fields(line)); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
		if turns {
			d, o := w.turn(t)
			out.WriteString("----\n" + tell(d, o))
		}
	}
	return out.String()
}

// tell prints a decision and what it shows.
func tell(d Decision, o decision.Outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d -> %d %s (%s): %s\n", d.At.Format("15:04:05"), d.From, d.To, d.Reason, o.Result, d.Message)
	for _, s := range d.Steps {
		fmt.Fprintf(&b, "  %s [%s>%s] %s: %s\n", s.Rule, s.In, s.Out, s.Reason, s.Message)
	}
	r := Render(d, o)
	for _, c := range r.Conditions {
		fmt.Fprintf(&b, "  condition %s=%s %s", c.Type, c.Status, c.Reason)
		if c.Type == Policed {
			b.WriteString(": " + c.Message)
		}
		b.WriteString("\n")
	}
	for _, e := range r.Events {
		fmt.Fprintf(&b, "  event %s %s: %s\n", e.Type, e.Reason, e.Message)
	}
	fmt.Fprintf(&b, "  status %s current=%d desired=%d metrics=%d", r.Status.Scope, r.Status.CurrentReplicas, r.Status.DesiredReplicas, len(r.Status.Metrics))
	if len(r.Status.Withdrawn) > 0 {
		fmt.Fprintf(&b, " withdrawn=%s", strings.Join(r.Status.Withdrawn, ","))
	}
	b.WriteString("\n")
	return b.String()
}

// word changes the world by one line.
func (w *world) word(f []string) error {
	s := &w.snapshot
	switch f[0] {
	case "wait":
		d, err := time.ParseDuration(f[1])
		s.Now = s.Now.Add(d)
		for i, samples := range s.Samples {
			// Samples are fresh unless they are set again.
			samples.At = s.Now
			s.Samples[i] = samples
		}
		return err
	case "config":
		return w.config(f[1:])
	case "hpa":
		for _, kv := range f[1:] {
			key, value, _ := strings.Cut(kv, "=")
			switch key {
			case "min":
				s.HPA.Min = int32(number(value))
			case "max":
				s.HPA.Max = int32(number(value))
			case "scaled-to-zero":
				s.HPA.Status.ScaledToZero = value == "true"
			}
		}
		s.HPA.Generation++
	case "mode":
		s.Mode = f[1]
	case "behavior":
		return setBehavior(s, f[1:])
	case "metric":
		return w.metric(f[1:])
	case "scale":
		return w.scale(f[1:])
	case "pods":
		return w.pods(f[1:])
	case "values", "each", "sample", "error":
		return w.samples(f)
	case "age":
		return w.age(f[1:])
	case "policy", "pause", "fallback", "window", "activation", "oscillation":
		return w.policy(f)
	case "rivals":
		s.Rivals = f[1:]
	case "writer":
		s.Writer = &Writer{Manager: f[1], At: s.Now}
	case "refuse":
		w.refuse = strings.Join(f[1:], " ")
	case "restart":
		w.state = State{}
	case "rollout", "setter", "sharers", "vertical", "strays":
		return w.around(f)
	default:
		return fmt.Errorf("unknown word")
	}
	return nil
}

func (w *world) config(fields []string) error {
	c := &w.snapshot.Config
	for _, kv := range fields {
		key, value, _ := strings.Cut(kv, "=")
		if key == "tolerance" {
			t, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return err
			}
			c.Tolerance = t
			continue
		}
		d, err := time.ParseDuration(value)
		if err != nil {
			return err
		}
		switch key {
		case "downscale-stabilization":
			c.DownscaleStabilization = d
		case "upscale-delay":
			c.UpscaleDelay = d
		case "downscale-delay":
			c.DownscaleDelay = d
		default:
			return fmt.Errorf("unknown field %q", key)
		}
	}
	return nil
}

// metric reads "external depth average=10", values in whole units.
func (w *world) metric(f []string) error {
	types := map[string]string{"resource": Resource, "container": ContainerResource, "pods": Pods, "object": Object, "external": External}
	m := Metric{Type: types[f[0]], Name: f[1]}
	if m.Type == Object {
		m.Object = &Target{APIVersion: "v1", Kind: "Service", Name: "web"}
	}
	if m.Type == ContainerResource {
		m.Container = "main"
	}
	key, value, _ := strings.Cut(f[2], "=")
	switch key {
	case "average":
		m.TargetType, m.AverageValue = TargetAverageValue, ptr(number(value)*1000)
	case "value":
		m.TargetType, m.Value = TargetValue, ptr(number(value)*1000)
	case "utilization":
		m.TargetType, m.AverageUtilization = "Utilization", ptr(int32(number(value)))
	}
	w.snapshot.HPA.Metrics = append(w.snapshot.HPA.Metrics, m)
	return nil
}

func (w *world) scale(fields []string) error {
	s := &w.snapshot.Scale
	for i, kv := range fields {
		key, value, _ := strings.Cut(kv, "=")
		switch key {
		case "spec":
			s.Spec, s.Status = int32(number(value)), int32(number(value))
		case "status":
			s.Status = int32(number(value))
		case "selector":
			s.Selector = value
		case "error":
			s.Error = strings.TrimSpace(value + " " + strings.Join(fields[i+1:], " "))
			return nil
		default:
			return fmt.Errorf("unknown field %q", key)
		}
	}
	return nil
}

// pods reads "follow", or "web-0,web-1 phase=Pending ready=False started=-10s since=-10s".
func (w *world) pods(f []string) error {
	if w.fixed = f[0] != "follow"; !w.fixed {
		return nil
	}
	now := w.snapshot.Now
	for _, name := range strings.Split(f[0], ",") {
		p := Pod{Started: now.Add(-time.Hour), Ready: "True", ReadySince: now.Add(-time.Hour), Requests: map[string]int64{CPU: 1000}}
		for _, kv := range f[1:] {
			key, value, _ := strings.Cut(kv, "=")
			d, _ := time.ParseDuration(value)
			switch key {
			case "phase":
				p.Phase = value
			case "ready":
				p.Ready = value
			case "started":
				p.Started = now.Add(d)
			case "since":
				p.ReadySince = now.Add(d)
			case "deleting":
				p.Deleting = true
			case "no-request":
				p.Requests, p.Unset = nil, map[string]string{CPU: "missing request for cpu in container main of Pod " + name}
			default:
				return fmt.Errorf("unknown field %q", key)
			}
		}
		w.snapshot.Pods[name] = p
	}
	return nil
}

// samples reads "values 0 120 30" (whole units), "each 0 400" and
// "sample 0 web-1 400" (thousandths), "error 0 text".
func (w *world) samples(f []string) error {
	s := &w.snapshot
	now := s.Now
	out := Samples{At: now}
	switch f[0] {
	case "error":
		out = Samples{Error: strings.Join(f[2:], " ")}
	case "values":
		for _, v := range f[2:] {
			out.Values = append(out.Values, number(v)*1000)
		}
	case "each":
		names := w.snapshot.Pods
		if !w.fixed {
			names = healthy(s.Scale.Status, now)
		}
		out = sampled(names, now, number(f[2]))
	case "sample":
		out = s.Samples[f[1]]
		if out.Pods == nil {
			out.Pods = map[string]PodSample{}
		}
		if f[3] == "none" {
			delete(out.Pods, f[2])
		} else {
			out.Pods[f[2]] = PodSample{Value: number(f[3]), At: now, Window: time.Minute}
		}
	}
	s.Samples[f[1]] = out
	return nil
}
