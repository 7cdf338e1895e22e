package builtin_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/builtin"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

// TestMetadataOfMachinesIsNotAsked has every kind of source ask the address at which
// clouds give out their machines' credentials.
func TestMetadataOfMachinesIsNotAsked(t *testing.T) {
	const host = "169.254.169.254"
	login := v1alpha1.BasicAuth{Username: v1alpha1.SecretKey{Name: "s", Key: "a"}, Password: v1alpha1.SecretKey{Name: "s", Key: "a"}}
	sources := map[string]v1alpha1.Source{
		"prometheus":    {Prometheus: &v1alpha1.PrometheusSource{URLs: []string{"http://" + host}, Query: "up"}},
		"natsJetStream": {NATSJetStream: &v1alpha1.NATSJetStreamSource{Servers: []string{"ws://" + host + ":80"}, Stream: "a", Consumer: "b"}},
		"kafka":         {Kafka: &v1alpha1.KafkaSource{Brokers: []string{host + ":80"}, Group: "a"}},
		"redis":         {Redis: &v1alpha1.RedisSource{Topology: "Single", Addresses: []string{host + ":80"}, List: "a"}},
		"rabbitMQ":      {RabbitMQ: &v1alpha1.RabbitMQSource{URL: "amqp://" + host + ":80", Queue: "a"}},
		"beanstalkd":    {Beanstalkd: &v1alpha1.BeanstalkdSource{Address: host + ":80"}},
		"postgreSQL":    {PostgreSQL: &v1alpha1.PostgreSQLSource{Address: host + ":80", Database: "a", Statement: "SELECT 1", Credentials: login}},
		"mySQL":         {MySQL: &v1alpha1.MySQLSource{Address: host + ":80", Database: "a", Statement: "SELECT 1", Credentials: login}},
		"externalGRPC":  {ExternalGRPC: &v1alpha1.ExternalGRPCSource{Address: host + ":80"}},
	}
	for _, b := range builtin.Builders(nil) {
		t.Run(b.Kind(), func(t *testing.T) {
			spec, ok := sources[b.Kind()]
			if !ok {
				t.Fatal("there is no object of this kind")
			}
			q, err := b.Build(t.Context(), source.Request{Namespace: "shop", Name: "a", Source: spec, Secrets: brokertest.Secrets{"s/a": "someone"}})
			if err != nil {
				t.Fatal(err)
			}
			p, err := q.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if _, err = p.Poll(ctx); err == nil || !strings.Contains(err.Error(), "link-local") {
				t.Errorf("the poll ended with %v", err)
			}
		})
	}
}
