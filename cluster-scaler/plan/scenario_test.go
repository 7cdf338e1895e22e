package plan_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/plan"
	"github.com/quartet-autoscaling/quartet/test/golden"
)

// TestScenarios plays each file of testdata/scenarios. A file is a list of
// commands, each followed by "----", what it printed, and an empty line:
//
//	pool NAME nodes=1 min=1 max=4 cpu=2 [memory=8Gi] [mode=Auto] [zones=a,b]
//	node NAME cpu=4                     a node of no pool
//	pods NAME count=3 cpu=1 [desired=3] [zone=a] [owner=none] [priority=0] [self=away] [on=NODE]
//	run FOR [every=10s]                 prints each plan that differs from the last
//	show                                prints pools, waiting pods and nodes
//	rival for=1m | forget | break POOL | mode MODE
func TestScenarios(t *testing.T) { golden.Scenarios(t, "testdata/scenarios/*.txt", play) }

// play runs a file's commands and gives the file with what they print now.
func play(t testing.TB, text string) string {
	c := newCluster(t)
	var out strings.Builder
	printing := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "----":
			printing = true
		case line == "":
			out.WriteString("\n")
			printing = false
		case strings.HasPrefix(line, "#"):
			fmt.Fprintln(&out, line)
		case !printing:
			fmt.Fprintf(&out, "%s\n----\n%s\n", line, c.command(line))
		}
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}

// arguments are the key=value words of a command.
type arguments map[string]string

func (a arguments) number(key string, otherwise int) int {
	n, err := strconv.Atoi(a[key])
	if err != nil {
		return otherwise
	}
	return n
}

func (a arguments) or(key, otherwise string) string {
	if v, ok := a[key]; ok {
		return v
	}
	return otherwise
}

func (c *cluster) command(line string) string {
	c.t.Helper()
	words := strings.Fields(line)
	a := arguments{}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		a[key] = value
	}
	switch words[0] {
	case "pool":
		p := nodepool.Pool{
			Mode: a["mode"], Min: int32(a.number("min", 0)), Max: int32(a.number("max", 10)),
			Template: nodepool.Template{Capacity: capacity(a.or("cpu", "2"), a.or("memory", "8Gi"))},
		}
		if zones := a["zones"]; zones != "" {
			p.Template.Zones = strings.Split(zones, ",")
		}
		c.addPool(words[1], p, a.number("nodes", 0))
	case "node":
		c.s.Nodes[words[1]] = nodepool.Node{UID: words[1], Ready: true, Created: epoch, Allocatable: capacity(a.or("cpu", "2"), a.or("memory", "8Gi"))}
	case "pods":
		c.setWorkload(words[1], a.number("count", 1), a.number("desired", 0), classOf(words[1], a))
		if on := a["on"]; on != "" {
			c.own(words[1], c.owners[words[1]])
			for _, key := range c.podsOf(words[1]) {
				if p := c.s.Pods[key]; p.Node == "" {
					p.Node = on
					c.s.Pods[key] = p
				}
			}
		}
	case "run":
		return c.play(words[1], a.or("every", "10s"))
	case "show":
		return c.show()
	case "rival":
		length, err := time.ParseDuration(a["for"])
		if err != nil {
			c.t.Fatal(err)
		}
		c.s.Rival = &nodepool.Rival{Lease: "kube-system/cluster-autoscaler", Holder: "upstream", Until: c.s.Now.Add(length)}
	case "forget":
		c.die()
	case "break":
		c.broken[words[1]] = true
	case "mode":
		c.s.Mode = words[1]
	default:
		c.t.Fatalf("no command %q", words[0])
	}
	return "ok"
}

func classOf(name string, a arguments) nodepool.Class {
	class := nodepool.Class{
		Requests: corev1.ResourceList{"cpu": resource.MustParse(a.or("cpu", "1"))},
		Priority: int32(a.number("priority", 0)), Owner: strings.TrimPrefix(a["owner"], "none"),
	}
	if a["owner"] == "none" {
		class.SafeToEvict = "false"
	}
	if zone := a["zone"]; zone != "" {
		class.Selector = map[string]string{corev1.LabelTopologyZone: zone}
	}
	if a["self"] == "away" {
		class.Affinity = awayFrom(name)
	}
	return class
}

func (c *cluster) play(length, every string) string {
	whole, err := time.ParseDuration(length)
	if err != nil {
		c.t.Fatal(err)
	}
	step, err := time.ParseDuration(every)
	if err != nil {
		c.t.Fatal(err)
	}
	var out strings.Builder
	last := ""
	for end := c.s.Now.Add(whole); c.s.Now.Before(end); {
		d := c.step(step)
		text := fmt.Sprintf("%s: %s -> %s; %s\n", d.Reason, d.From, d.To, d.Message)
		for _, s := range d.Steps {
			text += fmt.Sprintf("    %s %s: %s\n", s.Rule, s.Reason, s.Message)
		}
		if text != last {
			fmt.Fprintf(&out, "%s %s", c.s.Now.Format("15:04:05"), text)
		}
		last = text
	}
	return strings.TrimRight(out.String(), "\n")
}

func (c *cluster) show() string {
	c.settle()
	d := plan.Decide(c.s, c.state)
	var out strings.Builder
	for _, name := range nodepool.Names(d.Pools) {
		r := d.Pools[name]
		fmt.Fprintf(&out, "pool %s: target %d nodes %d ready %d starting %d draining %d: %s\n",
			name, r.Target, r.Nodes, r.Ready, r.Starting, r.Draining, r.Message)
		for _, condition := range r.Conditions {
			fmt.Fprintf(&out, "    %s %s %s\n", condition.Type, condition.Status, condition.Reason)
		}
	}
	for _, name := range nodepool.Names(d.Nodes) {
		v := d.Nodes[name]
		fmt.Fprintf(&out, "node %s: %s %d%%: %s\n", name, v.Reason, v.UtilizationPercent, v.Message)
	}
	for _, key := range nodepool.Names(d.Pods) {
		fmt.Fprintf(&out, "pod %s: %s: %s\n", key, d.Pods[key].Reason, d.Pods[key].Message)
	}
	return strings.TrimRight(out.String(), "\n")
}
