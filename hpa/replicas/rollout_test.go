package replicas

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// deployment is a Deployment under a load that does not change, second by second.
type deployment struct {
	r   *rand.Rand
	now time.Time
	// asked, surge and unavailable are the count and by how many pods a rollout may
	// be above and below it.
	asked, surge, unavailable int
	// load is the work in thousandths, shared by the pods that are ready.
	load float64
	// window is what samples are averaged over, scrape the time between two.
	window, scrape time.Duration
	// ready is the longest time until a pod is ready.
	ready    int
	template int
	born     int
	pods     []*replica
	// rolling tells that the last rollout is not complete, ended when it was.
	rolling bool
	ended   time.Time
}

// replica is one pod and what it did in each second.
type replica struct {
	name     string
	template int
	started  time.Time
	readyAt  time.Time
	offset   time.Duration
	// used is by second since the start.
	used []float64
}

func (d *deployment) add() {
	d.born++
	p := &replica{name: "web-" + strconv.Itoa(d.born), template: d.template, started: d.now,
		offset: time.Duration(d.r.Int64N(int64(d.scrape/time.Second))) * time.Second}
	p.readyAt = d.now.Add(time.Duration(1+d.r.IntN(d.ready)) * time.Second)
	d.pods = append(d.pods, p)
}

func (p *replica) isReady(now time.Time) bool { return !now.Before(p.readyAt) }

// second moves on as a Deployment's controller would, and shares the load.
func (d *deployment) second() {
	d.now = d.now.Add(time.Second)
	ready, old, fresh := 0, 0, 0
	for _, p := range d.pods {
		if p.isReady(d.now) {
			ready++
		}
		if p.template == d.template {
			fresh++
		} else {
			old++
		}
	}
	for ; fresh < d.asked && len(d.pods) < d.asked+d.surge; fresh++ {
		d.add()
	}
	kept := d.pods[:0:0]
	for _, p := range d.pods {
		remove := p.template != d.template && (!p.isReady(d.now) || ready > d.asked-d.unavailable) && old > 0 && d.r.IntN(3) > 0
		if !remove {
			kept = append(kept, p)
			continue
		}
		old--
		if p.isReady(d.now) {
			ready--
		}
	}
	d.pods = kept
	if d.rolling && d.complete() {
		d.rolling, d.ended = false, d.now
	}
	for _, p := range d.pods {
		used := 0.0
		if p.isReady(d.now) {
			used = d.load / float64(ready)
		} else if d.r.IntN(2) == 0 {
			used = 1500 // starting is work too
		}
		p.used = append(p.used, used)
	}
}

// complete tells what the Deployment's status does: all pods that are asked for
// are of the newest template and ready, and there are no others.
func (d *deployment) complete() bool {
	for _, p := range d.pods {
		if p.template != d.template || !p.isReady(d.now) {
			return false
		}
	}
	return len(d.pods) == d.asked
}

// sample is the last scrape of a pod: the average of a window, if it has lived for
// as long.
func (d *deployment) sample(p *replica) (PodSample, bool) {
	at := d.now.Add(-time.Duration((d.now.Unix()+int64(p.offset/time.Second))%int64(d.scrape/time.Second)) * time.Second)
	last := int(at.Sub(p.started)/time.Second) - 1
	n := int(d.window / time.Second)
	if last-n+1 < 0 || last >= len(p.used) {
		return PodSample{}, false
	}
	total := 0.0
	for _, used := range p.used[last-n+1 : last+1] {
		total += used
	}
	return PodSample{Value: int64(total / float64(n)), At: at, Window: d.window}, true
}

// show fills the snapshot.
func (d *deployment) show(s *Snapshot) {
	s.Now, s.Pods, s.Rollout = d.now, map[string]Pod{}, nil
	samples := Samples{At: d.now, Pods: map[string]PodSample{}}
	for _, p := range d.pods {
		pod := Pod{Started: p.started, Ready: "False", ReadySince: p.started, Requests: map[string]int64{CPU: 1000}}
		if p.isReady(d.now) {
			pod.Ready, pod.ReadySince = "True", p.readyAt
		}
		s.Pods[p.name] = pod
		if sample, ok := d.sample(p); ok {
			samples.Pods[p.name] = sample
		}
	}
	s.Samples = map[string]Samples{Key(0): samples}
	s.Scale.Status = int32(len(d.pods))
	if d.template > 0 {
		s.Rollout = &Rollout{Surge: int32(d.surge)}
		if !d.rolling {
			s.Rollout.Ended = d.ended
		}
	}
}

// newDeployment is one of a random size under a load that is tolerated.
func newDeployment(seed uint64) *deployment {
	r := rand.New(rand.NewPCG(seed, 7))
	d := &deployment{r: r, now: noon, asked: 1 + r.IntN(20),
		window: time.Duration(15+r.IntN(46)) * time.Second, scrape: time.Duration(15+15*r.IntN(4)) * time.Second, ready: 1 + r.IntN(90)}
	d.surge, d.unavailable = r.IntN(d.asked+1), r.IntN(d.asked+1)
	if d.surge == 0 && d.unavailable == 0 {
		d.surge = 1
	}
	// A target of 500 per pod and a tolerance of a tenth; whole per cent are cut off.
	d.load = float64(d.asked) * 500 * (0.93 + 0.14*r.Float64())
	for range d.asked {
		d.add()
		p := d.pods[len(d.pods)-1]
		p.started, p.readyAt = d.now.Add(-time.Hour), d.now.Add(-time.Hour)
		p.used = make([]float64, 3600)
		for i := range p.used {
			p.used[i] = d.load / float64(d.asked)
		}
	}
	return d
}

// playRollouts plays so many rollouts under flat load, and gives the counts that
// were written. Told decides whether the rules hear of them.
func playRollouts(t *testing.T, seed uint64, m Metric, rollouts int, told bool) []int32 {
	t.Helper()
	d := newDeployment(seed)
	s := withMetric(plain(int32(d.asked)), m, Samples{})
	s.Config.DownscaleStabilization = 0 // nothing else holds the count
	s.HPA.Max = 1000
	w := &world{snapshot: s, fixed: true}
	var written []int32
	begun, pause := 0, 60
	for second := 0; second < 4*3600 && (begun < rollouts || pause > 0); second++ {
		if !d.rolling {
			if pause--; pause <= 0 && begun < rollouts {
				begun++
				d.template++
				d.rolling = true
				pause = 1 + d.r.IntN(200)
			}
		}
		d.second()
		if second%15 != 14 {
			continue
		}
		d.show(&w.snapshot)
		if !told {
			w.snapshot.Rollout = nil
		}
		dec, o := w.turn(t)
		if dec.Act {
			written = append(written, dec.To)
			if told {
				t.Fatalf("seed %d, %d asked, surge %d, unavailable %d, window %s, scrape %s, rollout %d: %s",
					seed, d.asked, d.surge, d.unavailable, d.window, d.scrape, begun, tell(dec, o))
			}
		}
		d.asked = int(w.snapshot.Scale.Spec)
	}
	return written
}

// TestRolloutsUnderFlatLoadChangeNothing plays 20 rollouts for each of many
// Deployments, with each kind of metric per pod. Without being told of the rollouts
// the rules are upstream's, and move.
func TestRolloutsUnderFlatLoadChangeNothing(t *testing.T) {
	seeds := uint64(8)
	if testing.Short() {
		seeds = 5
	}
	value := int64(500)
	for name, m := range map[string]Metric{
		"utilization": utilization(50),
		"resource":    {Type: Resource, Name: CPU, AverageValue: &value},
		"pods":        {Type: Pods, Name: "qps", AverageValue: &value},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			moved := 0
			for seed := range seeds {
				if got := playRollouts(t, seed, m, 20, true); len(got) > 0 {
					t.Fatalf("seed %d wrote %v", seed, got)
				}
				if len(playRollouts(t, seed, m, 3, false)) > 0 {
					moved++
				}
			}
			if moved == 0 {
				t.Error("no rollout moved anything: this shows nothing")
			}
		})
	}
}
