package rabbitmq_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/rabbitmq"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// answering is a management API that gives one answer to everything.
func answering(t *testing.T, status int, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestAnswersThatAreNoFigures(t *testing.T) {
	const figures = `"messages":1,"messages_ready":1,"messages_unacknowledged":0`
	for name, test := range map[string]struct {
		body, want string
	}{
		"no JSON":              {`<html>`, source.ReasonBadReply},
		"nothing":              {``, source.ReasonBadReply},
		"an empty list":        {`[]`, source.ReasonBadReply},
		"null":                 {`null`, source.ReasonBadReply},
		"another queue":        {`{"name":"r","state":"running",` + figures + `}`, source.ReasonBadReply},
		"a negative count":     {`{"name":"q","state":"running","messages":-1,"messages_ready":1,"messages_unacknowledged":0}`, source.ReasonBadReply},
		"a count that is text": {`{"name":"q","state":"running","messages":"1","messages_ready":1,"messages_unacknowledged":0}`, source.ReasonBadReply},
		"counters that are no": {`{"name":"q","state":"running","message_stats":7,` + figures + `}`, source.ReasonBadReply},
		"no figures":           {`{"name":"q","state":"running"}`, "QueueNotCounted"},
		"figures left out":     {`{"name":"q","state":"running","messages":0}`, "QueueNotCounted"},
		"figures of null":      {`{"name":"q","state":"running","messages":null,"messages_ready":null,"messages_unacknowledged":null}`, "QueueNotCounted"},
		"no state":             {`{"name":"q",` + figures + `}`, "QueueNotCounted"},
		"a queue that is down": {`{"name":"q","state":"down"}`, "QueueUnavailable"},
		"old figures":          {`{"name":"q","state":"down",` + figures + `}`, "QueueUnavailable"},
		"a queue that crashed": {`{"name":"q","state":"crashed",` + figures + `}`, "QueueUnavailable"},
		"too few of a quorum":  {`{"name":"q","state":"minority",` + figures + `}`, "QueueUnavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			url := answering(t, http.StatusOK, test.body)
			wantFailure(t, open(t, v1alpha1.RabbitMQSource{URL: url, Queue: "q"}, nil), pollTimeout, test.want)
			if !strings.HasPrefix(test.body, "{") {
				wantFailure(t, open(t, v1alpha1.RabbitMQSource{URL: url, QueuePattern: "q"}, nil), pollTimeout, source.ReasonBadReply)
				return
			}
			list := answering(t, http.StatusOK, `{"items":[`+test.body+`],"page":1,"page_count":1,"filtered_count":1}`)
			spec := v1alpha1.RabbitMQSource{URL: list, QueuePattern: "q|r"}
			if name == "another queue" {
				mustPoll(t, open(t, spec, nil))
				return
			}
			wantFailure(t, open(t, spec, nil), pollTimeout, test.want)
		})
	}
	t.Run("an error of the server's", func(t *testing.T) {
		url := answering(t, http.StatusInternalServerError, `{"error":"boom"}`)
		wantFailure(t, open(t, v1alpha1.RabbitMQSource{URL: url, Queue: "q"}, nil), pollTimeout, source.ReasonFailed)
	})
}

func TestAServerThatDoesNotSpeakAMQP(t *testing.T) {
	for name, test := range map[string]struct{ says, want string }{
		"another protocol":      {"HTTP/1.1 400 Bad Request\r\n\r\n", source.ReasonBadReply},
		"another version of it": {"AMQP\x00\x01\x00\x00", source.ReasonBadReply},
		"nothing":               {"", source.ReasonUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
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
					hello := make([]byte, 8)
					_, _ = c.Read(hello)
					_, _ = c.Write([]byte(test.says))
					_ = c.Close()
				}
			}()
			spec := v1alpha1.RabbitMQSource{URL: "amqp://" + listener.Addr().String(), Queue: "q"}
			wantFailure(t, open(t, spec, nil), pollTimeout, test.want)
		})
	}
}

// listing is a management API with many queues, each with one message. Change is
// called before each page is given.
func listing(t *testing.T, queues int, change func(page, queues int) int) (url string, requests *atomic.Int32) {
	t.Helper()
	requests = &atomic.Int32{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		number, _ := strconv.Atoi(r.URL.Query().Get("page"))
		size, _ := strconv.Atoi(r.URL.Query().Get("page_size"))
		queues = change(number, queues)
		pages := (queues + size - 1) / size
		if number > max(1, pages) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		var items []string
		for i := (number - 1) * size; i < min(queues, number*size); i++ {
			items = append(items, fmt.Sprintf(`{"name":"q%d","node":"n","state":"running","messages":1,"messages_ready":1,"messages_unacknowledged":0}`, i))
		}
		_, _ = fmt.Fprintf(w, `{"items":[%s],"page":%d,"page_count":%d,"filtered_count":%d}`, strings.Join(items, ","), number, pages, queues)
	}))
	t.Cleanup(s.Close)
	return s.URL, requests
}

func TestPages(t *testing.T) {
	steady := func(_, queues int) int { return queues }
	for name, test := range map[string]struct {
		queues   int
		change   func(page, queues int) int
		want     float64
		requests int32
		reason   string
	}{
		"none":           {0, steady, 0, 1, ""},
		"one full page":  {500, steady, 500, 1, ""},
		"several pages":  {1201, steady, 1201, 3, ""},
		"one less, once": {1001, func(page, n int) int { return map[bool]int{true: 1000, false: n}[page == 2] }, 1000, 4, ""},
		"a page is gone": {501, func(page, n int) int { return map[bool]int{true: 500, false: n}[page == 2] }, 500, 3, ""},
		"never the same": {1001, func(_, n int) int { return n + 1 }, 0, 6, "QueuesChanging"},
		"too many":       {50_001, steady, 0, 100, source.ReasonFailed},
	} {
		t.Run(name, func(t *testing.T) {
			url, requests := listing(t, test.queues, test.change)
			p := open(t, v1alpha1.RabbitMQSource{URL: url, QueuePattern: "q[0-9]+"}, nil)
			if test.reason != "" {
				wantFailure(t, p, pollTimeout, test.reason)
			} else if g := mustPoll(t, p).Gauges[query.Depth]; g.Value != test.want || (g.Presence == query.Empty) != (test.want == 0) {
				t.Errorf("depth is %+v, want %v", g, test.want)
			}
			if got := requests.Load(); got != test.requests {
				t.Errorf("%d requests, want %d", got, test.requests)
			}
		})
	}
}

func TestPatternsMatchWholeNames(t *testing.T) {
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("name"))
		_, _ = w.Write([]byte(`{"items":[
			{"name":"mail","state":"running","messages":1,"messages_ready":1,"messages_unacknowledged":0},
			{"name":"mail.dead","state":"running","messages":10,"messages_ready":10,"messages_unacknowledged":0},
			{"name":"my mail","state":"running","messages":100,"messages_ready":100,"messages_unacknowledged":0},
			{"name":"sms","state":"running","messages":1000,"messages_ready":1000,"messages_unacknowledged":0}
		],"page":1,"page_count":1,"filtered_count":4}`))
	}))
	defer s.Close()
	for pattern, want := range map[string]float64{"mail": 1, "mail|sms": 1001, "mail.*": 11, ".*mail": 101, "(?i)SMS": 1000} {
		r := mustPoll(t, open(t, v1alpha1.RabbitMQSource{URL: s.URL, QueuePattern: pattern}, nil))
		if g := r.Gauges[query.Depth]; g.Value != want {
			t.Errorf("%s: depth is %+v, want %v", pattern, g, want)
		}
	}
	slices.Sort(asked)
	if want := []string{"", "", "", "mail", "mail"}; !slices.Equal(asked, want) {
		t.Errorf("the broker was asked for names with %q, want %q", asked, want)
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.RabbitMQSource)
		want   string // within the message
	}{
		"password in the URL": {func(s *v1alpha1.RabbitMQSource) { s.URL = "amqp://u:hunter22@h:5672" }, "holds a user or password"},
		"no URL":              {func(s *v1alpha1.RabbitMQSource) { s.URL = "h" }, "no URL"},
		"another scheme":      {func(s *v1alpha1.RabbitMQSource) { s.URL = "nats://h" }, "must begin with"},
		"virtual host in URL": {func(s *v1alpha1.RabbitMQSource) { s.URL = "amqp://h/shop" }, "goes into vhost"},
		"a query":             {func(s *v1alpha1.RabbitMQSource) { s.URL = "http://h?a=b" }, "query or a fragment"},
		"pattern over AMQP":   {func(s *v1alpha1.RabbitMQSource) { s.Queue, s.QueuePattern = "", "a" }, "needs the management API"},
		"no queue":            {func(s *v1alpha1.RabbitMQSource) { s.Queue = "" }, "exactly one"},
		"both":                {func(s *v1alpha1.RabbitMQSource) { s.QueuePattern = "a" }, "exactly one"},
		"no expression":       {func(s *v1alpha1.RabbitMQSource) { s.URL, s.Queue, s.QueuePattern = "http://h", "", "(" }, "no regular expression"},
		"an open quotation":   {func(s *v1alpha1.RabbitMQSource) { s.URL, s.Queue, s.QueuePattern = "http://h", "", `\Qa` }, "no regular expression"},
		"plain with TLS":      {func(s *v1alpha1.RabbitMQSource) { s.TLS = &v1alpha1.TLS{} }, "tls needs"},
		"no Secret":           {func(s *v1alpha1.RabbitMQSource) { s.Credentials = reader() }, "Secret rabbitmq does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := v1alpha1.RabbitMQSource{URL: "amqp://h:5672", Queue: "q"}
			test.change(&spec)
			_, err := build(t, rabbitmq.NewBuilder(), spec, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want one with %q", err, test.want)
			}
			if strings.Contains(err.Error(), "hunter22") {
				t.Errorf("the error shows a credential: %v", err)
			}
		})
	}
}

func TestKeysAndTexts(t *testing.T) {
	base := v1alpha1.RabbitMQSource{URL: "amqp://h:5672", VHost: "shop", Queue: "q", Credentials: reader()}
	of := func(s v1alpha1.RabbitMQSource) source.Query {
		t.Helper()
		q, err := build(t, rabbitmq.NewBuilder(), s, secrets)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	first, again := of(base), of(base)
	if first.Key() != again.Key() || first.Subject() != again.Subject() {
		t.Error("one question has two keys")
	}
	other := base
	other.Credentials = &v1alpha1.BasicAuth{Username: key("user"), Password: key("other")}
	if q := of(other); q.Key() == first.Key() || q.Subject() != first.Subject() {
		t.Error("other credentials must give another key and the same subject")
	}
	other = base
	other.VHost = "/"
	if q := of(other); q.Key() == first.Key() || q.Subject() == first.Subject() {
		t.Error("queues of two virtual hosts must have two keys and two subjects")
	}
	for _, text := range []string{first.String(), fmt.Sprintf("%v %+v %#v", first, first, first), first.Key(), first.Subject()} {
		if strings.Contains(text, password) {
			t.Errorf("a text shows a credential: %s", text)
		}
	}
	if got, want := first.String(), "rabbitMQ q of vhost shop at amqp://h:5672"; got != want {
		t.Errorf("the query is called %q, want %q", got, want)
	}
	if got, want := source.ServerOf(first), "rabbitMQ at amqp://h:5672"; got != want {
		t.Errorf("the server is called %q, want %q", got, want)
	}
}

// TestSamplesAreAsOldAsFiguresCanBe holds a sample's time to what the object says
// of the broker.
func TestSamplesAreAsOldAsFiguresCanBe(t *testing.T) {
	url := answering(t, http.StatusOK, `{"name":"q","state":"running","messages":1,"messages_ready":1,"messages_unacknowledged":0}`)
	for name, test := range map[string]struct {
		says *metav1.Duration
		want time.Duration
	}{
		"nothing":     {nil, 10 * time.Second},
		"two seconds": {&metav1.Duration{Duration: 2 * time.Second}, 2 * time.Second},
		"no time":     {&metav1.Duration{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, v1alpha1.RabbitMQSource{URL: url, Queue: "q", StatisticsAge: test.says}, nil)
			before := time.Now().Round(0)
			at := mustPoll(t, p).At.Add(test.want)
			if at.Before(before) || at.After(time.Now()) {
				t.Errorf("the sample is of %s, want %s before the poll", at.Add(-test.want), test.want)
			}
		})
	}
}
