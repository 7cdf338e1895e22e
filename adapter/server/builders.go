package server

import (
	"github.com/quartet-autoscaling/quartet/adapter/builtin"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// builders are the kinds of sources that are served. One that needs nothing but
// its object and Secrets is listed in adapter/builtin, for kubectl-quartet too.
func builders() []source.Builder {
	return builtin.Builders()
}
