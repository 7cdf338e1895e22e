package estimator

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// needs is what a kill asks for, in bytes: more than the container had, which is
// what it requested or was held to, or its peak where that was higher.
func (k Kill) needs(peak int64, l Learning) int64 {
	had := max(k.Request, k.Limit, peak)
	needed := max(had+amount(l.OOMBytes), scaled(had, l.OOMRatio))
	if k.Most > 0 {
		// What is measured is never taken back.
		needed = max(peak, min(needed, k.Most))
	}
	return needed
}

func learnKills(t *turn) {
	learning := t.learning()
	kills := map[string]map[string]Kill{}
	for _, name := range slices.Sorted(maps.Keys(t.s.Pods)) {
		pod := t.s.Pods[name]
		for _, container := range slices.Sorted(maps.Keys(pod.Containers)) {
			kill, fresh := t.kill(name, container, learning.of(container))
			if !fresh {
				continue
			}
			if kills[name] == nil {
				kills[name] = map[string]Kill{}
			}
			kills[name][container] = kill
		}
	}
	if len(kills) > 0 {
		t.learn(func(d *Delta) { d.Kills = kills })
	}
}

// kill gives the last kill of a container where it was not learned yet.
func (t *turn) kill(pod, container string, learning Learning) (Kill, bool) {
	c, w := t.s.Pods[pod].Containers[container], t.after.Windows[pod][container]
	kill := Kill{At: c.Killed, Request: c.Request}
	how := "was killed for memory"
	if e := c.Evicted; e != nil && e.At.After(c.Killed) {
		kill, how = *e, "was evicted for want of memory on its node"
	}
	// A kill from before the last interval is in the history already, where it
	// matters at all.
	if kill.At.IsZero() || !kill.At.After(w.Killed) || t.s.Now.Sub(kill.At) > learning.PeakInterval {
		return Kill{}, false
	}
	if t.s.Config.OOMCountLimit && kill.At.Equal(c.Killed) {
		kill.Limit = c.Limit
	}
	if most := t.most(Memory, container); t.s.Config.OOMStopAtMax && most.amount > 0 {
		kill.Most = most.amount
	}
	kill.Asked = kill.needs(w.Peak, learning)
	t.d.Steps = append(t.d.Steps, decision.Step{
		Rule: t.rule, In: amountText(Memory, max(kill.Request, kill.Limit, w.Peak)), Out: amountText(Memory, kill.Asked),
		Reason: "OOMKilled",
		Message: fmt.Sprintf("%s of pod %s %s at %s with %s: it is to have more",
			container, pod, how, clockTime(kill.At), kill.had()),
	})
	return kill, true
}

// had names what was in force at the kill.
func (k Kill) had() string {
	text := "a request of " + amountText(Memory, k.Request)
	if k.Limit > k.Request {
		text += " and a limit of " + amountText(Memory, k.Limit)
	}
	return text
}

// killed is what is remembered of a container's kills, over all its pods.
type killed struct {
	// at is the last one's time, and with what the container had then, in bytes.
	at   time.Time
	with int64
	// counts is what the kills ask for, in bytes, until the intervals end.
	counts int64
	until  time.Time
}

// remembered are the kills of the intervals that run, by container.
func (t *turn) remembered() map[string]killed {
	var out map[string]killed
	for _, windows := range t.after.Windows {
		for container, w := range windows {
			if w.Killed.IsZero() {
				continue
			}
			if out == nil {
				out = map[string]killed{}
			}
			k := out[container]
			if w.Killed.After(k.at) || w.Killed.Equal(k.at) && w.KilledWith > k.with {
				k.at, k.with = w.Killed, w.KilledWith
			}
			if t.s.Now.Before(w.End) && (w.OOMPeak > k.counts || w.OOMPeak == k.counts && w.End.After(k.until)) {
				k.counts, k.until = w.OOMPeak, w.End
			}
			out[container] = k
		}
	}
	return out
}

// explainKills says what the kills of a container do to its memory target, and
// whether it was killed with all that it may have.
func (e *estimation) explainKills(capped int64) {
	k, any := e.t.kills[e.container]
	if !any {
		return
	}
	if k.counts > 0 {
		e.step(Memory, k.counts, decision.Step{Rule: "history/kills", In: amountText(Memory, k.with), Reason: "OOMCounts",
			Message: "its kill for memory at " + clockTime(k.at) + " counts as a peak until " + k.until.UTC().Format(time.RFC3339)})
	}
	most := e.t.most(Memory, e.container)
	recent := e.t.s.Now.Sub(k.at) <= e.t.learning().of(e.container).PeakInterval
	if !recent || most.amount <= 0 || capped < most.amount || k.with < most.amount {
		return
	}
	text := fmt.Sprintf("%s was killed for memory at %s with a request of %s, and more than %s is not allowed by %s",
		e.container, clockTime(k.at), amountText(Memory, k.with), amountText(Memory, most.amount), most.by)
	e.step(Memory, capped, decision.Step{Rule: "kills/at-maximum", In: amountText(Memory, k.with), Reason: reasonAtMaximum,
		Message: "was killed with the most that is allowed: raise it, or the container's own use has to fall"})
	e.t.atMaximum = append(e.t.atMaximum, text)
}

const reasonAtMaximum = "OOMAtMaximum"

// maximum says which containers were killed for memory with all that they may
// have. The message changes only with another kill.
func (t *turn) maximum() {
	if len(t.atMaximum) > 0 {
		t.condition(OOMAtMaximum, decision.True, reasonAtMaximum, strings.Join(t.atMaximum, "; "))
	}
}
