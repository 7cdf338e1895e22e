package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/health"
)

// namedInDetail is how many unreachable sources readiness names.
const namedInDetail = 5

// ReadyCheck is ready once every object of the start was decided on and its
// source polled or found to be out of reach, and stays so: a dead source harms
// its own metrics only. Its detail names sources that are not reached.
func (c *Controller) ReadyCheck() health.Check {
	return health.Check{Name: "metric-sources", Func: func(context.Context) (string, error) {
		if err := c.checkWarm(); err != nil {
			return "", err
		}
		return c.describe(), nil
	}}
}

func (c *Controller) checkWarm() error {
	if c.warm.Load() {
		return nil
	}
	c.mu.Lock()
	started, undecided := c.starting != nil, len(c.starting)
	c.mu.Unlock()
	switch {
	case !started:
		return fmt.Errorf("the objects have not been read yet")
	case undecided > 0:
		return fmt.Errorf("%d sources wait for their first decision", undecided)
	}
	if waiting, warm := c.collector.Warm(); !warm {
		return fmt.Errorf("%d queries wait for their first poll", waiting)
	}
	c.warm.Store(true)
	return nil
}

// Summary counts the objects by the status of their Ready condition.
func (c *Controller) Summary() map[decision.Status]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[decision.Status]int{decision.True: 0, decision.False: 0, decision.Unknown: 0}
	for _, d := range c.last {
		if ready, ok := d.Find(query.ConditionReady); ok {
			out[ready.Status]++
		}
	}
	return out
}

// Queries is the number of distinct queries being polled.
func (c *Controller) Queries() int {
	queries, _ := c.collector.Size()
	return queries
}

// Away counts, by kind of source, the servers that do not answer.
func (c *Controller) Away() map[string]int { return c.collector.Away() }

// describe is the readiness detail.
func (c *Controller) describe() string {
	c.mu.Lock()
	total := len(c.last)
	var away []string
	for key, d := range c.last {
		if reachable, ok := d.Find(query.ConditionSourceReachable); ok && reachable.Status == decision.False {
			away = append(away, fmt.Sprintf("%s (%s)", nameOf(key), reachable.Reason))
		}
	}
	c.mu.Unlock()
	if len(away) == 0 {
		return fmt.Sprintf("%d sources, all reached", total)
	}
	slices.SortFunc(away, cmp.Compare[string])
	named := away
	if len(named) > namedInDetail {
		named = append(slices.Clone(named[:namedInDetail]), "and more")
	}
	return fmt.Sprintf("%d sources, %d not reached: %s", total, len(away), strings.Join(named, ", "))
}
