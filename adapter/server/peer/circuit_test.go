package peer

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCircuit(t *testing.T) {
	a := newAdapter(t, ",insecure-skip-verify=true")
	alive := false
	a.answer = func(w http.ResponseWriter, r *http.Request) {
		if !alive {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		write(good)(w, r)
	}
	for range breakAfter {
		if got := a.reason(t); got != ReasonFailed {
			t.Fatalf("got %s", got)
		}
	}
	if got := a.reason(t); got != ReasonLeftAlone || a.requests.Load() != breakAfter {
		t.Errorf("got %s after %d requests", got, a.requests.Load())
	}
	text, err := a.set.Check().Func(t.Context())
	if err != nil || !strings.Contains(text, "other does not answer since 2026-03-01T12:00:00Z") {
		t.Errorf("readiness: %s, %v", text, err)
	}
	// One request sees whether it is back; it is not.
	a.clock.Step(brokenFor)
	if got := a.reason(t); got != ReasonFailed || a.requests.Load() != breakAfter+1 {
		t.Errorf("got %s after %d requests", got, a.requests.Load())
	}
	if got := a.reason(t); got != ReasonLeftAlone {
		t.Errorf("got %s", got)
	}
	alive = true
	a.clock.Step(brokenFor)
	for range 2 {
		if got := a.reason(t); got != "7 at 11:50:00" {
			t.Errorf("got %s", got)
		}
	}
	if diff := cmp.Diff(map[string]int{ReasonFailed: 4, ReasonLeftAlone: 2, "success": 2}, a.seen); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
}

// TestRefusalsDoNotBreakTheCircuit: one metric that fails harms no other.
func TestRefusalsDoNotBreakTheCircuit(t *testing.T) {
	a := newAdapter(t, ",insecure-skip-verify=true")
	a.answer = refuse(500, `{"kind":"Status","message":"scaler failed"}`)
	for range 3 * breakAfter {
		if got := a.reason(t); got != ReasonFailed {
			t.Fatalf("got %s", got)
		}
	}
	if n := a.requests.Load(); n != 3*breakAfter {
		t.Errorf("%d requests", n)
	}
}

func TestACallerWhoLeavesSaysNothingOfThePeer(t *testing.T) {
	a := newAdapter(t, ",insecure-skip-verify=true")
	a.answer = write(good)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	for range 2 * breakAfter {
		if _, err := a.peer.Get(ctx, "shop", "s0-depth", ""); err == nil {
			t.Fatal("an answer to nobody")
		}
	}
	if got := a.reason(t); got != "7 at 11:50:00" {
		t.Errorf("got %s", got)
	}
}

// A peer that hangs must not fill the room that requests for our own metrics need.
func TestASlowPeerHoldsFewRequests(t *testing.T) {
	a := newAdapter(t, ",insecure-skip-verify=true")
	a.peer.Timeout = time.Minute
	release := make(chan struct{})
	a.answer = func(w http.ResponseWriter, r *http.Request) {
		<-release
		write(good)(w, r)
	}
	const asked = 3 * maxWaiting
	ended := make(chan error, asked)
	for range asked {
		go func() {
			_, err := a.peer.get(t.Context(), "shop", "s0-depth", "")
			ended <- err
		}()
	}
	for range asked - maxWaiting {
		var failure *Error
		if err := <-ended; !errors.As(err, &failure) || failure.Reason != ReasonBusy {
			t.Fatalf("got %v while the peer hangs, want %s", err, ReasonBusy)
		}
	}
	close(release)
	for range maxWaiting {
		if err := <-ended; err != nil {
			t.Errorf("one that waited got %v", err)
		}
	}
}

func TestNamesAreThoseListedLast(t *testing.T) {
	a := newAdapter(t, ",insecure-skip-verify=true")
	a.answer = write(`{"kind":"APIResourceList","groupVersion":"external.metrics.k8s.io/v1beta1","resources":[
		{"name":"s1-b"},{"name":"s0-a"},{"name":"externalmetrics"},{"name":"s0-a"}]}`)
	if err := a.peer.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"s0-a", "s1-b"}
	if diff := cmp.Diff(want, a.set.Names()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, answer := range []http.HandlerFunc{write("{}"), write("no"), refuse(503, "")} {
		a.answer = answer
		if err := a.peer.list(t.Context()); err == nil {
			t.Error("no error")
		}
		if diff := cmp.Diff(want, a.set.Names()); diff != "" {
			t.Errorf("after a failure (-want +got):\n%s", diff)
		}
	}
}

// TestRunLastsAsLongAsItsContext: the process ends with the first of its parts.
func TestRunLastsAsLongAsItsContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- (&Set{}).Run(ctx) }()
	select {
	case err := <-ended:
		t.Fatalf("Run() of no peers returned: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
