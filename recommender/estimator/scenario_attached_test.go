package estimator

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
)

// attachedWord knows the words of what is attached to the object.
func (s *scene) attachedWord(words []string) error {
	switch words[0] {
	case "attach":
		return s.attach(words[1], words[2:])
	case "detach":
		s.snapshot.Policy = nil
		return nil
	}
	return fmt.Errorf("unknown word %q", words[0])
}

// attach reads "web cpu-target=95 memory-half-life=12h mode=Off".
func (s *scene) attach(name string, words []string) error {
	p := &verticalpolicy.Recommender{Attached: verticalpolicy.Attached{Name: name}}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch key {
		case "mode":
			p.Mode = value
		case "bound":
			p.Bound = true
		case "start":
			p.ColdStart = strings.Split(value, ",")
		case "window":
			p.MemoryWindow, err = time.ParseDuration(value)
		case "windows":
			p.MemoryWindows, err = strconv.ParseInt(value, 10, 64)
		default:
			err = estimates(p, key, value)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", word, err)
		}
	}
	s.snapshot.Policy = p
	return nil
}

func estimates(p *verticalpolicy.Recommender, key, value string) error {
	resource, field, _ := strings.Cut(key, "-")
	e := map[string]*verticalpolicy.Estimation{CPU: &p.CPU, Memory: &p.Memory}[resource]
	if e == nil {
		return fmt.Errorf("unknown part %q", key)
	}
	if field == "half-life" {
		life, err := time.ParseDuration(value)
		e.HalfLife = life
		return err
	}
	n, err := strconv.Atoi(value)
	part := float64(n) / 100
	switch field {
	case "target":
		e.Target = part
	case "lower":
		e.Lower = part
	case "upper":
		e.Upper = part
	case "margin":
		e.Margin = &part
	default:
		return fmt.Errorf("unknown part %q", key)
	}
	return err
}

// attached gives now and then another policy, of all that one can say.
func (o *observed) attached(s *Snapshot) {
	r := o.world.random
	if r.IntN(10) == 0 {
		o.policy = nil
		if r.IntN(3) > 0 {
			margin := float64(r.IntN(50)) / 100
			o.policy = &verticalpolicy.Recommender{
				Attached: verticalpolicy.Attached{Name: "web", Mode: []string{"", ModeAuto, ModeRecommend, verticalpolicy.ModeOff}[r.IntN(4)]},
				CPU:      verticalpolicy.Estimation{Target: float64(r.IntN(101)) / 100, Margin: &margin, HalfLife: time.Duration(r.IntN(48)) * time.Hour},
				Memory:   verticalpolicy.Estimation{Lower: float64(r.IntN(101)) / 100, HalfLife: time.Duration(r.IntN(48)) * time.Hour},
				Bound:    r.IntN(2) == 0, MemoryWindow: time.Duration(r.IntN(48)) * time.Hour, MemoryWindows: int64(r.IntN(10)),
			}
		}
	}
	s.Policy = o.policy
}
