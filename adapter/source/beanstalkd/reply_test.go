package beanstalkd

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

const (
	goodTube = "---\nname: t\ncurrent-jobs-urgent: 0\ncurrent-jobs-ready: 5\ncurrent-jobs-reserved: 1\ncurrent-jobs-delayed: 2\n" +
		"current-jobs-buried: 1\ntotal-jobs: 10\ncurrent-using: 1\ncmd-delete: 1\npause: 0\n"
	goodServer = "---\npid: 7\nversion: \"1.12\"\nid: d7aeeaa298258e61\nos: #1 SMP @0\nhostname: \"a: b\"\n"
)

func ok(data string) string { return fmt.Sprintf("OK %d\r\n%s\r\n", len(data), data) }

// FuzzReply feeds any bytes: what is taken for a reply says a known word.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{
		ok(goodTube), ok(""), "NOT_FOUND\r\n", "OK\r\n", "OK 5\r\nab", "OK 99999999999\r\n", "OK -1\r\n", "OK 1\r\nabc\r\n",
		"NOT_FOUND 1\r\n", "\r\n", "HTTP/1.1 400 Bad Request\r\n", strings.Repeat("a", 1000), "OK 2\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		r, err := readReply(bufio.NewReader(strings.NewReader(raw)))
		if err == nil && (!words[r.word] || len(r.data) > maxData || !strings.HasPrefix(raw, r.word)) {
			t.Fatalf("%q was taken for %+v", raw, r)
		}
	})
}

// FuzzTube feeds any statistics: they are refused with a reason, or have all
// counts.
func FuzzTube(f *testing.F) {
	for _, seed := range []string{
		goodTube, "", "---", "---\n", "---\nname: t\n", "---\nname t\n", strings.Replace(goodTube, "5", "-5", 1),
		strings.Replace(goodTube, "total-jobs: 10", "total-jobs: 99999999999999999999", 1), goodTube + goodTube, goodTube + "name: u\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data string) {
		got, err := parseTube(data, "t")
		if err != nil {
			var ours *source.Error
			if !errors.As(err, &ours) || ours.Reason != source.ReasonBadReply {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		for kind, g := range got.reading(time.Time{}, "").Gauges {
			if g.Presence != query.Number || g.Value < 0 {
				t.Fatalf("%s is %+v", kind, g)
			}
		}
	})
}

// FuzzServer feeds any statistics of a server.
func FuzzServer(f *testing.F) {
	for _, seed := range []string{goodServer, "", "---\nid: \n", "---\npid: 7\n", "---\nid: \"\"\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data string) {
		if id, err := parseServer(data); (id == "") == (err == nil) {
			t.Fatalf("id %q and error %v", id, err)
		}
	})
}

func TestServersName(t *testing.T) {
	if id, err := parseServer(goodServer); err != nil || id != "d7aeeaa298258e61" {
		t.Errorf("the server is called %q (%v)", id, err)
	}
}

// TestGarbage polls a listener that answers with what no beanstalkd says.
func TestGarbage(t *testing.T) {
	for name, test := range map[string]struct{ says, want string }{
		"another protocol":       {"HTTP/1.1 400 Bad Request\r\n\r\n", source.ReasonBadReply},
		"no line at all":         {strings.Repeat("x", 4096), source.ReasonBadReply},
		"nothing":                {"", source.ReasonUnreachable},
		"half a reply":           {"OK 100\r\n---\nname: t\n", source.ReasonUnreachable},
		"more than it says":      {"OK 3\r\n---\nname: t\r\n", source.ReasonBadReply},
		"too much":               {"OK 1000000\r\n", source.ReasonBadReply},
		"no statistics":          {ok("hello") + ok(goodServer), source.ReasonBadReply},
		"another tube":           {ok(strings.Replace(goodTube, "name: t", "name: u", 1)) + ok(goodServer), source.ReasonBadReply},
		"a count is missing":     {ok(strings.Replace(goodTube, "cmd-delete: 1\n", "", 1)) + ok(goodServer), source.ReasonBadReply},
		"a negative count":       {ok(strings.Replace(goodTube, "ready: 5", "ready: -5", 1)) + ok(goodServer), source.ReasonBadReply},
		"a server without an id": {ok(goodTube) + ok("---\npid: 7\n"), source.ReasonBadReply},
		"a command unknown":      {ok(goodTube) + "UNKNOWN_COMMAND\r\n", source.ReasonFailed},
		"out of memory":          {"OUT_OF_MEMORY\r\n" + ok(goodServer), source.ReasonFailed},
	} {
		t.Run(name, func(t *testing.T) {
			p := saying(t, test.says)
			_, err := p.Poll(t.Context())
			if reason, message := source.ReasonOf(err); err == nil || reason != test.want {
				t.Fatalf("the poll gave %v: %s (%s), want %s", err, reason, message, test.want)
			}
		})
	}
	t.Run("what a server says", func(t *testing.T) {
		if _, err := saying(t, ok(goodTube)+ok(goodServer)).Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// saying is a poller of a listener that says one thing to whatever it hears, and
// ends the connection.
func saying(t *testing.T, says string) source.Poller {
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
			_, _ = c.Read(make([]byte, 1024))
			_, _ = c.Write([]byte(says))
			_ = c.Close()
		}
	}()
	q, err := NewBuilder().Build(t.Context(), source.Request{
		Source: v1alpha1.Source{Beanstalkd: &v1alpha1.BeanstalkdSource{Address: listener.Addr().String(), Tube: "t"}},
	})
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
