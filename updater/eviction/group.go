package eviction

import "fmt"

// group is a controller of pods and how many of them may be updated at once.
type group struct {
	live, running, wanted int
	err                   string
	// budget is how many running pods may be resized or evicted, taken how many
	// are.
	budget, taken int
}

// groupsOf counts the pods of each controller.
func groupsOf(s *Snapshot) map[string]*group {
	groups := make(map[string]*group, len(s.Groups))
	for _, pod := range s.Pods {
		g, known := groups[pod.Group]
		if !known {
			g = &group{err: s.Groups[pod.Group].Error}
			groups[pod.Group] = g
		}
		g.live++
		if !pod.Pending {
			g.running++
		}
	}
	for key, g := range groups {
		g.wanted = g.live
		if declared := s.Groups[key]; declared.Counted {
			g.wanted = int(declared.Replicas)
		}
		g.budget = budget(g.running, g.wanted, s.Config.Tolerance)
	}
	return groups
}

// budget is how many of the running pods may be away: what exceeds the wanted
// less the tolerated, or one of a whole group where the tolerance is below one.
func budget(running, wanted int, tolerance float64) int {
	tolerated := int(float64(wanted) * tolerance)
	if spare := running - (wanted - tolerated); spare > 0 {
		return spare
	}
	if tolerated == 0 && running == wanted && running > 0 {
		return 1
	}
	return 0
}

// describe tells what the budget comes from.
func (g *group) describe(tolerance float64) string {
	return fmt.Sprintf("%d of %d pods run, and %d may be evicted at tolerance %g", g.running, g.wanted, g.budget, tolerance)
}
