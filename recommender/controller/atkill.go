package controller

import "slices"

// atKills keeps the memory that containers had when they were killed: a resize may
// follow at once. One that runs again was killed with what its pod had before,
// one that does not with what it has.
func (r *podRecord) atKills(before *podRecord) {
	if before == nil {
		return
	}
	for i := range r.containers {
		is := &r.containers[i]
		if is.Killed.IsZero() {
			continue
		}
		j := slices.IndexFunc(before.containers, func(was podContainer) bool { return was.name == is.name })
		if j < 0 {
			continue
		}
		if was := before.containers[j]; was.Killed.Equal(is.Killed) || !is.ended {
			is.Request, is.Limit = was.Request, was.Limit
		}
	}
}

// get finds a pod; nil where there is none.
func (c *podCache) get(namespace, name string) *podRecord {
	c.mu.RLock()
	defer c.mu.RUnlock()
	space := c.spaces[namespace]
	if space == nil {
		return nil
	}
	return space.pods[name]
}
