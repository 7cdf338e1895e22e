package replicas

import (
	"fmt"
	"strings"
	"time"
)

// around reads what is around a target: "rollout surge=2 ended=-10s", "setter flux
// Apply -1m", "sharers HorizontalPodAutoscaler api", "vertical web-vpa main=cpu,memory", "strays 7 web-x,web-y Deployment-api,Job-load"; each with "none".
func (w *world) around(f []string) error {
	s := &w.snapshot
	none := f[1] == "none"
	switch f[0] {
	case "rollout":
		if s.Rollout = nil; none {
			return nil
		}
		s.Rollout = &Rollout{}
		return pairs(f[1:], func(key, value string, d time.Duration) error {
			switch key {
			case "surge":
				s.Rollout.Surge = int32(number(value))
			case "ended":
				s.Rollout.Ended = s.Now.Add(d)
			}
			return nil
		})
	case "setter":
		if s.Setter = nil; none {
			return nil
		}
		s.Setter = &Setter{Manager: f[1], Operation: f[2]}
		if len(f) < 4 {
			return nil
		}
		ago, err := time.ParseDuration(f[3])
		s.Setter.At = s.Now.Add(ago)
		return err
	case "sharers":
		if s.Sharers = nil; !none {
			s.Sharers = []string{strings.Join(f[1:], " ")}
		}
	case "vertical":
		if s.Verticals = nil; none {
			return nil
		}
		v := Vertical{Name: f[1], Controls: map[string][]string{}}
		for _, kv := range f[2:] {
			container, resources, _ := strings.Cut(kv, "=")
			v.Controls[container] = strings.Split(resources, ",")
		}
		s.Verticals = []Vertical{v}
	case "strays":
		if s.Strays = nil; none {
			return nil
		}
		s.Strays = &Strays{
			Count: int(number(f[1])), Pods: strings.Split(f[2], ","),
			Owners: strings.Split(strings.ReplaceAll(f[3], "-", " "), ","),
		}
	default:
		return fmt.Errorf("unknown word")
	}
	return nil
}
