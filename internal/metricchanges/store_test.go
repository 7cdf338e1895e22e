package metricchanges

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/internal/metricchanges/v1alpha1"
)

func value(v int64) State {
	at := metav1.NewMicroTime(time.Now())
	return State{
		Value: resource.NewQuantity(v, resource.DecimalSI), SampledAt: &at,
		SourceRef: v1alpha1.SourceRef{Kind: "MetricSource", Name: "orders"},
	}
}

func all(*MetricChange) bool { return true }

func begin(t *testing.T, s *Store, o WatchOptions) watch.Interface {
	t.Helper()
	if o.Match == nil {
		o.Match = all
	}
	w, err := s.Watch(o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// told reads what a watch has to tell until it is quiet.
func told(t *testing.T, w watch.Interface) []string {
	t.Helper()
	var out []string
	for {
		synctest.Wait()
		select {
		case e, ok := <-w.ResultChan():
			if !ok {
				return append(out, "end")
			}
			out = append(out, show(e))
		default:
			return out
		}
	}
}

func show(e watch.Event) string {
	c := e.Object.(*MetricChange)
	if e.Type == watch.Bookmark {
		return fmt.Sprint(e.Type, c.Annotations[metav1.InitialEventsAnnotationKey])
	}
	v := c.Reason
	if c.Value != nil {
		v = c.Value.String()
	}
	return fmt.Sprintf("%s %s/%s %s", e.Type, c.Namespace, c.Name, v)
}

func expect(t *testing.T, w watch.Interface, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, told(t, w)); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

var (
	depth = Key{"shop", "depth"}
	rate  = Key{"shop", "rate"}
	other = Key{"bank", "depth"}
)

func TestAWatchTellsWhatIsThereAndWhatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewStore(clock.RealClock{})
		s.Set(depth, value(1))
		s.Set(other, value(5))
		w := begin(t, s, WatchOptions{Anew: true, Bookmarks: true, MarkEnd: true})
		expect(t, w, "ADDED shop/depth 1", "ADDED bank/depth 5", "BOOKMARKtrue")
		s.Set(depth, value(2))
		time.Sleep(time.Second)
		s.Set(other, value(5)) // a new time of the same value
		expect(t, w, "MODIFIED shop/depth 2")
		if got, _ := s.Get(other); !got.SampledAt.Time.Equal(time.Now()) {
			t.Errorf("a read shows time %s, not that of the newest sample", got.SampledAt)
		}
		gone := value(0)
		gone.Value, gone.Reason = nil, "Stale"
		s.Set(depth, gone)
		s.Set(depth, gone)
		expect(t, w, "MODIFIED shop/depth Stale")
		s.Delete(depth)
		s.Delete(depth)
		expect(t, w, "DELETED shop/depth Stale")
		s.Set(depth, value(0))
		expect(t, w, "ADDED shop/depth 0")
		time.Sleep(bookmarkEvery)
		expect(t, w, "BOOKMARK")
		s.Close()
		expect(t, w, "end")
		if _, err := s.Watch(WatchOptions{Match: all, Anew: true}); !apierrors.IsServiceUnavailable(err) {
			t.Errorf("a watch of a store that was closed: %v", err)
		}
	})
}

func TestASlowWatcherIsToldTheNewestOfEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewStore(clock.RealClock{})
		w := begin(t, s, WatchOptions{Anew: true})
		s.Set(depth, value(0))
		synctest.Wait() // the first is on its way now
		for i := range int64(1000) {
			s.Set(depth, value(i))
			s.Set(rate, value(2*i))
		}
		s.Set(other, value(7))
		s.Delete(other) // it was never told of it
		if held := len(s.watcherOf(w).places); held > 3 {
			t.Errorf("%d metrics are held for a watcher of three", held)
		}
		expect(t, w, "ADDED shop/depth 0", "MODIFIED shop/depth 999", "ADDED shop/rate 1998")
		w.Stop()
		w.Stop()
		expect(t, w, "end")
		if len(s.watchers) != 0 {
			t.Error("a watch that was stopped is still there")
		}
	})
}

func (s *Store) watcherOf(w watch.Interface) *watcher { return w.(*watcher) }

func TestAWatchGoesOnWhereItEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewStore(clock.RealClock{})
		s.maxDeleted = 2
		first := s.version()
		s.Set(depth, value(1))
		s.Set(rate, value(1))
		from := s.version()
		s.Set(other, value(1))
		s.Set(depth, value(2))
		s.Delete(rate)
		w := begin(t, s, WatchOptions{From: from})
		expect(t, w, "ADDED bank/depth 1", "MODIFIED shop/depth 2", "DELETED shop/rate 1")
		// What was made and deleted since is no news; what was deleted and made again is.
		s.Set(rate, value(3))
		again := begin(t, s, WatchOptions{From: from})
		expect(t, again, "ADDED bank/depth 1", "MODIFIED shop/depth 2", "ADDED shop/rate 3")
		expect(t, begin(t, s, WatchOptions{From: s.version()}))

		s.Delete(depth)
		s.Delete(rate)
		for _, old := range []uint64{0, first - 1, first, from} {
			if _, err := s.Watch(WatchOptions{Match: all, From: old}); !apierrors.IsResourceExpired(err) {
				t.Errorf("a watch from %d: %v, want 410", old, err)
			}
		}
		s.Close()
	})
}

// TestWatchersSeeWhatIsThere: whatever happens, and however often a watch ends
// and goes on, what a watcher was told adds up to what is there.
func TestWatchersSeeWhatIsThere(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test's
			s := NewStore(clock.RealClock{})
			seen := map[string]string{}
			var version uint64
			w := begin(t, s, WatchOptions{Anew: true})
			for range 300 {
				key := Key{"shop", fmt.Sprint("m", random.IntN(5))}
				switch random.IntN(4) {
				case 0:
					s.Delete(key)
				default:
					s.Set(key, value(random.Int64N(3)))
				}
				if random.IntN(3) == 0 {
					synctest.Wait()
					for n := random.IntN(4); n > 0; n-- {
						select {
						case e := <-w.ResultChan():
							version = fold(t, seen, e, version)
						default:
						}
						synctest.Wait()
					}
				}
				if version > 0 && random.IntN(20) == 0 {
					w.Stop()
					w = begin(t, s, WatchOptions{From: version})
				}
			}
			for synctest.Wait(); ; synctest.Wait() {
				var e watch.Event
				select {
				case e = <-w.ResultChan():
				default:
				}
				if e.Object == nil {
					break
				}
				version = fold(t, seen, e, version)
			}
			want := map[string]string{}
			for _, item := range s.List(all).Items {
				want[item.Name] = item.Value.String()
			}
			if diff := cmp.Diff(want, seen); diff != "" {
				t.Errorf("seed %d (-is there +was told):\n%s", seed, diff)
			}
			s.Close()
		})
	}
}

func fold(t *testing.T, seen map[string]string, e watch.Event, before uint64) uint64 {
	t.Helper()
	c := e.Object.(*MetricChange)
	version, err := strconv.ParseUint(c.ResourceVersion, 10, 64)
	if err != nil || version < before {
		t.Fatalf("version %q after %d: %v", c.ResourceVersion, before, err)
	}
	if e.Type == watch.Deleted {
		delete(seen, c.Name)
	} else {
		seen[c.Name] = c.Value.String()
	}
	return version
}
