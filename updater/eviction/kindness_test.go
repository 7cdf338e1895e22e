package eviction_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
	"github.com/quartet-autoscaling/quartet/test/golden"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
	"github.com/quartet-autoscaling/quartet/updater/fit"
)

// TestKindness plays the files of testdata/kindness. Besides the words of
// TestScenarios there are:
//
//	policy fit | policy max-unavailable 1 | policy min-interval 1h | policy window 22:00 6h
//	policy surge Always | policy breaker FAILURES READY-WITHIN RESET-AFTER
//	flag fit | flag owners | flag per-minute 3 | flag per-hour 3 | flag window 22:00 6h | flag fleet 3
//	flag breaker FAILURES READY-WITHIN RESET-AFTER
//	node NAME cpu=1 memory=1Gi pods=9 | pool NAME NODES MAX cpu=1 memory=1Gi pods=9 | quota NAME requests.cpu=USED/HARD
//	unread TEXT | evicted 5m 3m | failed shop/other 5m
//	deployment replicas=1 surge=1 paused underway restarted=5m | target KIND/NAME
//	daemon-set KIND/NAME 10% | is POD ready unready created=1h patched qos=Burstable node=a waits tied=TEXT
func TestKindness(t *testing.T) { golden.Scenarios(t, "testdata/kindness/*.txt", playKindness) }

func playKindness(t testing.TB, text string) string {
	w := newWorld()
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		words, _, turns := strings.Cut(block, "----")
		words = strings.TrimRight(words, "\n")
		if i > 0 {
			out.WriteString("\n")
		}
		out.WriteString(words + "\n")
		for line := range strings.SplitSeq(words, "\n") {
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			f := strings.Fields(line)
			known, err := w.kindWord(f)
			if !known {
				err = w.word(f)
			}
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
		if turns {
			d := w.turn(t)
			out.WriteString("----\n" + tell(d) + tellKindness(d))
		}
	}
	return out.String()
}

func tellKindness(d eviction.Decision) string {
	var b strings.Builder
	for _, p := range d.Blocked {
		fmt.Fprintf(&b, "  blocked %s by %s %s", p.Pod, p.Rule, p.Reason)
		if p.Object != "" {
			fmt.Fprintf(&b, " (%s)", p.Object)
		}
		if !p.Next.IsZero() {
			fmt.Fprintf(&b, " until %s", p.Next.Format("Jan 2 15:04:05"))
		}
		b.WriteString("\n")
	}
	if d.Rollout != nil {
		fmt.Fprintf(&b, "  rollout of %s\n", d.Rollout.Deployment)
	}
	if d.Allowance > 0 {
		fmt.Fprintf(&b, "  at most %d evictions\n", d.Allowance)
	}
	return b.String()
}

// kindWord is a word of a scenario about kindness; known is false for another.
func (w *world) kindWord(f []string) (known bool, err error) {
	switch f[0] {
	case "policy":
		if w.s.Policy == nil {
			w.s.Policy = &verticalpolicy.Updater{Attached: verticalpolicy.Attached{Name: "calm"}}
		}
		return true, w.policyWord(f[1:])
	case "flag":
		return true, w.flagWord(f[1:])
	case "node", "pool", "quota", "unread":
		if w.s.Room == nil {
			w.s.Room = &fit.Cluster{}
		}
		return true, w.roomWord(f)
	case "evicted":
		w.s.Fleet.Evictions = nil
		for _, ago := range f[1:] {
			d, err := time.ParseDuration(ago)
			if err != nil {
				return true, err
			}
			w.s.Fleet.Evictions = append(w.s.Fleet.Evictions, w.s.Now.Add(-d))
		}
	case "failed":
		d, err := time.ParseDuration(f[2])
		w.s.Fleet.Failures = append(w.s.Fleet.Failures, eviction.Failure{Object: f[1], At: w.s.Now.Add(-d)})
		return true, err
	case "target":
		w.s.VPA.Target = f[1]
	case "deployment":
		return true, w.deploymentWord(f[1:])
	case "daemon-set":
		n := intstr.Parse(f[2])
		g := w.s.Groups[f[1]]
		g.MaxUnavailable = &n
		w.s.Groups[f[1]] = g
	case "is":
		return true, w.isWord(f[1], f[2:])
	default:
		return false, nil
	}
	return true, nil
}

func breakerWord(f []string) (*verticalpolicy.Breaker, error) {
	n, err := strconv.ParseInt(f[0], 10, 32)
	if err != nil {
		return nil, err
	}
	b := &verticalpolicy.Breaker{Failures: int32(n)}
	if b.ReadyWithin, err = time.ParseDuration(f[1]); err == nil {
		b.ResetAfter, err = time.ParseDuration(f[2])
	}
	return b, err
}

// windowWord opens at a time of the scenario's day.
func (w *world) windowWord(f []string) (out verticalpolicy.Window, err error) {
	opens, err := time.Parse("2006-01-02 15:04", w.s.Now.Format("2006-01-02 ")+f[0])
	if err != nil {
		return out, err
	}
	d, err := time.ParseDuration(f[1])
	return verticalpolicy.Window{Opens: opens, Closes: opens.Add(d)}, err
}

func (w *world) policyWord(f []string) (err error) {
	p := w.s.Policy
	switch f[0] {
	case "fit":
		p.RequireFit = true
	case "max-unavailable":
		n := intstr.Parse(f[1])
		p.Disruption.MaxUnavailable = &n
	case "min-interval":
		p.Disruption.MinInterval, err = time.ParseDuration(f[1])
	case "window":
		var window verticalpolicy.Window
		window, err = w.windowWord(f[1:])
		p.Disruption.Windowed, p.Disruption.Windows = true, append(p.Disruption.Windows, window)
	case "surge":
		p.Disruption.Surge = f[1]
	case "breaker":
		p.Breaker, err = breakerWord(f[1:])
	default:
		err = fmt.Errorf("no word %q of a policy", f[0])
	}
	return err
}

func (w *world) flagWord(f []string) (err error) {
	k := &w.s.Config.Kindness
	switch f[0] {
	case "fit":
		k.RequireFit = true
	case "owners":
		k.RespectOwners = true
	case "per-minute":
		k.PerMinute, err = strconv.Atoi(f[1])
	case "per-hour":
		k.PerHour, err = strconv.Atoi(f[1])
	case "fleet":
		k.Fleet, err = strconv.Atoi(f[1])
	case "window":
		var window verticalpolicy.Window
		window, err = w.windowWord(f[1:])
		w.s.Fleet.Windowed, w.s.Fleet.Windows = true, append(w.s.Fleet.Windows, window)
	case "breaker":
		k.Breaker, err = breakerWord(f[1:])
	default:
		err = fmt.Errorf("no flag %q", f[0])
	}
	return err
}

func readAmounts(f []string) (fit.Amounts, error) {
	list := corev1.ResourceList{}
	for _, v := range f {
		name, text, _ := strings.Cut(v, "=")
		q, err := resource.ParseQuantity(text)
		if err != nil {
			return nil, err
		}
		list[corev1.ResourceName(name)] = q
	}
	return fit.AmountsOf(list), nil
}

func (w *world) roomWord(f []string) error {
	r := w.s.Room
	switch f[0] {
	case "unread":
		r.Unknown = strings.Join(f[1:], " ")
	case "node":
		free, err := readAmounts(f[2:])
		for i := range r.Nodes {
			if r.Nodes[i].Name == f[1] {
				r.Nodes[i].Free = free
				return err
			}
		}
		r.Nodes = append(r.Nodes, fit.Node{Name: f[1], Free: free})
		return err
	case "pool":
		free, err := readAmounts(f[4:])
		if err != nil {
			return err
		}
		var pool fit.Pool
		_, err = fmt.Sscan(f[2]+" "+f[3], &pool.Nodes, &pool.Max)
		pool.Name, pool.Free = f[1], free
		r.Pools = append(r.Pools, pool)
		return err
	case "quota":
		name, both, _ := strings.Cut(f[2], "=")
		used, hard, _ := strings.Cut(both, "/")
		u, err := readAmounts([]string{name + "=" + used})
		if err != nil {
			return err
		}
		h, err := readAmounts([]string{name + "=" + hard})
		r.Quotas = []fit.Quota{{Name: f[1], Used: u, Hard: h}}
		return err
	}
	return nil
}

func (w *world) deploymentWord(f []string) error {
	d := &eviction.Deployment{}
	for _, v := range f {
		word, text, _ := strings.Cut(v, "=")
		var err error
		switch word {
		case "replicas":
			_, err = fmt.Sscan(text, &d.Replicas)
		case "surge":
			_, err = fmt.Sscan(text, &d.Surge)
		case "paused":
			d.Paused = true
		case "underway":
			d.UnderWay = true
		case "restarted":
			var ago time.Duration
			ago, err = time.ParseDuration(text)
			d.Restarted = w.s.Now.Add(-ago)
		default:
			err = fmt.Errorf("no word %q of a Deployment", word)
		}
		if err != nil {
			return err
		}
	}
	w.s.Deployment = d
	return nil
}

// isWord changes a pod; what it requests is what its containers do.
func (w *world) isWord(name string, f []string) error {
	p, there := w.s.Pods[name]
	if !there {
		return fmt.Errorf("no pod %q", name)
	}
	place := func() *fit.Pod {
		if p.Place == nil {
			p.Place = &fit.Pod{Requests: fit.AmountsOf(p.Containers[0].Requests)}
		}
		return p.Place
	}
	for _, v := range f {
		word, text, _ := strings.Cut(v, "=")
		switch word {
		case "ready", "unready":
			p.Ready = word == "ready"
		case "patched":
			p.Patched = true
		case "qos":
			p.QOS = corev1.PodQOSClass(text)
		case "node":
			place().Node = text
		case "waits":
			place().Node = ""
		case "tied":
			place().Tied = strings.ReplaceAll(text, "_", " ")
		case "created":
			d, err := time.ParseDuration(text)
			if err != nil {
				return err
			}
			p.Created = w.s.Now.Add(-d)
		default:
			return fmt.Errorf("no word %q of a pod", word)
		}
	}
	w.s.Pods[name] = p
	return nil
}
