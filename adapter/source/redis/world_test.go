package redis_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/redis"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

const (
	// pollTimeout is generous: a poll of a healthy server takes a millisecond.
	pollTimeout = 5 * time.Second
	// password is the servers', where they have one.
	password = "correct-horse-battery"
)

// running is a real server with a client of its own to use it with.
type running struct {
	*brokers.Server
	brokers.Redis
	admin *goredis.Client
}

// start runs a real server until the test ends.
func start(t testing.TB, change func(*brokers.Redis)) *running {
	t.Helper()
	brokertest.Program(t, "redis-server")
	r, err := brokers.NewRedis(brokertest.Folder(t, "redis"))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&r)
	}
	config, err := r.Config()
	if err != nil {
		t.Fatal(err)
	}
	s := &running{Server: brokertest.Start(t, config), Redis: r}
	if r.CertificatePath == "" {
		s.admin = goredis.NewClient(&goredis.Options{Addr: r.Address(), Password: r.Password, Protocol: 2, DisableIdentity: true})
		t.Cleanup(func() { _ = s.admin.Close() })
	}
	return s
}

// do runs one command, which must succeed.
func (r *running) do(t testing.TB, args ...any) any {
	t.Helper()
	got, err := r.admin.Do(t.Context(), args...).Result()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return got
}

// makeStream makes a stream of n entries with a group that begins at its start.
func (r *running) makeStream(t testing.TB, key string, n int) {
	t.Helper()
	r.do(t, "XGROUP", "CREATE", key, "workers", "0", "MKSTREAM")
	r.add(t, key, n)
}

func (r *running) add(t testing.TB, key string, n int) (ids []any) {
	t.Helper()
	for i := range n {
		ids = append(ids, r.do(t, "XADD", key, "*", "n", i))
	}
	return ids
}

// take reads n entries as a worker and acknowledges the first acks of them.
func (r *running) take(t testing.TB, key string, n, acks int) {
	t.Helper()
	got, err := r.admin.XReadGroup(t.Context(), &goredis.XReadGroupArgs{
		Group: "workers", Consumer: "one", Streams: []string{key, ">"}, Count: int64(n), Block: -1,
	}).Result()
	if err != nil || len(got) != 1 || len(got[0].Messages) != n {
		t.Fatalf("read %v (%v), want %d entries", got, err, n)
	}
	for _, m := range got[0].Messages[:acks] {
		r.do(t, "XACK", key, "workers", m.ID)
	}
}

func list(address, key string) v1alpha1.RedisSource {
	return v1alpha1.RedisSource{Addresses: []string{address}, Topology: "Single", List: key}
}

func stream(address, key string) v1alpha1.RedisSource {
	return v1alpha1.RedisSource{
		Addresses: []string{address}, Topology: "Single", Stream: &v1alpha1.RedisStream{Key: key, Group: "workers"},
	}
}

// credentials of the Secret of a name.
func credentials(name string) *v1alpha1.BasicAuth {
	return &v1alpha1.BasicAuth{
		Username: v1alpha1.SecretKey{Name: name, Key: "user"}, Password: v1alpha1.SecretKey{Name: name, Key: "password"},
	}
}

func build(t testing.TB, spec v1alpha1.RedisSource, s brokertest.Secrets, kinds ...query.Kind) (source.Query, error) {
	t.Helper()
	return redis.NewBuilder().Build(t.Context(), source.Request{
		Source: v1alpha1.Source{Redis: &spec}, Kinds: kinds, Secrets: s, Timeout: pollTimeout,
	})
}

// open builds and opens a poller that must be buildable.
func open(t testing.TB, spec v1alpha1.RedisSource, s brokertest.Secrets, kinds ...query.Kind) source.Poller {
	t.Helper()
	q, err := build(t, spec, s, kinds...)
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	p, err := q.Open()
	if err != nil {
		t.Fatalf("open: %v", err)
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
	r, err := poll(t, p, pollTimeout)
	if err != nil {
		t.Fatalf("poll: %v", err)
	}
	return r
}

// wantFailure polls and expects a reason, and a message without the credentials.
func wantFailure(t testing.TB, p source.Poller, timeout time.Duration, want string) string {
	t.Helper()
	r, err := poll(t, p, timeout)
	if err == nil {
		t.Fatalf("the poll succeeded with %+v, want %s", r, want)
	}
	reason, message := source.ReasonOf(err)
	if reason != want {
		t.Fatalf("the poll failed with %s (%s), want %s", reason, message, want)
	}
	if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, "horse") {
		t.Fatalf("the error shows a credential: %s", text)
	}
	return message
}

// numbers are the values of a reading that are numbers, and its counters.
func numbers(r query.Reading) map[string]float64 {
	out := map[string]float64{}
	for kind, g := range r.Gauges {
		if g.Presence == query.Number {
			out[string(kind)] = g.Value
		}
	}
	if r.Arrived != nil {
		out["arrived"] = float64(*r.Arrived)
	}
	if r.Drained != nil {
		out["drained"] = float64(*r.Drained)
	}
	return out
}
