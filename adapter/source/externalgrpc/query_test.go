package externalgrpc_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/externalgrpc"
	"github.com/quartet-autoscaling/quartet/adapter/source/externalgrpc/externalscaler"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

func build(r source.Request) (source.Query, error) {
	return externalgrpc.NewBuilder().Build(context.Background(), r)
}

func TestBuildRefuses(t *testing.T) {
	from := []v1alpha1.MetadataFromSecret{{Name: "password", SecretKey: v1alpha1.SecretKey{Name: "scaler", Key: "password"}}}
	for name, test := range map[string]struct {
		spec    v1alpha1.ExternalGRPCSource
		secrets brokertest.Secrets
		want    string // within the message
	}{
		"no port":   {v1alpha1.ExternalGRPCSource{Address: "scaler"}, nil, "is no address"},
		"no host":   {v1alpha1.ExternalGRPCSource{Address: ":6000"}, nil, "is no address"},
		"no Secret": {v1alpha1.ExternalGRPCSource{Address: "h:1", MetadataFrom: from}, nil, "Secret scaler does not exist"},
		"twice": {
			v1alpha1.ExternalGRPCSource{Address: "h:1", MetadataFrom: from, Metadata: map[string]string{"password": "x"}},
			brokertest.Secrets{"scaler/password": secret}, "password in metadata and in metadataFrom",
		},
		"CA that is none": {
			v1alpha1.ExternalGRPCSource{Address: "h:1", TLS: &v1alpha1.TLS{CA: &v1alpha1.SecretKey{Name: "tls", Key: "ca"}}},
			brokertest.Secrets{"tls/ca": secret}, "holds no PEM certificate",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := build(request(test.spec, test.secrets))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want one with %q", err, test.want)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows a credential: %v", err)
			}
		})
	}
	if _, err := build(source.Request{}); err == nil {
		t.Error("a source of another system was built")
	}
}

func TestKeysTellQueriesApart(t *testing.T) {
	base := v1alpha1.ExternalGRPCSource{Address: "h:1", MetricName: "jobs"}
	with := func(change func(*v1alpha1.ExternalGRPCSource)) v1alpha1.ExternalGRPCSource {
		spec := base
		change(&spec)
		return spec
	}
	hidden := with(func(s *v1alpha1.ExternalGRPCSource) {
		s.MetadataFrom = []v1alpha1.MetadataFromSecret{{Name: "password", SecretKey: v1alpha1.SecretKey{Name: "scaler", Key: "password"}}}
	})
	old, rotated := brokertest.Secrets{"scaler/password": secret}, brokertest.Secrets{"scaler/password": secret + "2"}
	off := false
	for name, test := range map[string]struct {
		a, b                 source.Request
		sameKey, sameSubject bool
	}{
		"the same":        {request(base, nil, query.Value), request(base, nil, query.Value), true, true},
		"another address": {request(base, nil), request(with(func(s *v1alpha1.ExternalGRPCSource) { s.Address = "i:1" }), nil), false, false},
		"another metric":  {request(base, nil), request(with(func(s *v1alpha1.ExternalGRPCSource) { s.MetricName = "x" }), nil), false, false},
		"other metadata":  {request(base, nil), request(with(func(s *v1alpha1.ExternalGRPCSource) { s.Metadata = map[string]string{"a": "b"} }), nil), false, false},
		"another object": {request(base, nil), request(with(func(s *v1alpha1.ExternalGRPCSource) {
			s.ScaledObject = &v1alpha1.ScaledObjectName{Name: "x"}
		}), nil), false, false},
		"another password": {request(hidden, old), request(hidden, rotated), false, true},
		"TLS":              {request(base, nil), request(with(func(s *v1alpha1.ExternalGRPCSource) { s.TLS = &v1alpha1.TLS{} }), nil), false, true},
		"another value":    {request(base, nil, query.Value), request(base, nil, externalgrpc.Active), false, true},
		"no push":          {request(base, nil), request(with(func(s *v1alpha1.ExternalGRPCSource) { s.Push = &off }), nil), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			a, errA := build(test.a)
			b, errB := build(test.b)
			if errA != nil || errB != nil {
				t.Fatal(errA, errB)
			}
			if got := a.Key() == b.Key(); got != test.sameKey {
				t.Errorf("one key: %v, want %v", got, test.sameKey)
			}
			if got := a.Subject() == b.Subject(); got != test.sameSubject {
				t.Errorf("one subject: %v, want %v", got, test.sameSubject)
			}
		})
	}
}

func TestShowsNoCredential(t *testing.T) {
	spec := v1alpha1.ExternalGRPCSource{Address: "h:1", MetricName: "jobs", MetadataFrom: []v1alpha1.MetadataFromSecret{
		{Name: "password", SecretKey: v1alpha1.SecretKey{Name: "scaler", Key: "password"}},
	}}
	q, err := build(request(spec, brokertest.Secrets{"scaler/password": secret}))
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%s %v %+v %#v %s %s", q, q, q, q, q.Key(), q.Subject()); strings.Contains(text, secret) {
		t.Errorf("the query shows a credential: %s", text)
	}
	if got, want := q.String(), "externalGRPC jobs at h:1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := source.ServerOf(q), "externalGRPC at h:1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// counted counts the connections that a listener has accepted.
type counted struct {
	net.Listener
	accepted *atomic.Int64
}

func (c counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.accepted.Add(1)
	}
	return conn, err
}

func TestPollersOfOneServerShareAConnection(t *testing.T) {
	s := &scaler{values: []*externalscaler.MetricValue{{MetricValue: 3}}}
	listener := counted{listen(t, ""), &atomic.Int64{}}
	address, _ := serve(t, listener, s)
	builder := externalgrpc.NewBuilder()
	openOne := func(metric string) source.Poller {
		q, err := builder.Build(t.Context(), request(v1alpha1.ExternalGRPCSource{Address: address, MetricName: metric}, nil))
		if err != nil {
			t.Fatal(err)
		}
		p, err := q.Open()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a, b := openOne("a"), openOne("b")
	mustPoll(t, a)
	mustPoll(t, b)
	a.Close()
	a.Close() // closing twice is closing once
	mustPoll(t, b)
	if got := listener.accepted.Load(); got != 1 {
		t.Errorf("two pollers made %d connections, want 1", got)
	}
	b.Close()
	// The last one took the connection with it.
	c := openOne("c")
	defer c.Close()
	mustPoll(t, c)
	if got := listener.accepted.Load(); got != 2 {
		t.Errorf("after all were closed there were %d connections, want 2", got)
	}
}
