package checkpoint

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/model"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

const day = 24 * time.Hour

var start = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

func schemes() Schemes {
	return Schemes{CPU: estimator.CPUScheme(day), Memory: estimator.MemoryScheme(day)}
}

// history is random usage as upstream learned it.
func history(seed uint64) *model.AggregateContainerState {
	r := rand.New(rand.NewPCG(seed, 3))
	a := model.NewAggregateContainerState()
	for i := range 1 + r.IntN(500) {
		at := start.Add(time.Duration(i) * time.Minute)
		a.AddSample(&model.ContainerUsageSample{MeasureStart: at, Usage: model.ResourceAmount(r.ExpFloat64() * 700), Resource: model.ResourceCPU})
		if r.IntN(30) == 0 {
			a.AddSample(&model.ContainerUsageSample{MeasureStart: at.Add(day), Usage: model.ResourceAmount(r.ExpFloat64() * 1e9), Resource: model.ResourceMemory})
		}
	}
	return a
}

// through passes a status through JSON, as the API server does.
func through(t testing.TB, c vpav1.VerticalPodAutoscalerCheckpointStatus) *vpav1.VerticalPodAutoscalerCheckpointStatus {
	t.Helper()
	content, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var out vpav1.VerticalPodAutoscalerCheckpointStatus
	if err := json.Unmarshal(content, &out); err != nil {
		t.Fatal(err)
	}
	return &out
}

// same compares the percentiles of two histories.
func same(t *testing.T, seed uint64, ours estimator.Learned, theirs *model.AggregateContainerState) {
	t.Helper()
	s := schemes()
	for _, p := range []float64{0.1, 0.5, 0.9, 0.95, 1} {
		if got, want := s.CPU.Percentile(ours.CPU, p), theirs.AggregateCPUUsage.Percentile(p); got != want {
			t.Errorf("seed %d: the CPU percentile %v is %v, upstream's %v", seed, p, got, want)
		}
		if got, want := s.Memory.Percentile(ours.Memory, p), theirs.AggregateMemoryPeaks.Percentile(p); got != want {
			t.Errorf("seed %d: the memory percentile %v is %v, upstream's %v", seed, p, got, want)
		}
	}
	if ours.Samples != theirs.TotalSamplesCount || !ours.First.Equal(theirs.FirstSampleStart) || !ours.Last.Equal(theirs.LastSampleStart) {
		t.Errorf("seed %d: %d samples from %s to %s, upstream's %d from %s to %s", seed, ours.Samples, ours.First, ours.Last,
			theirs.TotalSamplesCount, theirs.FirstSampleStart, theirs.LastSampleStart)
	}
}

// TestGoesToUpstreamAndBack hands histories over both ways: ours reads what
// upstream wrote, upstream reads what ours wrote, and both then know the same.
func TestGoesToUpstreamAndBack(t *testing.T) {
	for seed := range uint64(200) {
		theirs := history(seed)
		saved, err := theirs.SaveToCheckpoint()
		if err != nil {
			t.Fatal(err)
		}
		ours, err := Decode(through(t, *saved), schemes())
		if err != nil {
			t.Fatal(err)
		}
		reloaded := model.NewAggregateContainerState()
		if err := reloaded.LoadFromCheckpoint(through(t, *saved)); err != nil {
			t.Fatal(err)
		}
		same(t, seed, ours, reloaded)

		written := Encode(ours, schemes(), start)
		again, err := reloaded.SaveToCheckpoint()
		if err != nil {
			t.Fatal(err)
		}
		times := cmpopts.IgnoreFields(vpav1.VerticalPodAutoscalerCheckpointStatus{}, "LastUpdateTime")
		if diff := cmp.Diff(through(t, *again), through(t, written), times); diff != "" {
			t.Fatalf("seed %d: checkpoints of the same history (-upstream's +ours):\n%s", seed, diff)
		}
		back := model.NewAggregateContainerState()
		if err := back.LoadFromCheckpoint(through(t, written)); err != nil {
			t.Fatal(err)
		}
		mine, err := Decode(through(t, written), schemes())
		if err != nil {
			t.Fatal(err)
		}
		same(t, seed, mine, back)
	}
}

func TestRefusesWhatNobodyWrote(t *testing.T) {
	valid := Encode(estimator.Learned{Samples: 1}, schemes(), start)
	for name, change := range map[string]func(*vpav1.VerticalPodAutoscalerCheckpointStatus){
		"another version": func(c *vpav1.VerticalPodAutoscalerCheckpointStatus) { c.Version = "v2" },
		"a negative bucket": func(c *vpav1.VerticalPodAutoscalerCheckpointStatus) {
			c.CPUHistogram.BucketWeights = map[int]uint32{-1: 1}
		},
		"a bucket too high": func(c *vpav1.VerticalPodAutoscalerCheckpointStatus) {
			c.MemoryHistogram.BucketWeights = map[int]uint32{176: 1}
		},
		"a negative weight":     func(c *vpav1.VerticalPodAutoscalerCheckpointStatus) { c.CPUHistogram.TotalWeight = -1 },
		"an immense weight":     func(c *vpav1.VerticalPodAutoscalerCheckpointStatus) { c.CPUHistogram.TotalWeight = 1e300 },
		"fewer than no samples": func(c *vpav1.VerticalPodAutoscalerCheckpointStatus) { c.TotalSamplesCount = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			c := valid
			change(&c)
			if l, err := Decode(&c, schemes()); err == nil {
				t.Errorf("Decode() = %+v, want an error", l)
			}
		})
	}
	if _, err := Decode(&valid, schemes()); err != nil {
		t.Errorf("the unchanged one: %v", err)
	}
}

func TestLosslessWhileNobodyElseWrites(t *testing.T) {
	l, err := Decode(through(t, saved(t, 1)), schemes())
	if err != nil {
		t.Fatal(err)
	}
	at := start.Add(1234567 * time.Microsecond)
	h := History{Learned: l, Running: map[string]estimator.Window{"orders-1": {LastCPU: at, LastMemory: at, End: at.Add(day), Peak: 5, OOMPeak: 7, Killed: at}}}
	status := Encode(l, schemes(), at)
	annotation, err := Attach(&status, h)
	if err != nil {
		t.Fatal(err)
	}
	back, whole := Detach(through(t, status), annotation, schemes())
	if diff := cmp.Diff(h, back); diff != "" || !whole {
		t.Errorf("after the API server: whole %v (-before +after):\n%s", whole, diff)
	}
	status.TotalSamplesCount++
	if _, whole := Detach(through(t, status), annotation, schemes()); whole {
		t.Error("the annotation counts beside another status")
	}
	// A workload of thousands of pods has all of it still, and one without end none.
	for len(h.Running) < 5000 {
		h.Running[strconv.Itoa(len(h.Running))] = h.Running["orders-1"]
	}
	if annotation, err = Attach(&status, h); err != nil || annotation == "" {
		t.Fatalf("%d pods: an annotation of %d bytes, error %v", len(h.Running), len(annotation), err)
	}
	if back, whole := Detach(through(t, status), annotation, schemes()); !whole || !cmp.Equal(h, back) {
		t.Errorf("%d pods: whole %v, %d are back", len(h.Running), whole, len(back.Running))
	}
	for len(h.Running) < 100_000 {
		h.Running[strconv.Itoa(len(h.Running))] = h.Running["orders-1"]
	}
	if annotation, err := Attach(&status, h); err != nil || annotation != "" {
		t.Errorf("an annotation of %d bytes, error %v, want none", len(annotation), err)
	}
}

func saved(t testing.TB, seed uint64) vpav1.VerticalPodAutoscalerCheckpointStatus {
	t.Helper()
	status, err := history(seed).SaveToCheckpoint()
	if err != nil {
		t.Fatal(err)
	}
	return *status
}

// FuzzDetach wants that an edited annotation is refused or usable.
func FuzzDetach(f *testing.F) {
	status := saved(f, 1)
	annotation, err := Attach(&status, History{Running: map[string]estimator.Window{"a": {Peak: 1}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(annotation)
	shorter, err := pack([]byte(annotation))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(shorter)
	f.Add(packed + "H4sI")
	sum, err := hash(&status)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(`{"status":"` + sum + `","learned":{"cpu":{"first":175,"weights":[1],"total":1},"memory":{"first":-1}}}`)
	f.Fuzz(func(t *testing.T, annotation string) {
		h, whole := Detach(&status, annotation, schemes())
		if !whole {
			return
		}
		s := schemes()
		s.Memory.Add(&h.Learned.Memory, 1e9, 1, start)
		if p := s.Memory.Percentile(h.Learned.Memory, 0.9); p < 0 || p > 2e12 {
			t.Errorf("the memory percentile is %v", p)
		}
		if _, err := json.Marshal(h); err != nil {
			t.Errorf("the history cannot be recorded: %v", err)
		}
	})
}

// FuzzDecode wants that whatever the API server may hold is refused or becomes a
// history that can be used, recorded and written again.
func FuzzDecode(f *testing.F) {
	// Few buckets: a fuzzer gets nowhere from large inputs.
	f.Add([]byte(`{"version":"v3","cpuHistogram":{"bucketWeights":{"8":10000},"totalWeight":0.7,"referenceTimestamp":"2026-03-01T00:00:00Z"},"memoryHistogram":{"bucketWeights":{"17":10000,"20":1},"totalWeight":2},"firstSampleStart":"2026-03-01T10:00:00Z","lastSampleStart":"2026-03-01T11:00:00Z","totalSamplesCount":60}`))
	f.Add([]byte(`{"version":"v3","cpuHistogram":{"bucketWeights":{"0":10000},"totalWeight":1e-300,"referenceTimestamp":"9999-12-31T00:00:00Z"}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		var c vpav1.VerticalPodAutoscalerCheckpointStatus
		if json.Unmarshal(content, &c) != nil {
			return
		}
		s := schemes()
		l, err := Decode(&c, s)
		if err != nil {
			return
		}
		s.CPU.Add(&l.CPU, 1, 0.1, start)
		if p := s.CPU.Percentile(l.CPU, 0.9); p < 0 || p > 1100 {
			t.Errorf("the CPU percentile is %v", p)
		}
		state, err := json.Marshal(l)
		if err != nil {
			t.Fatalf("the history cannot be recorded: %v", err)
		}
		var back estimator.Learned
		if err := json.Unmarshal(state, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(l, back, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("the history changes in the ledger (-before +after):\n%s", diff)
		}
		if _, err := json.Marshal(Encode(l, s, start)); err != nil {
			t.Errorf("the history cannot be written again: %v", err)
		}
	})
}
