package estimator

import (
	"fmt"
	"maps"
	"slices"
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
	case "hpa":
		return s.hpa(words[1], words[2:])
	case "passive":
		s.snapshot.VPA.Passive = words[1] == "yes"
		return nil
	case "request":
		return s.request(words[1], words[2], words[3:])
	case "image":
		for _, pod := range s.snapshot.Pods {
			c := pod.Containers[words[1]]
			c.Image = words[2]
			pod.Containers[words[1]] = c
		}
		return nil
	case "gone":
		for _, pod := range s.snapshot.Pods {
			delete(pod.Containers, words[1])
		}
		return nil
	case "elsewhere":
		return s.elsewhere(words[1], words[2], words[3:])
	case "shown":
		s.snapshot.VPA.Recommended = nil
		return nil
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
				Attached:  verticalpolicy.Attached{Name: "web", Mode: []string{"", ModeAuto, ModeRecommend, verticalpolicy.ModeOff}[r.IntN(4)]},
				CPU:       verticalpolicy.Estimation{Target: float64(r.IntN(101)) / 100, Margin: &margin, HalfLife: time.Duration(r.IntN(48)) * time.Hour},
				Memory:    verticalpolicy.Estimation{Lower: float64(r.IntN(101)) / 100, HalfLife: time.Duration(r.IntN(48)) * time.Hour},
				ColdStart: [][]string{nil, {verticalpolicy.StartImage}, {verticalpolicy.StartWorkload, verticalpolicy.StartFloor}}[r.IntN(3)],
				Bound:     r.IntN(2) == 0, MemoryWindow: time.Duration(r.IntN(48)) * time.Hour, MemoryWindows: int64(r.IntN(10)),
			}
		}
	}
	s.Policy = o.policy
	if r.IntN(3) == 0 {
		s.Horizontals = []Horizontal{{Kind: "HorizontalPodAutoscaler", Name: "web", Follows: []Followed{{Resource: resources[r.IntN(2)]}}}}
	}
	for _, pod := range slices.Sorted(maps.Keys(s.Pods)) {
		for _, name := range slices.Sorted(maps.Keys(s.Pods[pod].Containers)) {
			c := s.Pods[pod].Containers[name]
			c.Requests.CPU, c.Image = ptr(int64(r.IntN(3))*100), []string{"", "a", "b"}[r.IntN(3)]
			s.Pods[pod].Containers[name] = c
			if r.IntN(60) == 0 {
				_, elsewhere := days(1, Amounts{CPU: ptr(int64(r.IntN(1000))), Memory: ptr(int64(r.IntN(1 << 30)))}, nil)
				s.Histories = append(s.Histories, History{Container: name, Source: verticalpolicy.StartImage, Of: "another", Learned: elsewhere.Learned["app"]})
			}
		}
	}
}

// hpa reads "web cpu memory/app", and "none".
func (s *scene) hpa(name string, follows []string) error {
	if name == "none" {
		s.snapshot.Horizontals = nil
		return nil
	}
	h := Horizontal{Kind: "HorizontalPodAutoscaler", Name: name}
	for _, word := range follows {
		resource, container, _ := strings.Cut(word, "/")
		h.Follows = append(h.Follows, Followed{Resource: resource, Container: container})
	}
	s.snapshot.Horizontals = append(s.snapshot.Horizontals, h)
	return nil
}

// request has a container of one pod, or of all under *, request amounts.
func (s *scene) request(pod, container string, words []string) error {
	a, err := parseAmounts(words)
	if err != nil {
		return err
	}
	for name, p := range s.snapshot.Pods {
		if pod != "*" && pod != name {
			continue
		}
		c := p.Containers[container]
		c.Requests, c.Request = a, 0
		if a.Memory != nil {
			c.Request = *a.Memory
		}
		p.Containers[container] = c
	}
	return nil
}

// elsewhere has another object know ten days of a steady usage.
func (s *scene) elsewhere(container, source string, words []string) error {
	a, err := parseAmounts(words)
	if err != nil {
		return err
	}
	learned := Learned{First: s.snapshot.Now.Add(-240 * time.Hour), Last: s.snapshot.Now, Samples: 14400}
	for at := learned.First; at.Before(learned.Last); at = at.Add(time.Minute) {
		CPUScheme(s.snapshot.Config.CPU.HalfLife).Add(&learned.CPU, float64(*a.CPU)/1000, cpuWeight, at)
	}
	for at := learned.First; at.Before(learned.Last); at = at.Add(24 * time.Hour) {
		MemoryScheme(s.snapshot.Config.Memory.HalfLife).Add(&learned.Memory, float64(*a.Memory), peakWeight, at)
	}
	s.snapshot.Histories = append(s.snapshot.Histories, History{
		Container: container, Source: source, Of: "container app of VerticalPodAutoscaler elsewhere", Learned: learned,
	})
	return nil
}
