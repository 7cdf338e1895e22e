package server

import (
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/externalgrpc"
	"github.com/quartet-autoscaling/quartet/adapter/source/natsjetstream"
	"github.com/quartet-autoscaling/quartet/adapter/source/postgresql"
)

// builders are the kinds of sources that are served.
func builders() []source.Builder {
	return []source.Builder{
		natsjetstream.NewBuilder(),
		postgresql.NewBuilder(),
		externalgrpc.NewBuilder(),
	}
}
