package httpsource_test

import (
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	httpsource "github.com/quartet-autoscaling/quartet/adapter/source/http"
	"github.com/quartet-autoscaling/quartet/adapter/source/httpapi"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

func value(g query.Gauge) map[query.Kind]query.Gauge {
	return map[query.Kind]query.Gauge{query.Value: g}
}

func TestReadsADocument(t *testing.T) {
	s, at, _ := serve(t, "127.0.0.1:0", depth(0), nil)
	p := open(t, nil, request(v1alpha1.HTTPSource{URL: "http://" + at + "/stats?queue=orders", JSONPath: "{.depth}"}, nil))
	before := time.Now()
	reading := mustPoll(t, p)
	if diff := cmp.Diff(value(query.NumberOf(0)), reading.Gauges); diff != "" {
		t.Errorf("an empty queue (-want +got):\n%s", diff)
	}
	if reading.At.Before(before.Add(-time.Millisecond)) || reading.At.After(time.Now()) {
		t.Errorf("measured at %s, outside of the poll", reading.At)
	}
	if diff := cmp.Diff([]string{"/stats?queue=orders"}, s.paths); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
	s.answer(depth(7))
	if diff := cmp.Diff(value(query.NumberOf(7)), mustPoll(t, p).Gauges); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.answer(text("application/json", `{"other":7}`))
	if diff := cmp.Diff(value(query.Gauge{Presence: query.Empty}), mustPoll(t, p).Gauges); diff != "" {
		t.Errorf("no such queue (-want +got):\n%s", diff)
	}
}

// TestManyObjectsShareConnections polls many documents of one server, one after the
// other, over one connection; the last poller that is closed ends it. Those with
// other credentials have another.
func TestManyObjectsShareConnections(t *testing.T) {
	var open, made atomic.Int32
	running := httptest.NewUnstartedServer(depth(1))
	running.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
			made.Add(1)
		case http.StateClosed:
			open.Add(-1)
		default:
		}
	}
	running.Start()
	t.Cleanup(running.Close)
	builder := httpsource.NewBuilder(nil)
	ask := func(spec v1alpha1.HTTPSource, secrets brokertest.Secrets) source.Poller {
		q, err := builder.Build(t.Context(), request(spec, secrets))
		if err != nil {
			t.Fatal(err)
		}
		p, err := q.Open()
		if err != nil {
			t.Fatal(err)
		}
		mustPoll(t, p)
		return p
	}
	var pollers []source.Poller
	for i := range 50 {
		pollers = append(pollers, ask(v1alpha1.HTTPSource{URL: fmt.Sprintf("%s/%d", running.URL, i), JSONPath: "{.depth}"}, nil))
	}
	if n := made.Load(); n != 1 {
		t.Errorf("50 objects made %d connections, want 1", n)
	}
	pollers = append(pollers, ask(v1alpha1.HTTPSource{
		URL: running.URL, JSONPath: "{.depth}", Auth: &v1alpha1.HTTPAuth{Bearer: &v1alpha1.SecretKey{Name: "s", Key: "token"}},
	}, brokertest.Secrets{"s/token": secret}))
	if n := made.Load(); n != 2 {
		t.Errorf("objects of two credentials made %d connections, want 2", n)
	}
	for _, p := range pollers {
		p.Close()
		p.Close()
	}
	brokertest.Eventually(t, "the end of all connections", func() error {
		if n := open.Load(); n != 0 {
			return fmt.Errorf("%d are open", n)
		}
		return nil
	})
}

func TestReadsASeries(t *testing.T) {
	measured := time.Now().Add(-time.Hour).UTC().Round(time.Millisecond)
	body := fmt.Sprintf("queue_depth{queue=\"orders\"} 5 %d\nqueue_depth{queue=\"mails\"} NaN\n", measured.UnixMilli())
	var accepts atomic.Value
	_, at, _ := serve(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		accepts.Store(r.Header.Get("Accept"))
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		w.Header().Set("Content-Encoding", "gzip")
		zipped := gzip.NewWriter(w)
		_, _ = io.WriteString(zipped, body)
		_ = zipped.Close()
	}, nil)
	reading := mustPoll(t, open(t, nil, request(v1alpha1.HTTPSource{URL: "http://" + at, OpenMetrics: `queue_depth{queue="orders"}`}, nil)))
	want := query.Reading{At: measured, Gauges: value(query.NumberOf(5))}
	if diff := cmp.Diff(want, reading); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if asked, _ := accepts.Load().(string); !strings.HasPrefix(asked, "text/plain") {
		t.Errorf("asked for %q", asked)
	}
	reading = mustPoll(t, open(t, nil, request(v1alpha1.HTTPSource{URL: "http://" + at, OpenMetrics: `queue_depth{queue="mails"}`}, nil)))
	if diff := cmp.Diff(value(query.Gauge{Presence: query.NotANumber}), reading.Gauges); diff != "" {
		t.Errorf("not a number (-want +got):\n%s", diff)
	}
}

func TestServerThatIsAwayComesBack(t *testing.T) {
	_, at, stop := serve(t, "127.0.0.1:0", depth(3), nil)
	p := open(t, nil, request(v1alpha1.HTTPSource{URL: "http://" + at, JSONPath: "{.depth}"}, nil))
	mustPoll(t, p)
	stop()
	wantFailure(t, p, pollTimeout, source.ReasonUnreachable)
	serve(t, at, depth(4), nil)
	if diff := cmp.Diff(value(query.NumberOf(4)), mustPoll(t, p).Gauges); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSlowServerTimesOut(t *testing.T) {
	stalled := func(before string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, before)
			if before != "" {
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
		}
	}
	for name, handler := range map[string]http.HandlerFunc{
		"that does not begin": stalled(""), "that does not end": stalled(`{"depth":`),
	} {
		t.Run(name, func(t *testing.T) {
			s, at, _ := serve(t, "127.0.0.1:0", handler, nil)
			p := open(t, nil, request(v1alpha1.HTTPSource{URL: "http://" + at, JSONPath: "{.depth}"}, nil))
			began := time.Now()
			wantFailure(t, p, 200*time.Millisecond, source.ReasonTimeout)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("a poll with a timeout of 200ms took %s", took)
			}
			s.answer(depth(1))
			mustPoll(t, p)
		})
	}
}

func TestRefusals(t *testing.T) {
	var elsewhere atomic.Bool
	_, other, _ := serve(t, "127.0.0.1:0", func(http.ResponseWriter, *http.Request) { elsewhere.Store(true) }, nil)
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		reason  string
	}{
		"not found":    {http.NotFound, source.ReasonFailed},
		"forbidden":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, source.ReasonUnauthorized},
		"fails":        {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, secret, http.StatusInternalServerError) }, source.ReasonFailed},
		"no content":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, source.ReasonFailed},
		"a redirect":   {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "http://"+other, http.StatusFound) }, source.ReasonFailed},
		"no JSON":      {text("text/html", "<html>"+secret), source.ReasonBadReply},
		"another type": {text("application/json", `{"depth":"`+secret+`"}`), source.ReasonBadReply},
		"huge": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.CopyN(w, endless{}, httpapi.MaxBody+2)
		}, source.ReasonBadReply},
		"hangs up": {func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, source.ReasonUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			_, at, _ := serve(t, "127.0.0.1:0", test.handler, nil)
			spec := v1alpha1.HTTPSource{URL: "http://" + at + "/?token=" + secret, JSONPath: "{.depth}"}
			wantFailure(t, open(t, nil, request(spec, nil)), pollTimeout, test.reason)
		})
	}
	if elsewhere.Load() {
		t.Error("a redirect was followed")
	}
}

// endless is a document without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestCredentials(t *testing.T) {
	_, at, _ := serve(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if (user != "reader" || password != secret) && r.Header.Get("Authorization") != "Bearer "+secret {
			http.Error(w, r.Header.Get("Authorization"), http.StatusUnauthorized)
			return
		}
		depth(3)(w, r)
	}, nil)
	key := func(key string) v1alpha1.SecretKey { return v1alpha1.SecretKey{Name: "http", Key: key} }
	basic := &v1alpha1.HTTPAuth{Basic: &v1alpha1.BasicAuth{Username: key("user"), Password: key("password")}}
	token := key("token")
	bearer := &v1alpha1.HTTPAuth{Bearer: &token}
	for name, test := range map[string]struct {
		auth    *v1alpha1.HTTPAuth
		secrets brokertest.Secrets
		reason  string
	}{
		"right password": {basic, brokertest.Secrets{"http/user": "reader", "http/password": secret}, ""},
		"wrong password": {basic, brokertest.Secrets{"http/user": "reader", "http/password": secret + "x"}, source.ReasonUnauthorized},
		"right token":    {bearer, brokertest.Secrets{"http/token": secret + "\n"}, ""},
		"wrong token":    {bearer, brokertest.Secrets{"http/token": secret + "x"}, source.ReasonUnauthorized},
		"none":           {nil, nil, source.ReasonUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			spec := v1alpha1.HTTPSource{URL: "http://" + at, JSONPath: "{.depth}", Auth: test.auth}
			q, err := httpsource.NewBuilder(nil).Build(t.Context(), request(spec, test.secrets))
			if err != nil {
				t.Fatal(err)
			}
			if shown := fmt.Sprintf("%v %+v %#v %s", q, q, q, q.Key()); strings.Contains(shown, secret) {
				t.Errorf("the query shows a credential: %s", shown)
			}
			p, err := q.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if test.reason == "" {
				mustPoll(t, p)
				return
			}
			wantFailure(t, p, pollTimeout, test.reason)
		})
	}
}

func TestTLS(t *testing.T) {
	authority, strangers := brokertest.NewAuthority(t, t.TempDir()), brokertest.NewAuthority(t, t.TempDir())
	own := authority.Server(t)
	pair, err := tls.X509KeyPair([]byte(own.Certificate), []byte(own.Key))
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM([]byte(authority.CA))
	_, oneWay, _ := serve(t, "127.0.0.1:0", depth(3), &tls.Config{Certificates: []tls.Certificate{pair}})
	_, mutual, _ := serve(t, "127.0.0.1:0", depth(3), &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	})
	client := authority.Client(t, "adapter")
	secrets := brokertest.Secrets{
		"tls/ca": authority.CA, "tls/strangers": strangers.CA, "tls/crt": client.Certificate, "tls/key": client.Key,
	}
	key := func(name string) *v1alpha1.SecretKey { return &v1alpha1.SecretKey{Name: "tls", Key: name} }
	for name, test := range map[string]struct {
		url, reason string
		tls         *v1alpha1.TLS
	}{
		"right authority":              {"https://" + oneWay, "", &v1alpha1.TLS{CA: key("ca")}},
		"another authority":            {"https://" + oneWay, source.ReasonTLS, &v1alpha1.TLS{CA: key("strangers")}},
		"the system's authorities":     {"https://" + oneWay, source.ReasonTLS, nil},
		"another name":                 {"https://" + oneWay, source.ReasonTLS, &v1alpha1.TLS{CA: key("ca"), ServerName: "elsewhere"}},
		"plain to a server of TLS":     {"http://" + oneWay, source.ReasonFailed, nil},
		"mutual":                       {"https://" + mutual, "", &v1alpha1.TLS{CA: key("ca"), ClientCertificate: key("crt"), ClientKey: key("key")}},
		"mutual without a certificate": {"https://" + mutual, source.ReasonTLS, &v1alpha1.TLS{CA: key("ca")}},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, nil, request(v1alpha1.HTTPSource{URL: test.url, JSONPath: "{.depth}", TLS: test.tls}, secrets))
			if test.reason == "" {
				mustPoll(t, p)
				return
			}
			brokertest.Eventually(t, "the failure is "+test.reason, func() error {
				_, err := poll(t, p, pollTimeout)
				if reason, message := source.ReasonOf(err); reason != test.reason {
					return fmt.Errorf("got reason %s (%s)", reason, message)
				}
				return nil
			})
		})
	}
}
