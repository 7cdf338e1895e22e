package externalgrpc

import (
	"math"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source/externalgrpc/externalscaler"
)

// FuzzReply reads any bytes as a reply: what comes of it is a finite number, a
// way of not being one, or an error.
func FuzzReply(f *testing.F) {
	for _, values := range [][]*externalscaler.MetricValue{
		nil,
		{{MetricName: "jobs", MetricValue: 3}},
		{{MetricName: "jobs", MetricValueFloat: math.Inf(-1)}},
		{{MetricName: "a", MetricValue: math.MinInt64}, {MetricName: "b"}},
	} {
		raw, err := proto.Marshal(&externalscaler.GetMetricsResponse{MetricValues: values})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var reply externalscaler.GetMetricsResponse
		if proto.Unmarshal(raw, &reply) != nil {
			return
		}
		gauge, err := gaugeOf(reply.GetMetricValues(), "jobs")
		switch {
		case err != nil:
			if len(reply.GetMetricValues()) < 2 {
				t.Errorf("%d values are not ambiguous: %v", len(reply.GetMetricValues()), err)
			}
		case gauge.Presence == query.Empty:
			if len(reply.GetMetricValues()) > 0 {
				t.Error("a reply with values is empty")
			}
		case gauge.Presence == query.Number:
			if math.IsNaN(gauge.Value) || math.IsInf(gauge.Value, 0) {
				t.Errorf("got %v as a number", gauge.Value)
			}
		case gauge.Presence != query.NotANumber:
			t.Errorf("got %+v", gauge)
		}
	})
}
