package eviction

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/quartet-autoscaling/quartet/updater/resize"
)

// Usage is what the containers of a pod use, as the metrics API has it.
type Usage struct {
	// Memory is by container; one that is missing is not known.
	Memory map[string]resource.Quantity `json:"memory,omitempty"`
	// Error is why nothing is known.
	Error string `json:"error,omitempty"`
}

// keepMemory takes out of a resize what would lower a container's memory limit to
// or below what it uses, or where that is not known. Its request stays as well, so
// that both keep their proportion.
func (t *turn) keepMemory(p *judged, changes []resize.Change) []resize.Change {
	if !t.s.Config.MemoryByUsage {
		return changes
	}
	var out []resize.Change
	var kept []string
	for _, c := range changes {
		if why := inUse(p.pod, c); why != "" {
			kept = append(kept, why)
			delete(c.Requests, corev1.ResourceMemory)
			delete(c.Limits, corev1.ResourceMemory)
		}
		if len(c.Requests)+len(c.Limits) > 0 {
			out = append(out, c)
		}
	}
	p.kept = strings.Join(kept, "; ")
	return out
}

// inUse tells why the memory of a container cannot become less, or "".
func inUse(pod Pod, c resize.Change) string {
	to, changes := c.Limits[corev1.ResourceMemory]
	if !changes {
		return ""
	}
	for _, has := range pod.Containers {
		limit, limited := has.Limits[corev1.ResourceMemory]
		if has.Name != c.Container || !limited || to.Cmp(limit) >= 0 {
			continue
		}
		switch used, known := pod.Usage.memory(c.Container); {
		case !known:
			return fmt.Sprintf("memory of %s stays: what it uses is not known", c.Container)
		case used.Cmp(to) >= 0:
			return fmt.Sprintf("memory of %s stays: it uses %s, and its limit would be %s", c.Container, used.String(), to.String())
		}
	}
	return ""
}

func (u *Usage) memory(container string) (resource.Quantity, bool) {
	if u == nil {
		return resource.Quantity{}, false
	}
	q, ok := u.Memory[container]
	return q, ok
}

// nothingLeft notes that a resize changes nothing: its memory is in use, or the
// pod's spec asks for what is wanted already.
func (t *turn) nothingLeft(p *judged) {
	if p.kept == "" {
		t.asked(p)
		return
	}
	if u := p.pod.Usage; u != nil && u.Error != "" {
		t.fault("usage of pods", "UsageUnread", u.Error)
	}
	t.step(0, "MemoryInUse", fmt.Sprintf("%s: %s; %s", p.name, p.why, p.kept))
}
