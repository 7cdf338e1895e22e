package component

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/health"
	"github.com/quartet-autoscaling/quartet/internal/leader"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/serving"
	"github.com/quartet-autoscaling/quartet/internal/serving/servingtest"
)

// newTestFrame makes a frame on a free port, of which it gives the URL.
func newTestFrame(t *testing.T, kind runtimeflags.Kind) (*Frame, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &Frame{Flags: runtimeflags.New(kind), name: "test"}
	f.server, err = serving.New(serving.Config{
		Name: "test", Options: serving.NewOptions(), Listener: listener, Kubeconfig: servingtest.Start(t, nil).Kubeconfig,
	})
	if err != nil {
		t.Fatal(err)
	}
	if kind == runtimeflags.Acting {
		if f.Elector, err = leader.New(leader.Config{Disabled: true, Identity: "me"}); err != nil {
			t.Fatal(err)
		}
	}
	return f, "https://" + listener.Addr().String()
}

// readiness gives the body of /readyz, "" where nothing answers.
func readiness(url string) string {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	response, err := client.Get(url + "/readyz?verbose")
	if err != nil {
		return ""
	}
	body, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	return string(body)
}

// All parts run at the same time, and what was opened is closed after the last
// has ended.
func TestRunEndsInOrder(t *testing.T) {
	for name, kind := range map[string]runtimeflags.Kind{"acting": runtimeflags.Acting, "serving": runtimeflags.Serving} {
		t.Run(name, func(t *testing.T) {
			f, url := newTestFrame(t, kind)
			var running atomic.Int32
			part := func(ctx context.Context) {
				running.Add(1)
				<-ctx.Done()
				running.Add(-1)
			}
			closing := errors.New("the disk is full")
			build := func(context.Context, *Frame) (Work, error) {
				f.closers = append(f.closers, func() error {
					if n := running.Load(); n != 0 {
						t.Errorf("closed while %d parts run", n)
					}
					return closing
				})
				caches := Caches{{Objects: "pods", Synced: func() bool { return running.Load() == 3 }}}
				checks := []health.Check{caches.Check()}
				if kind == runtimeflags.Acting {
					checks = append(checks, f.LeaderCheck())
				}
				return Work{Background: []func(context.Context){part, part}, Checks: checks, Run: func(ctx context.Context) error {
					part(ctx)
					return nil
				}}, nil
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			ended := make(chan error, 1)
			go func() { ended <- f.run(ctx, build) }()
			servingtest.Eventually(t, "the component is ready", func() bool {
				return strings.Contains(readiness(url), "[+]caches ok\n")
			})
			if body := readiness(url); kind == runtimeflags.Acting && !strings.Contains(body, "[+]leader ok: this replica leads\n") {
				t.Errorf("the readiness does not tell who leads:\n%s", body)
			}
			stop()
			if err := <-ended; !errors.Is(err, closing) {
				t.Errorf("run() = %v, want the error of closing", err)
			}
		})
	}
}

func TestOffBuildsNothing(t *testing.T) {
	f, url := newTestFrame(t, runtimeflags.Acting)
	f.Flags.Mode = runtimeflags.ModeOff
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- f.run(ctx, func(context.Context, *Frame) (Work, error) { return Work{}, errors.New("it was built") })
	}()
	servingtest.Eventually(t, "the port answers", func() bool { return strings.Contains(readiness(url), "readyz check passed") })
	stop()
	if err := <-ended; err != nil {
		t.Errorf("run() = %v", err)
	}
}

func TestFailures(t *testing.T) {
	failure := errors.New("no connection")
	tests := map[string]func(context.Context, *Frame) (Work, error){
		"of building": func(context.Context, *Frame) (Work, error) { return Work{}, failure },
		"of the work": func(context.Context, *Frame) (Work, error) {
			return Work{
				Background: []func(context.Context){func(ctx context.Context) { <-ctx.Done() }},
				Run:        func(context.Context) error { return failure },
			}, nil
		},
	}
	for name, build := range tests {
		t.Run(name, func(t *testing.T) {
			f, _ := newTestFrame(t, runtimeflags.Acting)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			if err := f.run(ctx, build); !errors.Is(err, failure) {
				t.Errorf("run() = %v, want %v", err, failure)
			}
		})
	}
}

func TestCaches(t *testing.T) {
	var pods, nodes atomic.Bool
	caches := Caches{{Objects: "pods", Synced: pods.Load}, {Objects: "nodes", Synced: nodes.Load}}
	var got []string
	say := func() {
		if err := caches.Synced(); err != nil {
			got = append(got, err.Error())
		}
	}
	say()
	pods.Store(true)
	say()
	ended, end := context.WithCancel(t.Context())
	end()
	if caches.Wait(ended) {
		t.Error("Wait() = true though the nodes were never listed")
	}
	nodes.Store(true)
	say()
	if diff := cmp.Diff([]string{"pods are not listed yet", "nodes are not listed yet"}, got); diff != "" {
		t.Errorf("Synced() (-want +got):\n%s", diff)
	}
	if !caches.Wait(t.Context()) {
		t.Error("Wait() = false though all caches are filled")
	}
}

func TestOpenLedger(t *testing.T) {
	type decided = decision.Decision[int32, struct{}]
	f := &Frame{Flags: runtimeflags.New(runtimeflags.Acting), name: "test"}
	w, err := OpenLedger[struct{}, struct{}, decided](f)
	if w != nil || err != nil || len(f.closers) != 0 {
		t.Errorf("without --ledger-dir OpenLedger() = %v, %v", w, err)
	}
	f.Flags.LedgerDir = t.TempDir()
	if w, err = OpenLedger[struct{}, struct{}, decided](f); w == nil || err != nil {
		t.Fatalf("OpenLedger() = %v, %v", w, err)
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(f.Flags.LedgerDir); err != nil || len(files) != 1 || !strings.HasPrefix(files[0].Name(), "test") {
		t.Errorf("the ledger's folder has %v, %v, want one file of the component's name", files, err)
	}
}
