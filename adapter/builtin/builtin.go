// Package builtin lists the kinds of sources that Quartet reads, in one place for
// all who read them: the adapter, which serves them, and kubectl-quartet, which
// tries them. It knows nothing of any of them but its name.
package builtin

import (
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/beanstalkd"
	"github.com/quartet-autoscaling/quartet/adapter/source/externalgrpc"
	"github.com/quartet-autoscaling/quartet/adapter/source/kafka"
	"github.com/quartet-autoscaling/quartet/adapter/source/mysql"
	"github.com/quartet-autoscaling/quartet/adapter/source/natsjetstream"
	"github.com/quartet-autoscaling/quartet/adapter/source/postgresql"
	"github.com/quartet-autoscaling/quartet/adapter/source/prometheus"
	"github.com/quartet-autoscaling/quartet/adapter/source/rabbitmq"
	"github.com/quartet-autoscaling/quartet/adapter/source/redis"
)

// Builders are the kinds of sources. A kind that needs more than its object and
// Secrets is added by those who can give it.
func Builders() []source.Builder {
	return []source.Builder{
		// Without a cluster, rules know the kinds of objects that every cluster has.
		prometheus.NewBuilder(nil),
		natsjetstream.NewBuilder(),
		kafka.NewBuilder(),
		redis.NewBuilder(),
		rabbitmq.NewBuilder(),
		beanstalkd.NewBuilder(),
		postgresql.NewBuilder(),
		mysql.NewBuilder(),
		externalgrpc.NewBuilder(),
	}
}
