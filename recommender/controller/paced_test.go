package controller

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// recording is a paced writer that notes what it wrote and when.
type recording struct {
	*paced[string]
	start time.Time

	wrote []string
	fail  map[string]int
}

func newRecording(perSecond float64, spread time.Duration) *recording {
	r := &recording{start: time.Now(), fail: map[string]int{}}
	r.paced = newPaced(pacedConfig[string]{perSecond: perSecond, spread: spread, workers: 1,
		write: func(_ context.Context, key string) error {
			r.wrote = append(r.wrote, fmt.Sprintf("%s at %s", key, time.Since(r.start)))
			if r.fail[key] > 0 {
				r.fail[key]--
				return errors.New("refused")
			}
			return nil
		}})
	return r
}

func TestPacedWrites(t *testing.T) {
	for name, tc := range map[string]struct {
		perSecond float64
		spread    time.Duration
		setup     func(*recording)
		want      []string
	}{
		"the urgent first, each once": {perSecond: 10, spread: 40 * time.Second, setup: func(r *recording) {
			for _, key := range []string{"a", "b", "c", "a", "b"} {
				r.add(key, false)
			}
			r.add("d", true)
			r.add("c", true)
			r.add("d", false)
		}, want: []string{"d at 0s", "c at 100ms", "a at 200ms", "b at 1.2s"}},
		"the usual are spread": {perSecond: 10, spread: 2 * time.Second, setup: func(r *recording) {
			for _, key := range []string{"a", "b", "c", "d"} {
				r.add(key, false)
			}
		}, want: []string{"a at 0s", "b at 500ms", "c at 1s", "d at 1.5s"}},
		"no more than the limit": {perSecond: 10, setup: func(r *recording) {
			for _, key := range []string{"a", "b", "c"} {
				r.add(key, false)
			}
		}, want: []string{"a at 0s", "b at 100ms", "c at 200ms"}},
		"what fails is tried again, later each time": {perSecond: 10, setup: func(r *recording) {
			r.fail["a"] = 3
			r.add("a", true)
			r.add("b", false)
		}, want: []string{"a at 0s", "b at 100ms", "a at 1s", "a at 3s", "a at 7s"}},
		"what is withdrawn is not written": {perSecond: 10, setup: func(r *recording) {
			r.add("a", true)
			r.add("b", true)
			if !r.withdraw("a") || r.withdraw("a") || r.count() != 1 {
				t.Error("withdraw does not tell whether it waited")
			}
		}, want: []string{"b at 0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecording(tc.perSecond, tc.spread)
				tc.setup(r)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					r.run(ctx, context.WithoutCancel(ctx))
				}()
				time.Sleep(time.Minute)
				synctest.Wait()
				cancel()
				<-done
				if diff := cmp.Diff(tc.want, r.wrote); diff != "" {
					t.Errorf("written (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestPacedWritesBeforeTheEnd: what waits when the work ends is written, for as
// long as there is time.
func TestPacedWritesBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecording(10, time.Hour)
		for i := range 100 {
			r.add(fmt.Sprint(i), false)
		}
		r.add("urgent", true)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		last, stop := context.WithTimeout(context.Background(), 2*time.Second)
		defer stop()
		r.run(ctx, last)
		if n := len(r.wrote); n < 15 || n > 25 || r.wrote[0] != "urgent at 0s" {
			t.Errorf("%d were written within 2 s, the first %q, want about 20 and the urgent one first", n, r.wrote[0])
		}
	})
}

// TestPacedMemory: what was written leaves nothing, and a key that is named for
// ever takes one place.
func TestPacedMemory(t *testing.T) {
	r := newRecording(1e5, 0)
	for range 1000 {
		for i := range 10 {
			r.add(fmt.Sprint(i), i%2 == 0)
		}
	}
	if n := len(r.urgent) + len(r.usual); n != 10 {
		t.Errorf("10 keys take %d places", n)
	}
	drain(t.Context(), r.paced)
	if len(r.waiting)+cap(r.urgent)+cap(r.usual)+r.usuals != 0 {
		t.Errorf("left: %d waiting, room for %d and %d, %d counted", len(r.waiting), cap(r.urgent), cap(r.usual), r.usuals)
	}
}
