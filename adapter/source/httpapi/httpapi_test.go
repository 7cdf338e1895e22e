package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/adapter/source/httpapi"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

const secret = "correct-horse-battery"

// auths are the two ways to authenticate, by name.
func auths(t *testing.T) map[string]httpapi.Auth {
	t.Helper()
	key := v1alpha1.SecretKey{Name: "s", Key: "password"}
	out := map[string]httpapi.Auth{}
	for name, auth := range map[string]*v1alpha1.HTTPAuth{
		"none": nil, "basic": {Basic: &v1alpha1.BasicAuth{Username: key, Password: key}}, "bearer": {Bearer: &key},
	} {
		r := access.NewReader(t.Context(), brokertest.Secrets{"s/password": secret})
		if out[name] = httpapi.ReadAuth(r, auth); r.Err() != nil {
			t.Fatal(r.Err())
		}
	}
	return out
}

// serve runs a server until the test ends.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

func get(t *testing.T, c *httpapi.Client, address string) (httpapi.Document, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return c.Get(ctx, address, http.Header{"Accept": {"application/json"}})
}

// wantReason wants an error of a reason that shows no credential.
func wantReason(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("it succeeded, want %s", want)
	}
	reason, message := source.ReasonOf(err)
	if reason != want || strings.Contains(message, secret) {
		t.Errorf("got %s: %s, want %s", reason, message, want)
	}
}

func TestGet(t *testing.T) {
	for name, auth := range auths(t) {
		t.Run(name, func(t *testing.T) {
			seen := make(chan http.Header, 1)
			address := serve(t, func(w http.ResponseWriter, r *http.Request) {
				seen <- r.Header
				w.Header().Set("X-Test", "yes")
				w.WriteHeader(http.StatusTeapot)
				_, _ = io.WriteString(w, "tea")
			})
			before := time.Now()
			d, err := get(t, httpapi.New(auth, access.TLS{}), address)
			if err != nil {
				t.Fatal(err)
			}
			if d.Status != http.StatusTeapot || string(d.Body) != "tea" || d.Header.Get("X-Test") != "yes" {
				t.Errorf("the document is %d %q", d.Status, d.Body)
			}
			if d.Sent.Before(before.Add(-time.Millisecond)) || d.Received.Before(d.Sent) || time.Now().Before(d.Received) {
				t.Errorf("sent at %s, received at %s", d.Sent, d.Received)
			}
			r := &http.Request{Header: <-seen}
			user, password, basic := r.BasicAuth()
			bearer := r.Header.Get("Authorization") == "Bearer "+secret
			if basic != (name == "basic") || bearer != (name == "bearer") || (basic && (user != secret || password != secret)) {
				t.Errorf("the request authenticates with %q", r.Header.Get("Authorization"))
			}
			if r.Header.Get("Accept") != "application/json" || !strings.HasPrefix(r.Header.Get("User-Agent"), "quartet-metrics-adapter/") {
				t.Errorf("the request's headers are %v", r.Header)
			}
		})
	}
}

// TestNothingShowsCredentials prints what holds them.
func TestNothingShowsCredentials(t *testing.T) {
	for name, auth := range auths(t) {
		client := httpapi.New(auth, access.TLS{})
		transport := httpapi.NewTransport(httpapi.TransportConfig{Auth: auth})
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			for _, value := range []any{auth, &auth, client, *client, transport, struct{ auth httpapi.Auth }{auth}} {
				if text := fmt.Sprintf(format, value); strings.Contains(text, secret) {
					t.Errorf("%s of %T with %s shows a credential", format, value, name)
				}
			}
		}
		if name != "none" && strings.Contains(auth.Digest(), secret) {
			t.Errorf("the digest of %s shows a credential", name)
		}
	}
	all := auths(t)
	if all["basic"].Digest() == all["bearer"].Digest() || all["none"].Digest() == all["bearer"].Digest() {
		t.Error("two ways to authenticate have one digest")
	}
}

// TestRedirectsAreNotFollowed sends the client elsewhere: nobody there hears of it.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var heard atomic.Int32
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { heard.Add(1) })
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		address := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere+"/x", status) })
		d, err := get(t, httpapi.New(auths(t)["bearer"], access.TLS{}), address)
		if err != nil || d.Status != status {
			t.Fatalf("got %d with error %v, want %d as it is", d.Status, err, status)
		}
		wantReason(t, d.Refusal(address), source.ReasonFailed)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := (&http.Client{Transport: httpapi.NewTransport(httpapi.TransportConfig{Auth: auths(t)["bearer"]})}).Do(request)
		if err == nil {
			_ = response.Body.Close()
		}
		wantReason(t, err, source.ReasonFailed)
	}
	if heard.Load() != 0 {
		t.Errorf("%d requests went elsewhere", heard.Load())
	}
}

func TestRefusal(t *testing.T) {
	got := map[int]string{}
	for _, status := range []int{200, 204, 301, 400, 401, 403, 404, 429, 500, 503} {
		reason := ""
		if err := (httpapi.Document{Status: status, Body: []byte(secret)}).Refusal("http://h:1/x?token=" + secret); err != nil {
			var message string
			if reason, message = source.ReasonOf(err); strings.Contains(message, secret) || !strings.Contains(message, "http://h:1") {
				t.Errorf("the message is %q", message)
			}
		}
		got[status] = reason
	}
	failed, refused := source.ReasonFailed, source.ReasonUnauthorized
	want := map[int]string{200: "", 204: failed, 301: failed, 400: failed, 401: refused, 403: refused, 404: failed, 429: failed, 500: failed, 503: failed}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

// TestLinkLocalIsRefused asks for where clouds give out credentials, also by a
// name.
func TestLinkLocalIsRefused(t *testing.T) {
	c := httpapi.New(httpapi.Auth{}, access.TLS{})
	for _, address := range []string{
		"http://169.254.169.254/latest/meta-data/", "http://[fe80::1%25lo]/", "http://[::ffff:169.254.169.254]/", "http://0xa9.0xfe.0xa9.0xfe/",
	} {
		began := time.Now()
		_, err := get(t, c, address)
		wantReason(t, err, source.ReasonUnreachable)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s was tried for %s", address, took)
		}
		if strings.Contains(address, "169.254") && (err == nil || !strings.Contains(err.Error(), "link-local")) {
			t.Errorf("%s failed with %v, want it not to be asked", address, err)
		}
	}
}

// TestAnswersOfCaches are as old as the cache says; caches are asked for no answer of
// their own.
func TestAnswersOfCaches(t *testing.T) {
	seen := make(chan string, 1)
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Get("Cache-Control")
		w.Header().Set("Age", r.URL.Query().Get("age"))
	})
	for age, want := range map[string]time.Duration{"": 0, "90": 90 * time.Second, "soon": 0, "-1": 0, "18446744073709551615": 100 * 365 * 24 * time.Hour} {
		d, err := get(t, httpapi.New(httpapi.Auth{}, access.TLS{}), address+"/?age="+age)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Received.Sub(d.Sent); got < want || got > want+10*time.Second {
			t.Errorf("with Age %q the document was sent %s before it came, want %s", age, got, want)
		}
		if got := <-seen; got != "no-cache" {
			t.Errorf("Cache-Control is %q", got)
		}
	}
}

// TestWhole tells answers whose length is known from those that end with the
// connection.
func TestWhole(t *testing.T) {
	for name, test := range map[string]struct {
		head string
		want bool
	}{
		"a length":  {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n7", true},
		"in chunks": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n7\r\n0\r\n\r\n", true},
		"neither":   {"HTTP/1.0 200 OK\r\n\r\n7", false},
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, test.head)
			_ = c.Close()
		}()
		d, err := get(t, httpapi.New(httpapi.Auth{}, access.TLS{}), "http://"+listener.Addr().String())
		if err != nil || string(d.Body) != "7" || d.Whole != test.want {
			t.Errorf("%s: whole %t, body %q, error %v", name, d.Whole, d.Body, err)
		}
		_ = listener.Close()
	}
}

// TestRecordsHideWhatIsSaidAgain asks a server that answers with what it was told.
func TestRecordsHideWhatIsSaidAgain(t *testing.T) {
	for name, auth := range auths(t) {
		address := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("Authorization")) })
		var recorder source.Recorder
		d, err := httpapi.New(auth, access.TLS{}).Get(source.WithRecorder(t.Context(), &recorder), address, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, said, _ := strings.Cut(string(d.Body), " ")
		for _, reply := range recorder.Take() {
			if said != "" && strings.Contains(string(reply.Body), said) {
				t.Errorf("%s: the record shows %s", name, reply.Body)
			}
		}
	}
}

func TestDocumentsAreBounded(t *testing.T) {
	size := httpapi.MaxBody
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		block := []byte(strings.Repeat("x", 1<<16))
		for left := size; left > 0; left -= len(block) {
			_, _ = w.Write(block[:min(left, len(block))])
		}
	})
	c := httpapi.New(httpapi.Auth{}, access.TLS{})
	if d, err := get(t, c, address); err != nil || len(d.Body) != httpapi.MaxBody {
		t.Errorf("a document of the greatest size gives %d bytes with error %v", len(d.Body), err)
	}
	size++
	_, err := get(t, c, address)
	wantReason(t, err, source.ReasonBadReply)

	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	response, err := httpapi.NewTransport(httpapi.TransportConfig{}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, response.Body)
	wantReason(t, err, source.ReasonBadReply)
	if n > httpapi.MaxBody {
		t.Errorf("%d bytes were given", n)
	}
	_ = response.Body.Close()
}

// TestTimeouts asks servers that stop in the middle.
func TestTimeouts(t *testing.T) {
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	for name, handler := range map[string]http.HandlerFunc{
		"before the answer": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-ended:
			case <-r.Context().Done():
			}
		},
		"in the body": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-ended:
			case <-r.Context().Done():
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			began := time.Now()
			_, err := httpapi.New(auths(t)["bearer"], access.TLS{}).Get(ctx, serve(t, handler), nil)
			wantReason(t, err, source.ReasonTimeout)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	_ = listener.Close()
	secured := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(secured.Close)
	secured.Config.ErrorLog = nil
	cut := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
	})
	for name, test := range map[string]struct{ address, want string }{
		"nobody listens":    {"http://" + closed + "/?password=" + secret, source.ReasonUnreachable},
		"unknown authority": {secured.URL + "/?password=" + secret, source.ReasonTLS},
		"cut off":           {cut, source.ReasonUnreachable},
		"no URL":            {"http://h:x/", source.ReasonInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := get(t, httpapi.New(auths(t)["basic"], access.TLS{}), test.address)
			wantReason(t, err, test.want)
		})
	}
}

func TestProxiesAreNotUsed(t *testing.T) {
	var heard atomic.Int32
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { heard.Add(1) })
	t.Setenv("HTTP_PROXY", proxy)
	t.Setenv("http_proxy", proxy)
	_, err := get(t, httpapi.New(auths(t)["bearer"], access.TLS{}), "http://nowhere.invalid/")
	wantReason(t, err, source.ReasonUnreachable)
	if heard.Load() != 0 {
		t.Error("a proxy of the environment was asked")
	}
}

func TestAddresses(t *testing.T) {
	for address, good := range map[string]bool{
		"http://h:8080": true, "https://h/x?y=z": true, "": false, "h:8080": false, "ftp://h": false, "http://": false,
		"http://user:" + secret + "@h": false, "http://user@h": false, "http://h:x": false,
	} {
		err := httpapi.CheckURL("spec.source.http.url", address)
		if (err == nil) != good {
			t.Errorf("%q gives %v, good is %t", address, err, good)
		}
		if err != nil {
			wantReason(t, err, source.ReasonInvalid)
		}
	}
	if got := httpapi.Server("https://user:" + secret + "@h:1/x?token=" + secret); got != "https://h:1" {
		t.Errorf("the server is called %q", got)
	}
	if got := httpapi.Server("://"); got != "the server" {
		t.Errorf("what is no URL is called %q", got)
	}
	got := []string{httpapi.Join("http://h/", "/a", nil), httpapi.Join("http://h", "/a", url.Values{"q": {"x y"}})}
	if diff := cmp.Diff([]string{"http://h/a", "http://h/a?q=x+y"}, got); diff != "" {
		t.Error(diff)
	}
}
