package externalgrpc_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// watch listens in the background. Changes are told one by one.
func watch(t *testing.T, p source.Poller) (changed chan struct{}, ended chan error, stop func()) {
	t.Helper()
	pusher, ok := p.(source.Pusher)
	if !ok {
		t.Fatal("the poller hears of no changes")
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	changed, ended = make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- pusher.Watch(ctx, func() {
			select {
			case changed <- struct{}{}:
			case <-ctx.Done():
			}
		})
	}()
	return changed, ended, cancel
}

// soon waits for one thing on a channel.
func soon[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatalf("waited in vain: %s", what)
		panic("unreachable")
	}
}

func TestEachMessageIsAChange(t *testing.T) {
	s := &scaler{pushes: make(chan bool)}
	address, stopServer := serve(t, listen(t, ""), s)
	p := open(t, request(v1alpha1.ExternalGRPCSource{Address: address}, nil))
	changed, ended, stop := watch(t, p)
	for _, active := range []bool{true, false, false} {
		s.pushes <- active
		soon(t, "word of a change", changed)
	}
	stop()
	if err := soon(t, "the end", ended); err != nil {
		t.Errorf("a watch that was ended failed: %v", err)
	}

	_, ended, _ = watch(t, p)
	s.pushes <- true
	stopServer()
	var failure *source.Error
	if err := soon(t, "the end", ended); !errors.As(err, &failure) || failure.Reason != source.ReasonUnreachable {
		t.Errorf("got %v from a watch whose server went away, want it unreachable", err)
	}
}

// streams tells of each stream that a server was asked for.
type streams struct{ began chan struct{} }

func (s streams) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (s streams) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (s streams) HandleConn(context.Context, stats.ConnStats)                       {}
func (s streams) HandleRPC(_ context.Context, r stats.RPCStats) {
	if _, ok := r.(*stats.End); ok {
		s.began <- struct{}{}
	}
}

func TestServerThatDoesNotPushIsLeftAlone(t *testing.T) {
	s := &scaler{}
	asked := streams{make(chan struct{}, 10)}
	address, stopServer := serve(t, listen(t, ""), s, grpc.StatsHandler(asked))
	p := open(t, request(v1alpha1.ExternalGRPCSource{Address: address, MetricName: "jobs"}, nil))
	_, ended, _ := watch(t, p)
	soon(t, "the question whether it pushes", asked.began)
	// Polls go over the same connection; the watch neither ends nor asks again.
	for range 3 {
		mustPoll(t, p)
		soon(t, "the poll", asked.began)
	}
	select {
	case err := <-ended:
		t.Fatalf("the watch ended with %v", err)
	case <-asked.began:
		t.Fatal("the server was asked again")
	default:
	}
	stopServer()
	if err := soon(t, "the end with the connection", ended); err != nil {
		t.Errorf("got %v, want a quiet end", err)
	}
}

func TestPushCanBeSwitchedOff(t *testing.T) {
	off := false
	p := open(t, request(v1alpha1.ExternalGRPCSource{Address: "127.0.0.1:1", Push: &off}, nil))
	if _, ok := p.(source.Pusher); ok {
		t.Error("the poller listens all the same")
	}
}
