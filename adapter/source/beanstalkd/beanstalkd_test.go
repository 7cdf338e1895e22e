package beanstalkd_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/beanstalkd"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

// pollTimeout is generous: a poll of a healthy server takes less than a
// millisecond.
const pollTimeout = 5 * time.Second

// startServer runs a real beanstalkd until the test ends.
func startServer(t *testing.T) (*brokers.Server, string) {
	t.Helper()
	brokertest.Program(t, "beanstalkd")
	settings, err := brokers.NewBeanstalkd(brokertest.Folder(t, "beanstalkd"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := settings.Config()
	if err != nil {
		t.Fatal(err)
	}
	return brokertest.Start(t, config), settings.Address()
}

// client is a producer and worker.
type client struct {
	net.Conn
	reader *bufio.Reader
}

func connect(t *testing.T, address string) *client {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &client{Conn: c, reader: bufio.NewReader(c)}
}

// say sends a command and expects a reply that begins with a word. It gives the
// rest of the reply's line.
func (c *client) say(t *testing.T, command, want string) string {
	t.Helper()
	if _, err := fmt.Fprintf(c, "%s\r\n", command); err != nil {
		t.Fatal(err)
	}
	line, err := c.reader.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), want)
	if !ok {
		t.Fatalf("%s was answered with %q, want %s", command, line, want)
	}
	return strings.TrimSpace(rest)
}

// put puts n jobs and gives the last one's number.
func (c *client) put(t *testing.T, n, delay int) (id string) {
	t.Helper()
	for range n {
		id = c.say(t, fmt.Sprintf("put 1 %d 600 4\r\nwork", delay), "INSERTED")
	}
	return id
}

// reserve takes a job and gives its number.
func (c *client) reserve(t *testing.T) string {
	t.Helper()
	id, _, _ := strings.Cut(c.say(t, "reserve-with-timeout 0", "RESERVED"), " ")
	if _, err := c.reader.ReadString('\n'); err != nil { // the job itself
		t.Fatal(err)
	}
	return id
}

func build(t *testing.T, b *beanstalkd.Builder, spec v1alpha1.BeanstalkdSource) (source.Query, error) {
	t.Helper()
	return b.Build(t.Context(), source.Request{Source: v1alpha1.Source{Beanstalkd: &spec}, Timeout: pollTimeout})
}

func open(t *testing.T, b *beanstalkd.Builder, address, tube string) source.Poller {
	t.Helper()
	q, err := build(t, b, v1alpha1.BeanstalkdSource{Address: address, Tube: tube})
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

func poll(t *testing.T, p source.Poller, timeout time.Duration) (query.Reading, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return p.Poll(ctx)
}

func mustPoll(t *testing.T, p source.Poller) query.Reading {
	t.Helper()
	r, err := poll(t, p, pollTimeout)
	if err != nil {
		t.Fatalf("poll: %v", err)
	}
	return r
}

func wantFailure(t *testing.T, p source.Poller, timeout time.Duration, want string) {
	t.Helper()
	r, err := poll(t, p, timeout)
	if err == nil {
		t.Fatalf("the poll succeeded with %+v, want %s", r, want)
	}
	if reason, message := source.ReasonOf(err); reason != want {
		t.Fatalf("the poll failed with %s (%s), want %s", reason, message, want)
	}
}

// numbers are a reading's gauges and counters in one line.
func numbers(r query.Reading) string {
	return fmt.Sprintf("depth %v = ready %v + reserved %v, delayed %v, buried %v, arrived %d, drained %d",
		r.Gauges[query.Depth].Value, r.Gauges[query.Pending].Value, r.Gauges[query.AckPending].Value,
		r.Gauges[beanstalkd.Delayed].Value, r.Gauges[beanstalkd.Buried].Value, *r.Arrived, *r.Drained)
}

func TestReadsTheTube(t *testing.T) {
	_, address := startServer(t)
	c := connect(t, address)
	c.say(t, "use orders", "USING")
	c.say(t, "watch orders", "WATCHING")
	p := open(t, beanstalkd.NewBuilder(), address, "orders")

	before := time.Now().Round(0)
	empty := mustPoll(t, p)
	if diff := cmp.Diff("depth 0 = ready 0 + reserved 0, delayed 0, buried 0, arrived 0, drained 0", numbers(empty)); diff != "" {
		t.Errorf("an empty tube (-want +got):\n%s", diff)
	}
	for kind, g := range empty.Gauges {
		if g.Presence != query.Number {
			t.Errorf("%s of an empty tube is %+v", kind, g)
		}
	}
	if empty.At.Before(before) || empty.At.After(time.Now()) {
		t.Errorf("measured at %s, outside of the poll", empty.At)
	}

	c.put(t, 8, 0)
	c.put(t, 2, 600)
	c.say(t, "delete "+c.reserve(t), "DELETED")
	c.say(t, "bury "+c.reserve(t)+" 1", "BURIED")
	c.reserve(t)
	c.say(t, "release "+c.reserve(t)+" 1 0", "RELEASED")
	full := mustPoll(t, p)
	if diff := cmp.Diff("depth 6 = ready 5 + reserved 1, delayed 2, buried 1, arrived 10, drained 1", numbers(full)); diff != "" {
		t.Errorf("a tube in use (-want +got):\n%s", diff)
	}
	if full.Epoch != empty.Epoch {
		t.Error("the epoch changed, and the tube did not")
	}
	// Another tube's jobs are not this one's.
	c.say(t, "use others", "USING")
	c.put(t, 1, 0)
	if got := numbers(mustPoll(t, p)); got != numbers(full) {
		t.Errorf("another tube's job changed the readings to %s", got)
	}
	if got := numbers(mustPoll(t, open(t, beanstalkd.NewBuilder(), address, ""))); !strings.HasPrefix(got, "depth 0") {
		t.Errorf("the tube default has %s", got)
	}
}

// TestATubeThatIsNotThere: the server drops tubes without jobs that nobody refers
// to, and knows no difference to a name that was never one.
func TestATubeThatIsNotThere(t *testing.T) {
	_, address := startServer(t)
	p := open(t, beanstalkd.NewBuilder(), address, "orders")
	wantFailure(t, p, pollTimeout, "TubeNotFound")

	c := connect(t, address)
	c.say(t, "use orders", "USING")
	c.say(t, "watch orders", "WATCHING")
	c.put(t, 2, 0)
	first := mustPoll(t, p)
	c.say(t, "delete "+c.reserve(t), "DELETED")
	c.say(t, "delete "+c.reserve(t), "DELETED")
	c.say(t, "use default", "USING")
	if got := numbers(mustPoll(t, p)); !strings.HasPrefix(got, "depth 0") {
		t.Errorf("a tube that is empty and watched has %s", got)
	}
	c.say(t, "ignore orders", "WATCHING")
	wantFailure(t, p, pollTimeout, "TubeNotFound")

	c.say(t, "use orders", "USING")
	c.put(t, 5, 0)
	if again := mustPoll(t, p); again.Epoch == first.Epoch {
		t.Error("counters of a tube that was made anew have the same epoch")
	}
}

// TestATubeMadeAnewBetweenPolls finds the new life by counters that went down.
func TestATubeMadeAnewBetweenPolls(t *testing.T) {
	_, address := startServer(t)
	p := open(t, beanstalkd.NewBuilder(), address, "orders")
	c := connect(t, address)
	c.say(t, "use orders", "USING")
	c.say(t, "delete "+c.put(t, 1, 0), "DELETED")
	c.say(t, "delete "+c.put(t, 1, 0), "DELETED")
	first := mustPoll(t, p)
	c.say(t, "use default", "USING")
	c.say(t, "use orders", "USING")
	c.put(t, 1, 0)
	if again := mustPoll(t, p); again.Epoch == first.Epoch || *again.Arrived != 1 {
		t.Errorf("a tube that was made anew has epoch %s after %s, and %s", again.Epoch, first.Epoch, numbers(again))
	}
}

func TestServerThatIsAwayComesBack(t *testing.T) {
	s, address := startServer(t)
	c := connect(t, address)
	c.say(t, "use orders", "USING")
	c.put(t, 3, 0)
	p := open(t, beanstalkd.NewBuilder(), address, "orders")
	before := mustPoll(t, p)
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, p, pollTimeout, source.ReasonUnreachable)
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := mustPoll(t, p)
	if g := after.Gauges[query.Depth]; g != query.NumberOf(3) {
		t.Errorf("depth after the restart is %+v, want 3", g)
	}
	if after.Epoch == before.Epoch {
		t.Error("counters of another process have the same epoch")
	}
}

// TestAKeptConnectionThatTheServerEnded is no failed poll.
func TestAKeptConnectionThatTheServerEnded(t *testing.T) {
	s, address := startServer(t)
	p := open(t, beanstalkd.NewBuilder(), address, "default")
	mustPoll(t, p)
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustPoll(t, p)
}

func TestSlowServerTimesOutAndRecovers(t *testing.T) {
	s, address := startServer(t)
	builder := beanstalkd.NewBuilder()
	p, fresh := open(t, builder, address, "default"), open(t, beanstalkd.NewBuilder(), address, "default")
	mustPoll(t, p)
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	// The signal is on its way.
	brokertest.Eventually(t, "a server that does not answer", func() error {
		if r, err := poll(t, p, 200*time.Millisecond); err == nil {
			return fmt.Errorf("the poll succeeds with %+v", r)
		}
		return nil
	})
	began := time.Now()
	wantFailure(t, p, 200*time.Millisecond, source.ReasonTimeout)
	wantFailure(t, fresh, 200*time.Millisecond, source.ReasonTimeout)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("two polls with a timeout of 200ms took %s", took)
	}
	if err := s.Thaw(); err != nil {
		t.Fatal(err)
	}
	mustPoll(t, p)
	mustPoll(t, fresh)
}

func TestPollersOfOneServerShareConnections(t *testing.T) {
	_, address := startServer(t)
	builder := beanstalkd.NewBuilder()
	c := connect(t, address)
	var pollers []source.Poller
	for i := range 8 {
		c.say(t, fmt.Sprintf("watch t%d", i), "WATCHING")
		p := open(t, builder, address, fmt.Sprintf("t%d", i))
		mustPoll(t, p)
		pollers = append(pollers, p)
	}
	if got := connections(t, c); got != "2" { // ours and the test's
		t.Errorf("the server has %s connections, want 2", got)
	}
	for _, p := range pollers {
		p.Close()
		p.Close() // closing twice is closing once
	}
	brokertest.Eventually(t, "the end of the connections", func() error {
		if got := connections(t, c); got != "1" {
			return fmt.Errorf("the server has %s connections, want 1", got)
		}
		return nil
	})
}

// connections is the number of connections that the server has.
func connections(t *testing.T, c *client) string {
	t.Helper()
	c.say(t, "stats", "OK")
	found := ""
	for {
		line, err := c.reader.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if count, ok := strings.CutPrefix(line, "current-connections: "); ok {
			found = strings.TrimSpace(count)
		}
		if line == "\r\n" { // the end of the data
			return found
		}
	}
}

func TestPollEndsWithItsContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	p := open(t, beanstalkd.NewBuilder(), listener.Addr().String(), "orders")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	var ours *source.Error
	if _, err := p.Poll(ctx); !errors.As(err, &ours) {
		t.Fatalf("a poll that was ended gave %v", err)
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		spec v1alpha1.BeanstalkdSource
		want string
	}{
		"no address":       {v1alpha1.BeanstalkdSource{Tube: "t"}, "must be host:port"},
		"no port":          {v1alpha1.BeanstalkdSource{Address: "h"}, "must be host:port"},
		"no number":        {v1alpha1.BeanstalkdSource{Address: "h:beanstalk"}, "must be host:port"},
		"too high a port":  {v1alpha1.BeanstalkdSource{Address: "h:70000"}, "must be host:port"},
		"another command":  {v1alpha1.BeanstalkdSource{Address: "h:1", Tube: "t\r\nkick 100"}, "no name of a tube"},
		"two names":        {v1alpha1.BeanstalkdSource{Address: "h:1", Tube: "a b"}, "no name of a tube"},
		"a leading hyphen": {v1alpha1.BeanstalkdSource{Address: "h:1", Tube: "-a"}, "no name of a tube"},
		"too long":         {v1alpha1.BeanstalkdSource{Address: "h:1", Tube: strings.Repeat("a", 201)}, "no name of a tube"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := build(t, beanstalkd.NewBuilder(), test.spec); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want one with %q", err, test.want)
			}
		})
	}
	q, err := build(t, beanstalkd.NewBuilder(), v1alpha1.BeanstalkdSource{Address: "h:11300", Tube: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := q.String()+"; "+source.ServerOf(q), "beanstalkd orders at h:11300; beanstalkd at h:11300"; got != want {
		t.Errorf("the query is called %q, want %q", got, want)
	}
}
