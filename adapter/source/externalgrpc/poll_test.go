package externalgrpc_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/externalgrpc"
	"github.com/quartet-autoscaling/quartet/adapter/source/externalgrpc/externalscaler"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

func TestReadsTheValue(t *testing.T) {
	number := func(v float64) query.Gauge { return query.Gauge{Presence: query.Number, Value: v} }
	s := &scaler{}
	address, _ := serve(t, listen(t, ""), s)
	p := open(t, request(v1alpha1.ExternalGRPCSource{Address: address, MetricName: "jobs"}, nil, query.Value))
	for name, test := range map[string]struct {
		values []*externalscaler.MetricValue
		want   query.Gauge
		reason string
	}{
		"float":                 {[]*externalscaler.MetricValue{{MetricName: "jobs", MetricValueFloat: 2.5}}, number(2.5), ""},
		"negative float":        {[]*externalscaler.MetricValue{{MetricName: "jobs", MetricValueFloat: -2.5}}, number(-2.5), ""},
		"integer":               {[]*externalscaler.MetricValue{{MetricName: "jobs", MetricValue: 7}}, number(7), ""},
		"both":                  {[]*externalscaler.MetricValue{{MetricName: "jobs", MetricValue: 2, MetricValueFloat: 2.5}}, number(2.5), ""},
		"zero":                  {[]*externalscaler.MetricValue{{MetricName: "jobs"}}, number(0), ""},
		"without a name":        {[]*externalscaler.MetricValue{{MetricValue: 7}}, number(7), ""},
		"of another name":       {[]*externalscaler.MetricValue{{MetricName: "s0-jobs", MetricValue: 7}}, number(7), ""},
		"among others":          {[]*externalscaler.MetricValue{{MetricName: "other", MetricValue: 1}, {MetricName: "jobs", MetricValue: 7}}, number(7), ""},
		"none":                  {nil, query.Gauge{Presence: query.Empty}, ""},
		"not a number":          {[]*externalscaler.MetricValue{{MetricName: "jobs", MetricValueFloat: math.NaN()}}, query.Gauge{Presence: query.NotANumber}, ""},
		"infinity":              {[]*externalscaler.MetricValue{{MetricName: "jobs", MetricValueFloat: math.Inf(1)}}, query.Gauge{Presence: query.NotANumber}, ""},
		"two of the name":       {[]*externalscaler.MetricValue{{MetricName: "jobs", MetricValue: 1}, {MetricName: "jobs", MetricValue: 7}}, query.Gauge{}, "AmbiguousReply"},
		"two of other names":    {[]*externalscaler.MetricValue{{MetricName: "a", MetricValue: 1}, {MetricName: "b", MetricValue: 7}}, query.Gauge{}, "AmbiguousReply"},
		"two that have no name": {[]*externalscaler.MetricValue{{MetricValue: 1}, {MetricValue: 7}}, query.Gauge{}, "AmbiguousReply"},
	} {
		t.Run(name, func(t *testing.T) {
			s.set(func(s *scaler) { s.values = test.values })
			if test.reason != "" {
				wantFailure(t, p, pollTimeout, test.reason)
				return
			}
			before := time.Now()
			reading := mustPoll(t, p)
			if diff := cmp.Diff(map[query.Kind]query.Gauge{query.Value: test.want}, reading.Gauges); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if reading.At.Before(before.Add(-time.Millisecond)) || reading.At.After(time.Now()) {
				t.Errorf("measured at %s, outside of the poll", reading.At)
			}
		})
	}
}

func TestAsksOnlyForWhatIsWanted(t *testing.T) {
	s := &scaler{values: []*externalscaler.MetricValue{{MetricValue: 3}}}
	address, _ := serve(t, listen(t, ""), s)
	spec := v1alpha1.ExternalGRPCSource{Address: address, MetricName: "jobs"}
	active := open(t, request(spec, nil, externalgrpc.Active))
	if diff := cmp.Diff(map[query.Kind]query.Gauge{externalgrpc.Active: query.NumberOf(0)}, mustPoll(t, active).Gauges); diff != "" {
		t.Errorf("inactive (-want +got):\n%s", diff)
	}
	s.set(func(s *scaler) { s.active = true })
	if diff := cmp.Diff(map[query.Kind]query.Gauge{externalgrpc.Active: query.NumberOf(1)}, mustPoll(t, active).Gauges); diff != "" {
		t.Errorf("active (-want +got):\n%s", diff)
	}
	if len(s.told) > 0 {
		t.Errorf("values were asked for %d times", len(s.told))
	}
	both := open(t, request(spec, nil, externalgrpc.Active, query.Value))
	want := map[query.Kind]query.Gauge{externalgrpc.Active: query.NumberOf(1), query.Value: query.NumberOf(3)}
	if diff := cmp.Diff(want, mustPoll(t, both).Gauges); diff != "" {
		t.Errorf("both (-want +got):\n%s", diff)
	}
}

func TestTellsTheScalerWhoAsks(t *testing.T) {
	s := &scaler{}
	address, _ := serve(t, listen(t, ""), s)
	secrets := brokertest.Secrets{"scaler/password": secret + "\n"}
	for name, test := range map[string]struct {
		change func(*v1alpha1.ExternalGRPCSource)
		want   *externalscaler.ScaledObjectRef
	}{
		"by default": {
			func(*v1alpha1.ExternalGRPCSource) {},
			&externalscaler.ScaledObjectRef{Name: "orders", Namespace: "shop"},
		},
		"metadata": {
			func(s *v1alpha1.ExternalGRPCSource) {
				s.Metadata = map[string]string{"threshold": "10"}
				s.MetadataFrom = []v1alpha1.MetadataFromSecret{{Name: "password", SecretKey: v1alpha1.SecretKey{Name: "scaler", Key: "password"}}}
			},
			&externalscaler.ScaledObjectRef{Name: "orders", Namespace: "shop", ScalerMetadata: map[string]string{"threshold": "10", "password": secret}},
		},
		"another name": {
			func(s *v1alpha1.ExternalGRPCSource) { s.ScaledObject = &v1alpha1.ScaledObjectName{Name: "workers"} },
			&externalscaler.ScaledObjectRef{Name: "workers", Namespace: "shop"},
		},
		"another namespace": {
			func(s *v1alpha1.ExternalGRPCSource) {
				s.ScaledObject = &v1alpha1.ScaledObjectName{Name: "workers", Namespace: "jobs"}
			},
			&externalscaler.ScaledObjectRef{Name: "workers", Namespace: "jobs"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec := v1alpha1.ExternalGRPCSource{Address: address, MetricName: "jobs"}
			test.change(&spec)
			s.set(func(s *scaler) { s.told = nil })
			mustPoll(t, open(t, request(spec, secrets)))
			want := []*externalscaler.GetMetricsRequest{{ScaledObjectRef: test.want, MetricName: "jobs"}}
			if diff := cmp.Diff(want, s.told, protocmp.Transform()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTakesTheFirstMetricThatIsListed(t *testing.T) {
	s := &scaler{values: []*externalscaler.MetricValue{{MetricName: "a", MetricValue: 3}}}
	address, _ := serve(t, listen(t, ""), s)
	p := open(t, request(v1alpha1.ExternalGRPCSource{Address: address}, nil))
	wantFailure(t, p, pollTimeout, "NoMetricListed")

	s.set(func(s *scaler) { s.listed = []string{"a", "b"} })
	for range 3 {
		if got := mustPoll(t, p).Gauges[query.Value]; got != query.NumberOf(3) {
			t.Errorf("got %+v, want 3", got)
		}
	}
	if s.lists != 2 {
		t.Errorf("names were asked for %d times, want once in vain and once for all", s.lists)
	}
	// A scaler that came back may list others.
	s.set(func(s *scaler) {
		s.listed = []string{"b"}
		s.values = []*externalscaler.MetricValue{{MetricName: "x", MetricValue: 1}, {MetricName: "b", MetricValue: 4}}
	})
	wantFailure(t, p, pollTimeout, "AmbiguousReply")
	if got := mustPoll(t, p).Gauges[query.Value]; got != query.NumberOf(4) {
		t.Errorf("got %+v, want 4", got)
	}
}

func TestServerThatIsAwayComesBack(t *testing.T) {
	s := &scaler{values: []*externalscaler.MetricValue{{MetricValue: 3}}}
	address, stop := serve(t, listen(t, ""), s)
	p := open(t, request(v1alpha1.ExternalGRPCSource{Address: address, MetricName: "jobs"}, nil))
	mustPoll(t, p)
	stop()
	began := time.Now()
	wantFailure(t, p, pollTimeout, source.ReasonUnreachable)
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s to find that the server is away", took)
	}
	wantFailure(t, p, pollTimeout, source.ReasonUnreachable)

	serve(t, listen(t, address), s)
	brokertest.Eventually(t, "the poller sees the server again", func() error { _, err := poll(t, p, pollTimeout); return err })
}

func TestSlowServerTimesOut(t *testing.T) {
	s := &scaler{stalls: true}
	address, _ := serve(t, listen(t, ""), s)
	silent := listen(t, "").Addr().String() // the system accepts, and nobody answers
	for name, address := range map[string]string{"that does not answer": address, "that does not even greet": silent} {
		t.Run(name, func(t *testing.T) {
			p := open(t, request(v1alpha1.ExternalGRPCSource{Address: address, MetricName: "jobs"}, nil))
			began := time.Now()
			wantFailure(t, p, 200*time.Millisecond, source.ReasonTimeout)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("a poll with a timeout of 200ms took %s", took)
			}
		})
	}
	p := open(t, request(v1alpha1.ExternalGRPCSource{Address: address, MetricName: "jobs"}, nil))
	wantFailure(t, p, 200*time.Millisecond, source.ReasonTimeout)
	s.set(func(s *scaler) { s.stalls = false })
	mustPoll(t, p)
}
