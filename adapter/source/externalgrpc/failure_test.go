package externalgrpc_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/externalgrpc"
	"github.com/quartet-autoscaling/quartet/adapter/source/externalgrpc/externalscaler"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

func TestErrorsOfTheScaler(t *testing.T) {
	s := &scaler{}
	address, _ := serve(t, listen(t, ""), s)
	spec := v1alpha1.ExternalGRPCSource{Address: address, MetricName: "jobs"}
	value, active := open(t, request(spec, nil, query.Value)), open(t, request(spec, nil, externalgrpc.Active))
	for code, reason := range map[codes.Code]string{
		codes.Unauthenticated:  source.ReasonUnauthorized,
		codes.PermissionDenied: source.ReasonUnauthorized,
		codes.Unimplemented:    "NotAnExternalScaler",
		codes.Unavailable:      source.ReasonUnreachable,
		codes.DeadlineExceeded: source.ReasonTimeout,
		codes.InvalidArgument:  "ScalerFailed",
		codes.NotFound:         "ScalerFailed",
		codes.Internal:         "ScalerFailed",
		codes.Unknown:          "ScalerFailed",
	} {
		t.Run(code.String(), func(t *testing.T) {
			// Scalers do say such things.
			s.set(func(s *scaler) { s.fails = status.Error(code, "cannot log in with password "+secret) })
			for _, p := range []source.Poller{value, active} {
				if message := wantFailure(t, p, pollTimeout, reason); !strings.Contains(message, address) {
					t.Errorf("the message does not name the server: %s", message)
				}
			}
		})
	}
	s.set(func(s *scaler) { s.fails = nil })
	mustPoll(t, value)
}

// raw answers requests over HTTP/2 with what a handler says.
func raw(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	listener := listen(t, "")
	server := &http.Server{Handler: handler, Protocols: &http.Protocols{}}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().String()
}

// replies is a handler that frames a message as gRPC does.
func replies(message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = io.WriteString(w, "\x00\x00\x00\x00"+string(rune(len(message)))+message)
		w.Header().Set("Grpc-Status", "0")
	}
}

// says accepts connections and says the same to each.
func says(t *testing.T, text string) string {
	t.Helper()
	listener := listen(t, "")
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, text)
			_ = c.Close()
		}
	}()
	return listener.Addr().String()
}

func TestGarbage(t *testing.T) {
	other, _ := serve(t, listen(t, ""), nil)
	large, _ := serve(t, listen(t, ""), &scaler{values: []*externalscaler.MetricValue{{MetricName: strings.Repeat("x", 5<<20)}}})
	for name, test := range map[string]struct{ address, reason string }{
		"nobody listens":             {"127.0.0.1:1", source.ReasonUnreachable},
		"another service of gRPC":    {other, "NotAnExternalScaler"},
		"a reply that is too large":  {large, source.ReasonBadReply},
		"a server of HTTP/1":         {says(t, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), source.ReasonBadReply},
		"a server of something else": {says(t, "+OK welcome to a server that speaks a protocol of its own\r\n"), source.ReasonBadReply},
		"a server that hangs up":     {says(t, ""), source.ReasonUnreachable},
		"a web page": {raw(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html>")
		}), source.ReasonBadReply},
		"a web server without such a page": {raw(t, http.NotFound), "NotAnExternalScaler"},
		"a web server that wants a login": {raw(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
		}), source.ReasonUnauthorized},
		"no message of the protocol": {raw(t, replies("\xff\xff\xff")), source.ReasonBadReply},
		"half of a message": {raw(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			_, _ = io.WriteString(w, "\x00\x00\x00\x00\x09\x0a")
		}), source.ReasonBadReply},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, request(v1alpha1.ExternalGRPCSource{Address: test.address, MetricName: "jobs"}, nil))
			wantSooner(t, p, test.reason)
		})
	}
}

func TestStopsWithItsContext(t *testing.T) {
	s := &scaler{stalls: true}
	address, _ := serve(t, listen(t, ""), s, grpc.MaxConcurrentStreams(1))
	p := open(t, request(v1alpha1.ExternalGRPCSource{Address: address, MetricName: "jobs"}, nil))
	p.Close()
	p.Close() // closing twice is closing once
	wantFailure(t, p, pollTimeout, source.ReasonUnreachable)
}
