package externalgrpc_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/externalgrpc"
	"github.com/quartet-autoscaling/quartet/adapter/source/externalgrpc/externalscaler"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

const pollTimeout = 5 * time.Second

// scaler is an external scaler as its author would write one.
type scaler struct {
	externalscaler.UnimplementedExternalScalerServer

	mu     sync.Mutex
	active bool
	listed []string
	values []*externalscaler.MetricValue
	// fails is the answer to IsActive and GetMetrics, where it is set.
	fails error
	// stalls has GetMetrics wait for the end of the request.
	stalls bool
	// told are the requests for values, and lists the number of those for names.
	told  []*externalscaler.GetMetricsRequest
	lists int
	// pushes are sent to whoever listens; nil: the stream is not served.
	pushes chan bool
}

func (s *scaler) set(change func(*scaler)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *scaler) IsActive(context.Context, *externalscaler.ScaledObjectRef) (*externalscaler.IsActiveResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &externalscaler.IsActiveResponse{Result: s.active}, s.fails
}

func (s *scaler) GetMetricSpec(context.Context, *externalscaler.ScaledObjectRef) (*externalscaler.GetMetricSpecResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	reply := &externalscaler.GetMetricSpecResponse{}
	for _, name := range s.listed {
		reply.MetricSpecs = append(reply.MetricSpecs, &externalscaler.MetricSpec{MetricName: name, TargetSize: 10})
	}
	return reply, nil
}

func (s *scaler) GetMetrics(ctx context.Context, r *externalscaler.GetMetricsRequest) (*externalscaler.GetMetricsResponse, error) {
	s.mu.Lock()
	s.told = append(s.told, r)
	reply, err, stalls := &externalscaler.GetMetricsResponse{MetricValues: s.values}, s.fails, s.stalls
	s.mu.Unlock()
	if stalls {
		<-ctx.Done()
	}
	return reply, err
}

func (s *scaler) StreamIsActive(r *externalscaler.ScaledObjectRef, stream externalscaler.ExternalScaler_StreamIsActiveServer) error {
	if s.pushes == nil {
		return s.UnimplementedExternalScalerServer.StreamIsActive(r, stream)
	}
	for {
		select {
		case <-stream.Context().Done():
			return nil
		case active := <-s.pushes:
			if err := stream.Send(&externalscaler.IsActiveResponse{Result: active}); err != nil {
				return err
			}
		}
	}
}

// listen takes a port of loopback; "" is any.
func listen(t testing.TB, address string) net.Listener {
	t.Helper()
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// serve runs a scaler until the test ends, or until stop.
func serve(t testing.TB, listener net.Listener, s *scaler, options ...grpc.ServerOption) (address string, stop func()) {
	t.Helper()
	server := grpc.NewServer(options...)
	if s != nil {
		externalscaler.RegisterExternalScalerServer(server, s)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String(), server.Stop
}

// request asks for one source with the names of a MetricSource.
func request(spec v1alpha1.ExternalGRPCSource, secrets brokertest.Secrets, kinds ...query.Kind) source.Request {
	return source.Request{
		Namespace: "shop", Name: "orders", Source: v1alpha1.Source{ExternalGRPC: &spec},
		Kinds: kinds, Secrets: secrets, Timeout: pollTimeout,
	}
}

func open(t testing.TB, r source.Request) source.Poller {
	t.Helper()
	q, err := externalgrpc.NewBuilder().Build(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	p, err := q.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func poll(t testing.TB, p source.Poller, timeout time.Duration) (query.Reading, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return p.Poll(ctx)
}

func mustPoll(t testing.TB, p source.Poller) query.Reading {
	t.Helper()
	reading, err := poll(t, p, pollTimeout)
	if err != nil {
		t.Fatal(err)
	}
	return reading
}

// wantFailure polls and gives the failure's message, which must have the reason.
func wantFailure(t testing.TB, p source.Poller, timeout time.Duration, reason string) string {
	t.Helper()
	reading, err := poll(t, p, timeout)
	var failure *source.Error
	if !errors.As(err, &failure) {
		t.Fatalf("got %+v and error %v, want a failure of the source", reading, err)
	}
	if failure.Reason != reason {
		t.Fatalf("got reason %s (%s), want %s", failure.Reason, failure.Message, reason)
	}
	if strings.Contains(failure.Message, secret) {
		t.Fatalf("the failure shows a credential: %s", failure.Message)
	}
	return failure.Message
}

// wantSooner polls until the failure has the reason. Where a server says
// something and hangs up, the client now and then hears of the second first.
func wantSooner(t *testing.T, p source.Poller, reason string) {
	t.Helper()
	brokertest.Eventually(t, "the failure is "+reason, func() error {
		reading, err := poll(t, p, pollTimeout)
		got, message := source.ReasonOf(err)
		switch {
		case err == nil:
			t.Fatalf("got %+v, want a failure", reading)
		case got != reason && got != source.ReasonUnreachable:
			t.Fatalf("got reason %s (%s), want %s", got, message, reason)
		case got != reason:
			return err
		}
		return nil
	})
}

// secret is the credential of every test.
const secret = "correct-horse-battery"
