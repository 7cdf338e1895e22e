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
	"github.com/quartet-autoscaling/quartet/adapter/source/prometheus/rules"
	"github.com/quartet-autoscaling/quartet/adapter/source/rabbitmq"
	"github.com/quartet-autoscaling/quartet/adapter/source/redis"
)

// Builders are the kinds of sources. A kind that needs more than its object and
// Secrets is added by those who can give it.
//
// Kinds tells the rules of Prometheus which kinds of objects the cluster has; nil
// are those that every cluster has.
func Builders(kinds rules.Mapper) []source.Builder {
	return []source.Builder{
		prometheus.NewBuilder(kinds),
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
