package component

import (
	"context"
	"errors"

	"k8s.io/client-go/tools/cache"

	"github.com/quartet-autoscaling/quartet/internal/health"
)

// Cache is objects of one kind that are listed before the work can begin.
type Cache struct {
	// Objects names them in the plural.
	Objects string
	Synced  func() bool
}

// Caches are all that the work reads.
type Caches []Cache

// Synced gives the first cache that is not filled yet as an error.
func (c Caches) Synced() error {
	for _, filled := range c {
		if !filled.Synced() {
			return errors.New(filled.Objects + " are not listed yet")
		}
	}
	return nil
}

// Wait waits until all caches are filled. It gives false where the context ended
// first.
func (c Caches) Wait(ctx context.Context) bool {
	return cache.WaitForCacheSync(ctx.Done(), func() bool { return c.Synced() == nil })
}

// Check tells whether the caches are filled.
func (c Caches) Check() health.Check {
	return health.Check{Name: "caches", Func: func(context.Context) (string, error) { return "", c.Synced() }}
}

// LeaderCheck tells who leads. Whoever it is, the replica is ready.
func (f *Frame) LeaderCheck() health.Check {
	return health.Check{Name: "leader", Func: func(context.Context) (string, error) {
		leading, holder := f.Elector.Leading()
		switch {
		case leading:
			return "this replica leads", nil
		case holder != "":
			return holder + " leads", nil
		}
		return "nobody was seen to lead", nil
	}}
}
