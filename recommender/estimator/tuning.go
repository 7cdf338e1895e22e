package estimator

import "time"

// Tuning is what a container's policy says in place of the flags. Unset fields
// leave what the flags say, so that taking one out of the policy restores it.
type Tuning struct {
	OOMRatio *float64 `json:"oomRatio,omitempty"`
	OOMBytes *float64 `json:"oomBytes,omitempty"`
	// PeakInterval and PeakIntervals are those of Config; 0 is unset.
	PeakInterval  time.Duration `json:"peakInterval,omitempty"`
	PeakIntervals int64         `json:"peakIntervals,omitempty"`
}

func (t Tuning) set() bool { return t != Tuning{} }

// over gives the rules of learning with the tuning laid over them.
func (t Tuning) over(l Learning) Learning {
	if t.OOMRatio != nil {
		l.OOMRatio = *t.OOMRatio
	}
	if t.OOMBytes != nil {
		l.OOMBytes = *t.OOMBytes
	}
	if t.PeakInterval > 0 {
		l.PeakInterval = t.PeakInterval
	}
	return l
}

// Learning is the part of the configuration that folding depends on, with what
// policies say of their containers.
func (c Config) Learning(policies []Policy) Learning {
	l := Learning{
		CPUHalfLife: c.CPU.HalfLife, MemoryHalfLife: c.Memory.HalfLife,
		PeakInterval: c.PeakInterval, OOMRatio: c.OOMRatio, OOMBytes: c.OOMBytes,
	}
	if !c.PerVPAConfig {
		return l
	}
	for _, p := range policies {
		if !p.Tuning.set() {
			continue
		}
		if l.Own == nil {
			l.Own = map[string]Tuning{}
		}
		l.Own[p.Container] = p.Tuning
	}
	if _, all := l.Own["*"]; !all {
		return l
	}
	// A container with a policy of its own has nothing of the one for all others.
	for _, p := range policies {
		if _, own := l.Own[p.Container]; !own {
			l.Own[p.Container] = Tuning{}
		}
	}
	return l
}

func (t *turn) learning() Learning {
	l := t.s.Config.Learning(t.s.VPA.Policies)
	l.Decay = t.decay()
	return l
}

// of gives the rules of learning for one container.
func (l Learning) of(container string) Learning {
	if len(l.Own) == 0 {
		return l
	}
	own, named := l.Own[container]
	if !named {
		own = l.Own["*"]
	}
	return own.over(l)
}

// kept is how long a container's history is kept without samples.
func (t *turn) kept(container string) time.Duration {
	c := t.s.Config
	interval, count := c.PeakInterval, c.PeakIntervals
	if !c.PerVPAConfig {
		return interval * time.Duration(count)
	}
	own := t.policy(container).Tuning
	if own.PeakInterval > 0 {
		interval = own.PeakInterval
	}
	if own.PeakIntervals > 0 {
		count = own.PeakIntervals
	}
	return interval * time.Duration(count)
}
