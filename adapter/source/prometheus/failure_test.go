package prometheus_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

// checkProxy asks through what stores of many tenants have in front.
func checkProxy(t *testing.T, address string) {
	const token = "correct-horse-battery"
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(to)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer "+token:
			http.Error(w, r.Header.Get("Authorization"), http.StatusUnauthorized)
		case r.Header.Get("X-Scope-OrgID") != "shop":
			http.Error(w, `{"status":"error","errorType":"bad_data","error":"no org id, `+token+`"}`, http.StatusBadRequest)
		case r.Method != http.MethodGet:
			http.Error(w, "readers only get", http.StatusForbidden)
		default:
			r.URL.Path = strings.TrimPrefix(r.URL.Path, "/tenants")
			forward.ServeHTTP(w, r)
		}
	}))
	defer proxy.Close()
	bearer := &v1alpha1.HTTPAuth{Bearer: &v1alpha1.SecretKey{Name: "prometheus", Key: "token"}}
	for name, test := range map[string]struct {
		token, tenant, reason string
	}{
		"token and tenant": {token + "\n", "shop", ""},
		"wrong token":      {"wrong-horse-battery", "shop", source.ReasonUnauthorized},
		"no tenant":        {token, "", "QueryRefused"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := spec("sum(queue_depth)", proxy.URL+"/tenants/")
			asked.Auth = bearer
			if test.tenant != "" {
				asked.Headers = map[string]string{"X-Scope-OrgID": test.tenant}
			}
			secrets := brokertest.Secrets{"prometheus/token": test.token}
			p := open(t, asked, secrets)
			if test.reason == "" {
				if got := mustPoll(t, p).Gauges[query.Value].Value; got != 50 {
					t.Errorf("the value is %g", got)
				}
				return
			}
			noSecrets(t, wantFailure(t, p, pollTimeout, test.reason), secrets)
		})
	}
}

func checkSlow(t *testing.T, url string, server *brokers.Server) {
	p := open(t, spec("sum(queue_depth)", url), nil)
	mustPoll(t, p)
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Thaw(); err != nil {
			t.Error(err)
		}
		await(t, p)
	}()
	// The signal may take a moment to reach every thread.
	brokertest.Eventually(t, "the server stands still", func() error {
		if _, err := poll(t, p, 300*time.Millisecond); err == nil {
			return errors.New("it still answers")
		}
		return nil
	})
	wantFailure(t, p, 300*time.Millisecond, source.ReasonTimeout)
	wantFailure(t, open(t, spec("sum(queue_depth)", url, url+"/"), nil), 300*time.Millisecond, source.ReasonTimeout)
	other := httptest.NewServer(http.HandlerFunc(sevenOfNow))
	defer other.Close()
	r, err := poll(t, open(t, spec("vector(7)", url, other.URL), nil), 2*time.Second)
	if err != nil || r.Gauges[query.Value] != query.NumberOf(7) {
		t.Errorf("the second server does not answer for the first: %+v, %v", r.Gauges, err)
	}
}

// sevenOfNow answers a query with the number 7.
func sevenOfNow(w http.ResponseWriter, _ *http.Request) { seven(w, "") }

// seven answers a query with the number 7, and with members beside it.
func seven(w http.ResponseWriter, beside string) {
	_, _ = fmt.Fprintf(w, `{"status":"success",%s"data":{"resultType":"vector","result":[{"metric":{},"value":[%d,"7"]}]}}`, beside, time.Now().Unix())
}

func checkDeath(t *testing.T, url string, server *brokers.Server) {
	p := open(t, spec("sum(queue_depth)", url), nil)
	mustPoll(t, p)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, p, pollTimeout, source.ReasonUnreachable)
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, p)
}

// TestSecured asks a server that wants a password and a client's certificate.
func TestSecured(t *testing.T) {
	t.Parallel()
	const password = "correct-horse-battery"
	dir := t.TempDir()
	ours, other := brokertest.NewAuthority(t, dir), brokertest.NewAuthority(t, t.TempDir())
	pair, client := ours.Server(t), ours.Client(t, "reader")
	settings, _ := startServer(t, startTarget(t, "queue_depth 3\n"), func(p *brokers.Prometheus) {
		p.User, p.Password = "reader", password
		p.CAPath, p.CertificatePath, p.KeyPath = ours.CAPath, pair.CertificatePath, pair.KeyPath
		p.ClientCertificates, p.ClientPath, p.ClientKeyPath = true, client.CertificatePath, client.KeyPath
	})
	key := func(name string) *v1alpha1.SecretKey { return &v1alpha1.SecretKey{Name: "p", Key: name} }
	basic := &v1alpha1.HTTPAuth{Basic: &v1alpha1.BasicAuth{Username: *key("user"), Password: *key("password")}}
	mutual := v1alpha1.TLS{CA: key("ca"), ClientCertificate: key("cert"), ClientKey: key("key")}
	good := brokertest.Secrets{
		"p/user": "reader", "p/password": password, "p/ca": ours.CA, "p/cert": client.Certificate, "p/key": client.Key,
	}
	with := func(name, value string) brokertest.Secrets {
		changed := brokertest.Secrets{}
		for k, v := range good {
			changed[k] = v
		}
		changed[name] = value
		return changed
	}
	for name, test := range map[string]struct {
		auth    *v1alpha1.HTTPAuth
		tls     v1alpha1.TLS
		secrets brokertest.Secrets
		reason  string
	}{
		"all right":             {basic, mutual, good, ""},
		"wrong password":        {basic, mutual, with("p/password", "wrong-horse-battery"), source.ReasonUnauthorized},
		"no password":           {nil, mutual, good, source.ReasonUnauthorized},
		"another authority":     {basic, mutual, with("p/ca", other.CA), source.ReasonTLS},
		"the system's":          {basic, v1alpha1.TLS{}, good, source.ReasonTLS},
		"another server's name": {basic, v1alpha1.TLS{CA: key("ca"), ServerName: "elsewhere"}, good, source.ReasonTLS},
	} {
		t.Run(name, func(t *testing.T) {
			asked := spec("vector(3)", settings.URL())
			asked.Auth, asked.TLS = test.auth, &test.tls
			p := open(t, asked, test.secrets)
			if test.reason == "" {
				mustPoll(t, p)
				return
			}
			noSecrets(t, wantFailure(t, p, pollTimeout, test.reason), test.secrets)
		})
	}
	t.Run("no certificate", func(t *testing.T) {
		asked := spec("vector(3)", settings.URL())
		asked.Auth, asked.TLS = basic, &v1alpha1.TLS{CA: key("ca")}
		// The server hangs up, and whether its reason comes through is a race of it.
		_, err := poll(t, open(t, asked, good), pollTimeout)
		if reason, message := source.ReasonOf(err); reason != source.ReasonTLS && reason != source.ReasonUnreachable {
			t.Errorf("reason %s: %s", reason, message)
		}
	})
}

func TestGarbage(t *testing.T) {
	vector := func(samples string) string {
		return `{"status":"success","data":{"resultType":"vector","result":[` + samples + `]}}`
	}
	for name, test := range map[string]struct {
		status       int
		body, reason string
	}{
		"a page":                {200, "<html>", source.ReasonBadReply},
		"nothing":               {200, "", source.ReasonBadReply},
		"null":                  {200, "null", source.ReasonBadReply},
		"an empty object":       {200, "{}", source.ReasonBadReply},
		"no data":               {200, `{"status":"success"}`, source.ReasonBadReply},
		"another type":          {200, `{"status":"success","data":{"resultType":"table","result":[]}}`, source.ReasonBadReply},
		"a value of no kind":    {200, vector(`{"metric":{},"value":[1600000000,"many"]}`), source.ReasonBadReply},
		"a sample that is null": {200, vector(`null`), source.ReasonBadReply},
		"a histogram":           {200, vector(`{"metric":{},"histogram":[1600000000,{"count":"1","sum":"2","buckets":[]}]}`), source.ReasonBadReply},
		"half a reply":          {200, `{"status":"success","data":{"resultType":"vec`, source.ReasonBadReply},
		"too much":              {200, strings.Repeat(" ", 17<<20), source.ReasonBadReply},
		"elsewhere":             {302, "", source.ReasonFailed},
		"no such path":          {404, "no such path", source.ReasonFailed},
		"not ready":             {503, "Service Unavailable", source.ReasonFailed},
		"given up":              {503, `{"status":"error","errorType":"timeout","error":"query timed out"}`, source.ReasonTimeout},
		"an error of 200":       {200, `{"status":"error","errorType":"execution","error":"too many samples"}`, "QueryRefused"},
		"forbidden":             {403, "secret words", source.ReasonUnauthorized},
		"refused, no reason":    {400, "<html>", source.ReasonFailed},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://127.0.0.1:1/")
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			}))
			defer server.Close()
			message := wantFailure(t, open(t, spec("up", server.URL), nil), pollTimeout, test.reason)
			if strings.Contains(message, "secret words") || len(message) > 500 {
				t.Errorf("the message repeats what the server said: %s", message)
			}
		})
	}
}

func TestNotHTTP(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("220 smtp\r\n\x00\x01"))
			_ = c.Close()
		}
	}()
	wantFailure(t, open(t, spec("up", "http://"+listener.Addr().String()), nil), pollTimeout, source.ReasonUnreachable)
	wantFailure(t, open(t, spec("up", "https://"+listener.Addr().String()), nil), pollTimeout, source.ReasonTLS)
}

func TestMetadataOfMachinesIsNotAsked(t *testing.T) {
	message := wantFailure(t, open(t, spec("up", "http://169.254.169.254"), nil), pollTimeout, source.ReasonUnreachable)
	if !strings.Contains(message, "link-local") {
		t.Error(message)
	}
}

// TestPartialRepliesAreNoValues refuses numbers that lack the data of stores that
// did not answer, and takes those whose warnings are about the query. Another server
// of the same data may have all.
func TestPartialRepliesAreNoValues(t *testing.T) {
	for name, test := range map[string]struct {
		beside string
		want   query.Gauge
	}{
		"no warning":            {``, query.NumberOf(7)},
		"Thanos":                {`"warnings":["No StoreAPIs matched for this query","receive series from 10.0.0.1: context deadline exceeded"],`, query.Gauge{}},
		"a remote read":         {`"warnings":["remote_read: connection refused"],`, query.Gauge{}},
		"about the query":       {`"warnings":["PromQL warning: quantile value should be between 0 and 1, got 2"],"infos":["PromQL info: x"],`, query.NumberOf(7)},
		"VictoriaMetrics":       {`"isPartial":true,`, query.Gauge{}},
		"VictoriaMetrics whole": {`"isPartial":false,`, query.NumberOf(7)},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { seven(w, test.beside) }))
			defer server.Close()
			p := open(t, spec("vector(7)", server.URL), nil)
			if test.want.Presence == query.Number {
				if got := mustPoll(t, p).Gauges[query.Value]; got != test.want {
					t.Errorf("the value is %+v", got)
				}
				return
			}
			wantFailure(t, p, pollTimeout, "PartialReply")
			other := httptest.NewServer(http.HandlerFunc(sevenOfNow))
			defer other.Close()
			if got := mustPoll(t, open(t, spec("vector(7)", server.URL, other.URL), nil)).Gauges[query.Value]; got != query.NumberOf(7) {
				t.Errorf("of a pair the value is %+v", got)
			}
		})
	}
}

// TestAServerThatKnowsNoTimestamps refuses what the object's author has not written.
func TestAServerThatKnowsNoTimestamps(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Query().Get("query"), "timestamp(") {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"status":"error","errorType":"bad_data","error":"unknown function timestamp"}`)
			return
		}
		sevenOfNow(w, r)
	}))
	defer server.Close()
	message := wantFailure(t, open(t, spec("up", server.URL), nil), pollTimeout, "NoSampleTime")
	if !strings.Contains(message, "set sampledAt") || !strings.Contains(message, "unknown function timestamp") {
		t.Error(message)
	}
	given := spec("up", server.URL)
	given.SampledAt = "time()"
	if r := mustPoll(t, open(t, given, nil)); r.At.After(time.Now().Add(-24 * time.Hour)) {
		t.Errorf("the server says that the data are of the 7th second of 1970, and the reading %s", r.At)
	}
}
