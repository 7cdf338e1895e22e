package shards

import (
	"fmt"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

const (
	// fullShard is how many bytes of states, before compression, a shard is to have
	// at the most: small enough to be written in a few milliseconds.
	fullShard = 96 << 10
	// maxShards is what the API allows.
	maxShards = 1024
)

// objectName is a shard's object. As a shard's unit follows from its number and
// their number, others have other names.
func objectName(component string, index, shards int) string {
	return fmt.Sprintf("%s-%d-of-%d", component, index, shards)
}

// wanted is how many shards there should be: a power of two, and never fewer than
// there are.
func (s *Store) wanted() int {
	n := max(1, s.least)
	for n < maxShards && s.size > n*fullShard {
		n *= 2
	}
	return max(n, len(s.shards))
}

// grow divides the states into more shards where they have become too large. The
// new objects are all written before the old ones go: in between, whoever reads
// them takes of each unit what was written last.
func (s *Store) grow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.wanted(); n > len(s.shards) {
		s.layOut(n)
	}
}

// layOut divides the states into n shards that are still to be written.
func (s *Store) layOut(n int) {
	before := s.shards
	s.shards = make([]*shard, n)
	for i := range s.shards {
		s.shards[i] = &shard{
			name: objectName(s.cfg.Component, i, n), index: i,
			entries: map[decision.Unit]*entry{}, changed: true, unsaved: true,
		}
	}
	for _, old := range before {
		for unit, e := range old.entries {
			s.shards[Place(unit, n)].entries[unit] = e
		}
		for _, w := range old.waiting {
			sh := s.shards[Place(w.unit, n)]
			sh.waiting = append(sh.waiting, w)
		}
	}
}

// stale are the objects that are not of the present layout, with their versions.
func (s *Store) stale() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]string{}
	for name, version := range s.versions {
		out[name] = version
	}
	for _, sh := range s.shards {
		if sh.unsaved {
			return nil // what is there still counts
		}
		delete(out, sh.name)
	}
	return out
}
