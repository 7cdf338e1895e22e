package eviction_test

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
	"github.com/quartet-autoscaling/quartet/updater/fit"
)

// placedWorld draws an object whose pods are on nodes, all Ready.
func placedWorld(seed uint64) *world {
	w := randomWorld(seed)
	r := rand.New(rand.NewPCG(seed, 3))
	room := &fit.Cluster{}
	for i := range 1 + r.IntN(3) {
		room.Nodes = append(room.Nodes, fit.Node{
			Name: "n" + strconv.Itoa(i), Free: fit.Amounts{"cpu": r.Int64N(1200), "memory": r.Int64N(1200) << 20, "pods": r.Int64N(3)},
		})
	}
	w.s.Room = room
	for name, p := range w.s.Pods {
		p.Ready, p.Created = !p.Pending, p.Started
		requests := fit.Amounts{}
		for _, c := range p.Containers {
			for resource, n := range fit.AmountsOf(c.Requests) {
				requests[resource] += n
			}
		}
		p.Place = &fit.Pod{Node: room.Nodes[r.IntN(len(room.Nodes))].Name, Requests: requests}
		w.s.Pods[name] = p
	}
	return w
}

// TestNoPodThatFitsNowhereIsEvicted carries out every eviction of random worlds, and
// counts what the nodes hold then.
func TestNoPodThatFitsNowhereIsEvicted(t *testing.T) {
	evicted, barred := 0, 0
	for seed := range uint64(600) {
		w := placedWorld(seed)
		without := eviction.Decide(w.s, w.state).To
		w.s.Config.Kindness.RequireFit = true
		free := map[string]fit.Amounts{}
		for _, n := range w.s.Room.Nodes {
			free[n.Name] = fit.Amounts{}
			for resource, amount := range n.Free {
				free[n.Name][resource] = amount
			}
		}
		d := w.turn(t)
		barred += without - d.To
		for _, c := range d.Candidates {
			if c.Taken == nil || c.Taken.Node == "" {
				t.Fatalf("seed %d: %s may be evicted and has no room set aside", seed, c.Pod)
			}
			evicted++
			// What it leaves is room on its node, and the recommendation is what it takes.
			p := w.s.Pods[c.Pod]
			for resource, n := range p.Place.Requests {
				free[p.Place.Node][resource] += n
			}
			free[p.Place.Node]["pods"]++
			for resource, n := range afterwards(w, p) {
				free[c.Taken.Node][resource] -= n
			}
			free[c.Taken.Node]["pods"]--
			for resource, n := range free[c.Taken.Node] {
				if n < 0 {
					t.Fatalf("seed %d: %s takes node %s to %d of %s", seed, c.Pod, c.Taken.Node, n, resource)
				}
			}
		}
	}
	if evicted < 100 || barred < 30 {
		t.Errorf("%d pods were evicted and %d barred: the worlds say little", evicted, barred)
	}
}

// afterwards is what a pod requests with what is recommended; nothing caps that in
// these worlds.
func afterwards(w *world, p eviction.Pod) fit.Amounts {
	out := fit.Amounts{}
	for _, c := range p.Containers {
		requests := fit.AmountsOf(c.Requests)
		for _, r := range w.s.VPA.Recommendations {
			if r.ContainerName == c.Name {
				requests = fit.AmountsOf(r.Target)
			}
		}
		for resource, n := range requests {
			out[resource] += n
		}
	}
	return out
}

// TestTheRateIsHeld lets several objects decide again and again at random times,
// with evictions of which some are refused: no minute and no hour sees more than
// allowed.
func TestTheRateIsHeld(t *testing.T) {
	total, reached := 0, 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 4))
		perMinute, perHour := r.IntN(3), 1+r.IntN(8)
		var evictions []time.Time
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		for range 60 {
			now = now.Add(time.Duration(r.IntN(180)) * time.Second)
			w := randomWorld(r.Uint64N(1000))
			w.s.Admission.Renewed, w.s.Now = now, now
			w.s.Config.Kindness = eviction.Kindness{PerMinute: perMinute, PerHour: perHour}
			w.s.Fleet.Evictions = within(evictions, now, time.Hour)
			d := w.turn(t)
			left := d.Allowance
			for _, c := range d.Candidates {
				if left == 0 {
					break
				}
				if r.IntN(4) > 0 {
					left--
					evictions = append(evictions, now)
					total++
				}
				_ = c
			}
			for _, b := range d.Blocked {
				if b.Reason == "RateReached" {
					reached++
					if !b.Next.After(now) {
						t.Fatalf("seed %d: at %s the rate lets %s pass from %s on", seed, now, b.Pod, b.Next)
					}
				}
			}
			if n := len(within(evictions, now, time.Minute)); perMinute > 0 && n > perMinute {
				t.Fatalf("seed %d: %d evictions within a minute, allowed are %d", seed, n, perMinute)
			}
			if n := len(within(evictions, now, time.Hour)); n > perHour {
				t.Fatalf("seed %d: %d evictions within an hour, allowed are %d", seed, n, perHour)
			}
		}
	}
	if total < 100 || reached < 100 {
		t.Errorf("%d evictions, and the rate was reached %d times: the worlds say little", total, reached)
	}
}

func within(all []time.Time, now time.Time, span time.Duration) []time.Time {
	var out []time.Time
	for _, at := range all {
		if at.After(now.Add(-span)) {
			out = append(out, at)
		}
	}
	return out
}

// TestWhatIsNotUpdatedSaysWhy holds each decision, whatever rules are on, to naming
// every pod that is in need and not updated.
func TestWhatIsNotUpdatedSaysWhy(t *testing.T) {
	for seed := range uint64(600) {
		w := placedWorld(seed)
		r := rand.New(rand.NewPCG(seed, 5))
		one := intstr.FromInt32(int32(r.IntN(3)))
		w.s.Config.Kindness = eviction.Kindness{RequireFit: r.IntN(3) == 0, RespectOwners: r.IntN(2) == 0, PerHour: r.IntN(3)}
		w.s.Policy = &verticalpolicy.Updater{
			Disruption: verticalpolicy.Disruption{Windowed: r.IntN(4) == 0},
			Breaker:    &verticalpolicy.Breaker{Failures: 1, ReadyWithin: time.Minute, ResetAfter: time.Hour},
		}
		if r.IntN(2) == 0 {
			w.s.Policy.Disruption.MaxUnavailable = &one
		}
		d := w.turn(t)
		if d.Reason == eviction.ReasonBreakerOpen {
			t.Fatalf("seed %d: nothing was evicted yet, and the breaker is open", seed)
		}
		told := map[string]bool{}
		for _, b := range d.Blocked {
			if b.Rule == "" || b.Reason == "" || told[b.Pod] {
				t.Fatalf("seed %d: blocked %+v, told before: %t", seed, b, told[b.Pod])
			}
			told[b.Pod] = true
		}
		updated := 0
		for _, c := range d.Candidates {
			if !told[c.Pod] {
				updated++
			}
		}
		if updated != d.To {
			t.Fatalf("seed %d: %d of the candidates are not blocked, and %d updates are wanted", seed, updated, d.To)
		}
		for key := range d.Observed.Wanted {
			name := key[:len(key)-len("/u")]
			if pod, there := w.s.Pods[name]; there && !told[name] && !isCandidate(d, name) {
				t.Fatalf("seed %d: %s of %s is in need, and neither updated nor blocked", seed, name, pod.Group)
			}
		}
	}
}

func isCandidate(d eviction.Decision, pod string) bool {
	for _, c := range d.Candidates {
		if c.Pod == pod {
			return true
		}
	}
	return false
}

// TestBreakerStaysOpenForItsTime feeds a breaker failures at random times: between
// an opening and the end of its time no decision evicts.
func TestBreakerStaysOpenForItsTime(t *testing.T) {
	opened := 0
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 6))
		w := placedWorld(seed)
		w.s.Policy = &verticalpolicy.Updater{Breaker: &verticalpolicy.Breaker{Failures: int32(1 + r.IntN(3)), ReadyWithin: 2 * time.Minute, ResetAfter: 30 * time.Minute}}
		var until time.Time
		for range 80 {
			step := time.Duration(30+r.IntN(300)) * time.Second
			w.s.Now, w.s.Admission.Renewed = w.s.Now.Add(step), w.s.Admission.Renewed.Add(step)
			d := w.turn(t)
			if w.s.Now.Before(until) && d.To > 0 {
				t.Fatalf("seed %d: at %s %d pods are updated, and the breaker is open until %s", seed, w.s.Now, d.To, until)
			}
			if b := w.state.Breaker; b != nil && !b.Opened.IsZero() && b.Opened.Equal(w.s.Now) {
				until = b.Opened.Add(30 * time.Minute)
				opened++
			}
			// Half of the pods that may go do, and come back as they were or not at all.
			for _, c := range d.Candidates {
				p := w.s.Pods[c.Pod]
				if r.IntN(2) == 0 {
					p.UID, p.Created, p.Ready = p.UID+"x", w.s.Now, r.IntN(3) == 0
					w.s.Pods[c.Pod] = p
				}
			}
		}
		if diff := cmp.Diff(w.state, eviction.Commit(w.state, eviction.Decision{}, decision.Outcome{Result: decision.Failed})); diff != "" {
			t.Fatalf("a decision of nothing moves the state:\n%s", diff)
		}
	}
	if opened < 20 {
		t.Errorf("breakers opened %d times: the worlds say little", opened)
	}
}
