package peer

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/util/cert"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// adapter is a server in the place of a peer, with a certificate of its Service's
// name, that answers as a test says.
type adapter struct {
	answer   http.HandlerFunc
	requests atomic.Int32
	peer     *Peer
	set      *Set
	clock    *clocktesting.FakeClock
	token    string
	ca       string
	server   *httptest.Server
	seen     map[string]int
}

func (a *adapter) Asked(_, result string, _ time.Duration) { a.seen[result]++ }

func newAdapter(t *testing.T, extra string) *adapter {
	t.Helper()
	a := &adapter{clock: clocktesting.NewFakeClock(epoch), seen: map[string]int{}}
	a.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.requests.Add(1)
		a.answer(w, r)
	}))
	a.server.StartTLS()
	t.Cleanup(a.server.Close)
	dir := t.TempDir()
	a.ca, a.token = filepath.Join(dir, "ca.crt"), filepath.Join(dir, "token")
	// The certificate of httptest is for example.com.
	raw := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw})
	for path, content := range map[string][]byte{a.ca: raw, a.token: []byte("first\n")} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(extra, "timeout=") {
		extra += ",timeout=200ms"
	}
	rule, err := ParseRule("name=other,service=default/other,metrics=^s,token-file=" + a.token + extra)
	if err != nil {
		t.Fatal(err)
	}
	a.set, err = NewSet([]Rule{rule}, Config{
		Clock: a.clock, Observer: a,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, a.server.Listener.Addr().String())
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	a.peer = a.set.peers[0]
	return a
}

// reason asks for a metric and gives "value at time" or the reason of the error.
func (a *adapter) reason(t *testing.T) string {
	t.Helper()
	list, err := a.peer.Get(t.Context(), "shop", "s0-depth", "a=b")
	var failure *Error
	switch {
	case errors.As(err, &failure):
		if strings.Contains(failure.Message, "first") || strings.Contains(failure.Message, "second") {
			t.Errorf("the token is in %q", failure.Message)
		}
		return failure.Reason
	case err != nil:
		t.Fatalf("an error of another type: %v", err)
	}
	return fmt.Sprintf("%s at %s", list.Items[0].Value.String(), list.Items[0].Timestamp.UTC().Format(time.TimeOnly))
}

func write(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

func refuse(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); _, _ = w.Write([]byte(body)) }
}

const good = `{"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1","items":[
	{"metricName":"s0-depth","metricLabels":{"a":"b"},"timestamp":"2026-03-01T11:50:00Z","value":"7"}]}`

func TestAnswers(t *testing.T) {
	status := `{"kind":"Status","status":"Failure","message":"no such scaler","code":%d}`
	for name, test := range map[string]struct {
		extra  string
		answer http.HandlerFunc
		want   string
	}{
		"a value with its own time":  {answer: write(good), want: "7 at 11:50:00"},
		"young enough":               {extra: ",max-age=10m", answer: write(good), want: "7 at 11:50:00"},
		"too old":                    {extra: ",max-age=9m", answer: write(good), want: ReasonStale},
		"without a time":             {extra: ",max-age=9m", answer: write(`{"kind":"ExternalMetricValueList","items":[{"value":"7"}]}`), want: ReasonStale},
		"an empty list":              {answer: write(`{"kind":"ExternalMetricValueList","items":[]}`), want: ReasonEmpty},
		"a sample without a value":   {answer: write(`{"kind":"ExternalMetricValueList","items":[{"value":"7"},{"metricName":"s0-depth"}]}`), want: ReasonEmpty},
		"a value that is null":       {answer: write(`{"kind":"ExternalMetricValueList","items":[{"value":null}]}`), want: ReasonEmpty},
		"no JSON":                    {answer: write("<html>"), want: ReasonBadReply},
		"another kind":               {answer: write(`{"kind":"PodList","items":[]}`), want: ReasonBadReply},
		"a value that is none":       {answer: write(`{"kind":"ExternalMetricValueList","items":[{"value":"many"}]}`), want: ReasonBadReply},
		"too much":                   {answer: write(strings.Repeat(" ", maxBody+2)), want: ReasonBadReply},
		"not found":                  {answer: refuse(404, fmt.Sprintf(status, 404)), want: ReasonNotFound},
		"not found by somebody else": {answer: refuse(404, "page not found"), want: ReasonFailed},
		"forbidden":                  {answer: refuse(403, fmt.Sprintf(status, 403)), want: ReasonRefused},
		"a failure":                  {answer: refuse(500, fmt.Sprintf(status, 500)), want: ReasonFailed},
		"a redirect": {answer: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example", http.StatusFound)
		}, want: ReasonFailed},
		"slow": {answer: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, want: ReasonTimeout},
		"cut off": {answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{"))
		}, want: ReasonUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			timeout := "20s" // an answer comes, however slow the machine is
			if test.want == ReasonTimeout {
				timeout = "200ms"
			}
			a := newAdapter(t, ",insecure-skip-verify=true,timeout="+timeout+test.extra)
			a.answer = test.answer
			if got := a.reason(t); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestNothingOfTheCallersIsSent holds the request to what it is to be.
func TestNothingOfTheCallersIsSent(t *testing.T) {
	a := newAdapter(t, ",insecure-skip-verify=true")
	var got []string
	a.answer = func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method+" "+r.Host+" "+r.URL.String())
		for name := range r.Header {
			switch name {
			case "Accept", "Accept-Encoding", "User-Agent":
			default:
				got = append(got, name+": "+r.Header.Get(name))
			}
		}
		write(good)(w, r)
	}
	a.reason(t)
	want := []string{
		"GET other.default.svc:443 /apis/external.metrics.k8s.io/v1beta1/namespaces/shop/s0-depth?labelSelector=a%3Db",
		"Authorization: Bearer first",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// In a path these mean another metric than the one that the caller may read.
func TestNamesThatArePathsAreNotPassedOn(t *testing.T) {
	a := newAdapter(t, ",insecure-skip-verify=true")
	a.answer = write(good)
	for _, name := range []string{".", ".."} {
		for _, asked := range [][2]string{{"shop", name}, {name, "s0-depth"}} {
			_, err := a.peer.Get(t.Context(), asked[0], asked[1], "")
			var failure *Error
			if !errors.As(err, &failure) || failure.Reason != ReasonNotFound || a.requests.Load() != 0 {
				t.Errorf("%v gave %v after %d requests", asked, err, a.requests.Load())
			}
		}
	}
}

func TestTheTokenIsReadAgain(t *testing.T) {
	a := newAdapter(t, ",insecure-skip-verify=true")
	token := ""
	a.answer = func(w http.ResponseWriter, r *http.Request) {
		if token = r.Header.Get("Authorization"); token == "Bearer second" {
			write(good)(w, r)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	}
	if got := a.reason(t); got != ReasonRefused {
		t.Errorf("got %s", got)
	}
	if err := os.WriteFile(a.token, []byte("second"), 0o600); err != nil {
		t.Fatal(err)
	}
	// At once, since it was refused.
	if got := a.reason(t); got != "7 at 11:50:00" {
		t.Errorf("got %s with %s", got, token)
	}
	if err := os.Remove(a.token); err != nil {
		t.Fatal(err)
	}
	a.clock.Step(time.Hour)
	if got := a.reason(t); got != "7 at 11:50:00" {
		t.Errorf("without the file: %s", got)
	}
}

// TestTheCertificateHasToBeTheServices: the server's is for example.com, so it is
// refused by name although its CA is trusted.
func TestTheCertificateHasToBeTheServices(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.crt")
	strange, _, err := cert.GenerateSelfSignedCertKey("other.default.svc", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ca, strange, 0o600); err != nil {
		t.Fatal(err)
	}
	a := newAdapter(t, ",ca-file="+ca)
	a.answer = write(good)
	_, err = a.peer.Get(t.Context(), "shop", "s0-depth", "")
	if err == nil || !strings.Contains(err.Error(), "peer other (Service default/other): it was not reached: tls: failed to verify certificate") {
		t.Errorf("by another CA: %v", err)
	}
	raw, err := os.ReadFile(a.ca)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ca, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	a.clock.Step(time.Minute)
	_, err = a.peer.Get(t.Context(), "shop", "s0-depth", "")
	if err == nil || !strings.Contains(err.Error(), "not other.default.svc") {
		t.Errorf("by its CA, under another name: %v", err)
	}
}

func TestFaultsOfTheStart(t *testing.T) {
	rule, err := ParseRule("name=a,service=a/b,metrics=x,insecure-skip-verify=true")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Clock: clock.RealClock{}}
	if _, err := NewSet([]Rule{rule}, cfg); err == nil || !strings.Contains(err.Error(), "give token-file") {
		t.Errorf("without a token: %v", err)
	}
	rule.CAFile, rule.Insecure = filepath.Join(t.TempDir(), "ca"), false
	if err := os.WriteFile(rule.CAFile, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Token = "fixed"
	if _, err := NewSet([]Rule{rule}, cfg); err == nil || !strings.Contains(err.Error(), "holds no PEM certificate") {
		t.Errorf("without a certificate: %v", err)
	}
	var none *Set
	if none.Find("a", "x") != nil || none.Names() != nil {
		t.Error("the nil Set has peers")
	}
}
