package redis_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

func TestServerThatIsAwayComesBack(t *testing.T) {
	s := start(t, nil)
	s.makeStream(t, "orders", 5)
	s.take(t, "orders", 2, 1)
	p := open(t, stream(s.Address(), "orders"), nil)
	before := mustPoll(t, p)

	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, p, pollTimeout, source.ReasonUnreachable)
	wantFailure(t, p, pollTimeout, source.ReasonUnreachable)
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	var after query.Reading
	eventually(t, "the poller recovers", func() (err error) {
		after, err = poll(t, p, pollTimeout)
		return err
	})
	if diff := cmp.Diff(numbers(before), numbers(after)); diff != "" {
		t.Errorf("after the restart (-before +after):\n%s", diff)
	}
	if after.Epoch == before.Epoch {
		t.Error("counters of a server that was started again have the epoch of those before")
	}
}

func TestSlowServerTimesOutAndRecovers(t *testing.T) {
	s := start(t, nil)
	p := open(t, list(s.Address(), "jobs"), nil)
	mustPoll(t, p)
	fresh := open(t, list(s.Address(), "jobs"), nil)
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]source.Poller{"connected": p, "not connected": fresh} {
		// It stops a moment after it was told to.
		eventually(t, "the "+name+" poller fails", func() error {
			began := time.Now()
			_, err := poll(t, p, 200*time.Millisecond)
			if reason, _ := source.ReasonOf(err); err == nil || reason != source.ReasonTimeout {
				return fmt.Errorf("the poll ended with %v", err)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("%s: a poll with a timeout of 200ms took %s", name, took)
			}
			return nil
		})
	}
	if err := s.Thaw(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []source.Poller{p, fresh} {
		eventually(t, "the poller recovers", func() error { _, err := poll(t, p, time.Second); return err })
	}
}

func TestPollEndsWithItsContext(t *testing.T) {
	p := open(t, list(fake(t, func(net.Conn) {}), "jobs"), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Poll(ctx); err == nil {
		t.Fatal("a poll that was ended succeeded")
	}
}

// fake is a server of our own that does with each connection what serve does.
func fake(t testing.TB, serve func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			go serve(c)
		}
	}()
	return listener.Addr().String()
}

// answering answers each command of a connection, by its first word.
func answering(answers map[string]string) func(net.Conn) {
	return func(c net.Conn) {
		in := bufio.NewScanner(c)
		for in.Scan() {
			switch word := strings.ToUpper(in.Text()); {
			case answers[word] != "":
				_, _ = c.Write([]byte(answers[word]))
			case word == "CLIENT":
				_, _ = c.Write([]byte("-NOPERM no names\r\n"))
			}
		}
	}
}

func TestGarbage(t *testing.T) {
	const hello = "*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n"
	good := func(exec string) map[string]string {
		return map[string]string{
			"HELLO": hello, "MULTI": "+OK\r\n", "TIME": "+QUEUED\r\n", "INFO": "+QUEUED\r\n", "LLEN": "+QUEUED\r\n", "EXEC": exec,
		}
	}
	const moment = "*2\r\n$10\r\n1700000000\r\n$1\r\n5\r\n"
	const who = "$12\r\nrun_id:abcde\r\n" + "$11\r\nrole:master\r\n"
	for name, test := range map[string]struct {
		serve func(net.Conn)
		want  string
	}{
		"a server of HTTP":        {func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }, source.ReasonBadReply},
		"a great length":          {answering(map[string]string{"HELLO": "$9223372036854775806\r\n"}), source.ReasonBadReply},
		"a great list":            {answering(map[string]string{"HELLO": "*2000000000\r\n"}), source.ReasonBadReply},
		"lists without end":       {answering(map[string]string{"HELLO": strings.Repeat("*1\r\n", 100)}), source.ReasonBadReply},
		"a version not asked for": {answering(map[string]string{"HELLO": "%1\r\n+a\r\n+b\r\n"}), source.ReasonBadReply},
		"a good one":              {answering(good("*4\r\n" + moment + who + ":3\r\n")), ""},
		"a nil transaction":       {answering(good("*-1\r\n")), source.ReasonBadReply},
		"too few replies":         {answering(good("*1\r\n:1\r\n")), source.ReasonBadReply},
		"a length that is text":   {answering(good("*4\r\n" + moment + who + "$1\r\nx\r\n")), source.ReasonBadReply},
		"a negative length":       {answering(good("*4\r\n" + moment + who + ":-3\r\n")), source.ReasonBadReply},
		"no role":                 {answering(good("*4\r\n" + moment + "$1\r\n\n\r\n$1\r\n\n\r\n:3\r\n")), source.ReasonBadReply},
		"no time":                 {answering(good("*4\r\n:1\r\n" + who + ":3\r\n")), source.ReasonBadReply},
		"a connection cut":        {func(c net.Conn) { _ = c.Close() }, source.ReasonUnreachable},
		"too many connections":    {func(c net.Conn) { _, _ = c.Write([]byte("-ERR max number of clients reached\r\n")); _ = c.Close() }, source.ReasonUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, list(fake(t, test.serve), "jobs"), nil)
			if test.want == "" {
				mustPoll(t, p) // so that the others fail for what they are about
				return
			}
			wantFailure(t, p, time.Second, test.want)
		})
	}
}

func TestGarbageAsEvents(t *testing.T) {
	for name, answer := range map[string]string{
		"an empty list":       "*0\r\n",
		"a kind that is none": "*3\r\n:1\r\n:2\r\n:3\r\n",
		"a short message":     "*1\r\n$7\r\nmessage\r\n",
		"a channel of no use": "*3\r\n$7\r\nmessage\r\n:1\r\n:1\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			address := fake(t, answering(map[string]string{
				"HELLO": "*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n", "CONFIG": "-NOPERM no\r\n", "SUBSCRIBE": answer,
			}))
			_, ended := watch(t, list(address, "jobs"), nil)
			wantEnd(t, ended, source.ReasonBadReply)
		})
	}
}
