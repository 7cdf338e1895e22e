package replicas

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// policy reads "policy night mode=Recommend", "policy none", and the parts of a
// policy: see testdata/README.
func (w *world) policy(f []string) error {
	s := &w.snapshot
	if f[0] == "policy" {
		s.Policy = nil
		if f[1] == "none" {
			return nil
		}
		s.Policy = &Policy{Source: "HorizontalScalingPolicy " + f[1]}
		return s.Policy.set(f[2:])
	}
	// What was decided on before stays as it was.
	p := *s.Policy
	s.Policy = &p
	switch f[0] {
	case "pause":
		return p.setPause(f[1:], s.Now)
	case "fallback":
		return p.setFallback(f[1:])
	case "window":
		return p.addWindow(f[1:], s.Now)
	case "activation":
		_, value, _ := strings.Cut(f[2], "=")
		p.Activation = map[string]int64{f[1]: number(value) * 1000}
	case "oscillation":
		return p.setOscillation(f[1:])
	}
	return nil
}

// pairs hands each key=value to set, with the value as a duration where it is one.
func pairs(fields []string, set func(key, value string, d time.Duration) error) error {
	for _, kv := range fields {
		key, value, _ := strings.Cut(kv, "=")
		d, _ := time.ParseDuration(value)
		if err := set(key, value, d); err != nil {
			return err
		}
	}
	return nil
}

func (p *Policy) set(fields []string) error {
	return pairs(fields, func(key, value string, d time.Duration) error {
		switch key {
		case "mode":
			p.Mode = value
		case "upscale-delay":
			p.UpscaleDelay = &d
		case "downscale-delay":
			p.DownscaleDelay = &d
		case "max-sample-age":
			p.MaxSampleAge = d
		default:
			return fmt.Errorf("unknown field %q of a policy", key)
		}
		return nil
	})
}

func (p *Policy) setPause(fields []string, now time.Time) error {
	p.Pause = nil
	if fields[0] == "none" {
		return nil
	}
	p.Pause = &Pause{Direction: fields[0]}
	return pairs(fields[1:], func(_, _ string, d time.Duration) error {
		p.Pause.Until = now.Add(d)
		return nil
	})
}

func (p *Policy) setFallback(fields []string) error {
	p.Fallback = &Fallback{Policy: fields[0]}
	return pairs(fields[1:], func(key, value string, d time.Duration) error {
		if key == "after" {
			p.Fallback.After = d
			return nil
		}
		p.Fallback.Replicas = int32(number(value))
		return nil
	})
}

func (p *Policy) addWindow(fields []string, now time.Time) error {
	if fields[0] == "none" {
		p.Windows = nil
		return nil
	}
	win := Window{Name: fields[0]}
	err := pairs(fields[1:], func(key, value string, d time.Duration) error {
		switch key {
		case "opens":
			win.Opens = now.Add(d)
		case "closes":
			win.Closes = now.Add(d)
		case "min":
			win.Min = ptr(int32(number(value)))
		case "max":
			win.Max = ptr(int32(number(value)))
		case "ramp-up":
			win.RampUp = d
		case "ramp-down":
			win.RampDown = d
		default:
			return fmt.Errorf("unknown field %q of a window", key)
		}
		return nil
	})
	p.Windows = append(p.Windows[:len(p.Windows):len(p.Windows)], win)
	return err
}

func (p *Policy) setOscillation(fields []string) error {
	p.Oscillation = &Oscillation{}
	return pairs(fields, func(key, value string, d time.Duration) error {
		switch key {
		case "window":
			p.Oscillation.Window = d
		case "changes":
			p.Oscillation.Changes = int32(number(value))
		case "tolerance":
			f, err := strconv.ParseFloat(value, 64)
			p.Oscillation.Tolerance = f
			return err
		}
		return nil
	})
}

// age reads "0 3m", "0 none", "0 oldest=3m" and "0 web-1=3m": how old the
// samples of a metric are.
func (w *world) age(f []string) error {
	s := &w.snapshot
	out := s.Samples[f[0]]
	key, value, one := strings.Cut(f[1], "=")
	if !one {
		value = key
	}
	at := time.Time{}
	if value != "none" {
		d, err := time.ParseDuration(value)
		if err != nil {
			return err
		}
		at = s.Now.Add(-d)
	}
	switch {
	case key == "oldest":
		out.Oldest = at
	case one:
		p := out.Pods[key]
		p.At = at
		out.Pods[key] = p
	default:
		out.At = at
		for name, p := range out.Pods {
			p.At = at
			out.Pods[name] = p
		}
	}
	s.Samples[f[0]] = out
	return nil
}
