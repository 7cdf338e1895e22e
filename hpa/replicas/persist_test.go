package replicas

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// seen is a decision without the places in the history, which nothing looks at.
func seen(t testing.TB, d Decision) string {
	t.Helper()
	if d.Observed.Recommendation != nil {
		slot := *d.Observed.Recommendation
		slot.Index = 0
		d.Observed.Recommendation = &slot
	}
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// nextSnapshot moves time on and draws another load.
func nextSnapshot(r *rand.Rand, s Snapshot) Snapshot {
	s.Now = s.Now.Add(time.Duration(1+r.IntN(40)) * time.Second / time.Duration(1+r.IntN(3)))
	s.Samples = map[string]Samples{}
	values := []int64{r.Int64N(60_000)}
	for i := range s.HPA.Metrics {
		s.Samples[Key(i)] = Samples{At: s.Now, Values: values}
		if r.IntN(15) == 0 {
			s.Samples[Key(i)] = Samples{Error: "unable to fetch"}
		}
	}
	return s
}

// TestCompactDecidesTheSame runs objects through random loads, one with the whole
// history and one whose history is made compact, or encoded and decoded too, at
// random moments: every decision is the same.
func TestCompactDecidesTheSame(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 9))
		s := plain(5)
		s.HPA.Max = 60
		s.HPA.Behavior = randomBehavior(r)
		if seed%3 == 0 {
			s.HPA.Behavior = uneven(r)
		}
		if seed%3 != 0 {
			s.Config.UpscaleDelay, s.Config.DownscaleDelay = time.Duration(r.IntN(60))*time.Second, time.Duration(r.IntN(60))*time.Second
		}
		s = withMetric(s, externalAverage(1000), Samples{})
		var whole, small State
		longest := 0
		for step := range 120 {
			s = nextSnapshot(r, s)
			if r.IntN(3) == 0 {
				small = Compact(small, WindowsOf(&s), s.Now)
				longest = max(longest, len(small.Recommendations), len(small.Ups), len(small.Downs))
			}
			if r.IntN(6) == 0 {
				small = recoded(t, small)
			}
			d, again := Decide(s, whole), Decide(s, small)
			if diff := cmp.Diff(seen(t, d), seen(t, again)); diff != "" {
				t.Fatalf("seed %d, step %d (-whole +compact):\n%s\nwhole %+v\ncompact %+v", seed, step, diff, whole, small)
			}
			o := decision.Outcome{Result: decision.Unneeded}
			if d.Act {
				o.Result = []decision.Result{decision.Succeeded, decision.Succeeded, decision.Failed}[r.IntN(3)]
			}
			whole, small = Commit(whole, d, o), Commit(small, again, o)
			if o.Result == decision.Succeeded {
				s.Scale.Spec, s.Scale.Status = d.To, d.To
			}
		}
		if longest == 0 {
			t.Fatalf("seed %d: nothing was ever kept", seed)
		}
	}
}

// uneven gives rules of which one direction forgets its changes sooner than the
// other looks at them.
func uneven(r *rand.Rand) *behavior.Behavior {
	rules := func(period int32) behavior.Rules {
		return behavior.Rules{Select: behavior.SelectMax, Policies: []behavior.Policy{
			{Type: behavior.Pods, Value: 1 + r.Int32N(12), PeriodSeconds: period},
		}}
	}
	b := &behavior.Behavior{Up: rules(10 + r.Int32N(40)), Down: rules(60 + r.Int32N(120))}
	if r.IntN(2) == 0 {
		b.Up, b.Down = b.Down, b.Up
	}
	return b
}

func recoded(t testing.TB, s State) State {
	t.Helper()
	data, err := AppendState(nil, s)
	if err != nil {
		t.Fatal(err)
	}
	out, err := DecodeState(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, out); diff != "" {
		t.Fatalf("encoded and decoded (-was +is):\n%s", diff)
	}
	return out
}

func TestCompactKeepsExtremesOnly(t *testing.T) {
	at := func(ago int, n int32) behavior.Recommendation {
		return behavior.Recommendation{At: noon.Add(-time.Duration(ago) * time.Second), Replicas: n}
	}
	all := []behavior.Recommendation{at(400, 50), at(250, 9), at(10, 4), at(200, 3), at(100, 9), at(50, 2), at(30, 5)}
	tests := map[string]struct {
		w    Windows
		want []behavior.Recommendation
	}{
		"down only":    {Windows{Down: 300 * time.Second}, []behavior.Recommendation{at(100, 9), at(30, 5), at(10, 4)}},
		"up only":      {Windows{Up: 300 * time.Second}, []behavior.Recommendation{at(50, 2), at(10, 4)}},
		"both":         {Windows{Up: 60 * time.Second, Down: 300 * time.Second}, []behavior.Recommendation{at(100, 9), at(50, 2), at(30, 5), at(10, 4)}},
		"none at hand": {Windows{Down: time.Second}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := Compact(State{Recommendations: all}, tc.w, noon)
			if diff := cmp.Diff(tc.want, got.Recommendations); diff != "" {
				t.Error(diff)
			}
		})
	}
	events := []behavior.Event{{At: noon.Add(-time.Minute), Change: 1}, {At: noon.Add(-time.Second), Change: 2}}
	got := Compact(State{Ups: events, Downs: events}, Windows{UpPeriod: 30 * time.Second, DownPeriod: 15 * time.Second}, noon)
	if diff := cmp.Diff(State{Ups: events[1:], Downs: []behavior.Event{{Outdated: true}, events[1]}}, got); diff != "" {
		t.Errorf("changes:\n%s", diff)
	}
}

// TestEveryFieldIsEncoded fills each field of a state, also those to come.
func TestEveryFieldIsEncoded(t *testing.T) {
	var s State
	fill(reflect.ValueOf(&s).Elem(), 3)
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the test does not fill %s", v.Type().Field(i).Name)
		}
	}
	recoded(t, s)
	s.LastUp = time.Date(9999, 1, 2, 3, 4, 5, 6, time.UTC)
	recoded(t, s)
	recoded(t, State{})
}

func fill(v reflect.Value, depth int) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(noon.Add(7 * time.Nanosecond)))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("Up")
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(5)
	case reflect.Float64:
		v.SetFloat(0.5)
	case reflect.Pointer:
		if depth > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), depth-1)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), depth)
		fill(v.Index(1), depth)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, depth)
		fill(value, depth)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), depth)
		}
	}
}

// FuzzDecodeState reads any bytes: a state, which encodes again, or an error.
func FuzzDecodeState(f *testing.F) {
	for seed := range uint64(10) {
		_, state := randomTurn(seed)
		data, err := AppendState(nil, state)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte{1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Add([]byte("\x01\x06{\"seeded\":true,\"lastUp\":\"9999-01-01T00:00:00Z\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeState(data)
		if err != nil {
			return
		}
		if len(s.Recommendations)+len(s.Ups)+len(s.Downs) > len(data) {
			t.Fatalf("%d bytes gave %d entries", len(data), len(s.Recommendations)+len(s.Ups)+len(s.Downs))
		}
		again, err := AppendState(nil, s)
		if err != nil {
			return // a time that JSON has no form for
		}
		if _, err := DecodeState(again); err != nil {
			t.Fatalf("%+v does not survive: %v", s, err)
		}
		Restored(s, noon)
		Compact(s, Windows{Down: time.Minute, UpPeriod: time.Minute}, noon)
	})
}

func TestResume(t *testing.T) {
	up := Decision{}
	up.From, up.To, up.At = 2, 5, noon.Add(-20*time.Second)
	up.OnSuccess.Scaled = &Scaled{Direction: behavior.Up, At: up.At, Change: 3, Counted: true, LongestPeriod: 60}
	before := State{Seeded: true, LastDown: noon.Add(-time.Hour), Recommendations: []behavior.Recommendation{{At: noon.Add(-time.Minute), Replicas: 2}}}
	tests := map[string]struct {
		scale  int32
		status time.Time
		known  time.Time
		made   bool
	}{
		"not made":                          {scale: 2},
		"made":                              {scale: 5, made: true},
		"made and undone":                   {scale: 2, status: up.At.Truncate(time.Second), made: true},
		"moved on since":                    {scale: 4, made: true},
		"another change of the same second": {scale: 2, status: up.At.Truncate(time.Second), known: up.At},
		"an older change":                   {scale: 2, status: up.At.Add(-time.Minute).Truncate(time.Second)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			state := before
			if !tc.known.IsZero() {
				state.LastDown = tc.known
			}
			kept := recoded(t, Intending(state, up))
			w := newWorld(tc.scale)
			w.snapshot.HPA.Status.LastScaleTime = tc.status
			w.snapshot = withMetric(w.snapshot, externalAverage(1000), Samples{Values: []int64{int64(tc.scale) * 1000}, At: noon})
			w.state = Restored(kept, noon)
			d, _ := w.turn(t)
			if d.Steps[1].Rule != "history/resume" || d.Act {
				t.Fatalf("steps %v, act %v", d.Steps, d.Act)
			}
			if got := w.state.LastUp.Equal(up.At); got != tc.made || (len(w.state.Ups) == 1) != tc.made {
				t.Errorf("counted %v, want %v: %+v, %s", got, tc.made, w.state, d.Steps[1].Message)
			}
			if w.state.Resume != nil || !w.state.LastDown.Equal(state.LastDown) || len(w.state.Recommendations) != 2 {
				t.Errorf("state %+v", w.state)
			}
			if d, _ = w.turn(t); d.Steps[1].Rule == "history/resume" {
				t.Error("resumed twice")
			}
		})
	}
}

// TestAHistoryThatEndedBeforeTheWindow: after a long absence a count does not fall
// at the first look, and nothing is held back upwards.
func TestAHistoryThatEndedBeforeTheWindow(t *testing.T) {
	old := State{Seeded: true, LastUp: noon.Add(-time.Hour), Recommendations: []behavior.Recommendation{{At: noon.Add(-time.Hour), Replicas: 3}}}
	start := func(value int64) *world {
		w := newWorld(8)
		w.snapshot.HPA.Behavior = &behavior.Behavior{Up: behavior.DefaultUp(), Down: behavior.DefaultDown(5 * time.Minute)}
		w.snapshot.HPA.Behavior.Up.WindowSeconds = 60
		w.snapshot = withMetric(w.snapshot, externalAverage(1000), Samples{Values: []int64{value}, At: noon})
		w.state = Restored(old, noon)
		return w
	}
	if d, _ := start(2000).turn(t); d.To != 8 {
		t.Errorf("fell to %d at the first look", d.To)
	}
	if d, _ := start(12_000).turn(t); d.To != 12 {
		t.Errorf("held at %d, though nothing lower was asked for in the window", d.To)
	}
}

func TestRestoredHasNoTimeToCome(t *testing.T) {
	later := noon.Add(time.Hour)
	var s State
	fill(reflect.ValueOf(&s).Elem(), 4)
	s.LastUp, s.Recommendations[0].At, s.Downs[1].At = later, later, later
	s.Resume.Intent.At, s.Resume.Intent.OnSuccess.Scaled.At = later, later
	was := recoded(t, s)
	now := noon.Add(time.Minute)
	got := Restored(s, now)
	for _, at := range []time.Time{got.LastUp, got.Recommendations[0].At, got.Downs[1].At, got.Resume.Intent.At, got.Resume.Intent.OnSuccess.Scaled.At} {
		if !at.Equal(now) {
			t.Errorf("a time is %s, want %s", at, now)
		}
	}
	if diff := cmp.Diff(was, s); diff != "" {
		t.Errorf("the argument changed:\n%s", diff)
	}
}
