package patch

import (
	corev1 "k8s.io/api/core/v1"
)

// patchRuntimes keeps memory settings of runtimes at their share of the memory
// limit. Settings are there only where the object's policy wants it.
func patchRuntimes(t *turn) bool {
	for i := range t.parts {
		p := &t.parts[i]
		from, had := p.Limits[corev1.ResourceMemory]
		to, has := p.limits[corev1.ResourceMemory]
		if !had || !has {
			continue
		}
		for _, s := range p.Settings {
			text, ok := s.Scale(from.Value(), to.Value())
			if !ok {
				continue
			}
			t.d.Edits = append(t.d.Edits, Edit{Path: p.path + "/" + s.At, Offset: s.Offset, From: s.Text, To: text})
			t.step(s.Text, text, "InStep", p.Name+": "+s.At+" keeps its share of the memory limit")
		}
	}
	return true
}
