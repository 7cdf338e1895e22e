package server

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/clock"
)

const (
	// grantedFor is how long a grant is remembered: as long as the generic server
	// remembers one.
	grantedFor = 10 * time.Second
	// grantsMost is how many are remembered at one time.
	grantsMost = 4096
	// everything names all resources of a group, as RBAC does.
	everything = "*"
)

// wideGrants asks first whether the caller may read everything in the metric's API
// group, in all namespaces, and asks for the one metric only where it may not.
// Controllers have such a grant: without the first question the API server is asked
// once for each metric, which doubles the requests of every read. Who has none costs
// one question more in ten seconds.
//
// RBAC only ever adds: who may read everything may read each. An authorizer that
// takes single metrics away from those who may read everything is not heard.
type wideGrants struct {
	next  authorizer.UnconditionalAuthorizer
	clock clock.PassiveClock

	mu      sync.Mutex
	granted map[string]time.Time
}

func newWideGrants(next authorizer.UnconditionalAuthorizer, c clock.PassiveClock) *wideGrants {
	return &wideGrants{next: next, clock: c, granted: map[string]time.Time{}}
}

// Authorize tells whether the caller may.
func (g *wideGrants) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if !a.IsResourceRequest() || a.GetUser() == nil {
		return g.next.Authorize(ctx, a)
	}
	key, now := grantKey(a), g.clock.Now()
	g.mu.Lock()
	until, known := g.granted[key]
	g.mu.Unlock()
	if known && now.Before(until) {
		return authorizer.DecisionAllow, "", nil
	}
	wide := authorizer.AttributesRecord{
		User: a.GetUser(), Verb: a.GetVerb(), APIGroup: a.GetAPIGroup(), APIVersion: a.GetAPIVersion(),
		Resource: everything, ResourceRequest: true, Path: a.GetPath(),
	}
	if decision, _, err := g.next.Authorize(ctx, wide); err == nil && decision == authorizer.DecisionAllow {
		g.remember(key, now)
		return decision, "", nil
	}
	return g.next.Authorize(ctx, a)
}

func (g *wideGrants) remember(key string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.granted) >= grantsMost {
		maps.DeleteFunc(g.granted, func(_ string, until time.Time) bool { return !now.Before(until) })
		if len(g.granted) >= grantsMost {
			clear(g.granted)
		}
	}
	g.granted[key] = now.Add(grantedFor)
}

// grantKey is everything that a wide grant depends on.
func grantKey(a authorizer.Attributes) string {
	u := a.GetUser()
	key := make([]byte, 0, 256)
	for _, part := range []string{a.GetVerb(), a.GetAPIGroup(), a.GetAPIVersion(), u.GetName(), u.GetUID()} {
		key = appendPart(key, part)
	}
	key = appendParts(key, u.GetGroups())
	extra := u.GetExtra()
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		key = appendPart(key, name)
		key = appendParts(key, extra[name])
	}
	return string(key)
}
