package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/shards"
)

const (
	ratePeriod = 10 * time.Minute
	rateChange = 2
	turnPeriod = 15 * time.Second
)

// slowly allows two pods in ten minutes either way, and has no windows.
func slowly() *autoscalingv2.HorizontalPodAutoscalerBehavior {
	rules := func() *autoscalingv2.HPAScalingRules {
		none := int32(0)
		return &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: &none, Policies: []autoscalingv2.HPAScalingPolicy{
			{Type: autoscalingv2.PodsScalingPolicy, Value: rateChange, PeriodSeconds: int32(ratePeriod.Seconds())},
		}}
	}
	return &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: rules(), ScaleDown: rules()}
}

// TestKilledAtEachInstruction kills the controller at each instruction of a turn
// that changes a count. The next one takes no step that the policy forbids, and
// none later than it allows: a change that was not made does not count.
func TestKilledAtEachInstruction(t *testing.T) {
	loads := map[string]struct {
		count  int32
		depth  int64
		counts []int32
	}{
		behavior.Up:   {2, 300_000, []int32{4, 6, 8}},
		behavior.Down: {20, 30_000, []int32{18, 16, 14}},
	}
	for direction, load := range loads {
		for _, instruction := range []string{beforeShard, afterShard, beforeScale, afterScale, beforeStatus, afterStatus} {
			t.Run(direction+" "+instruction, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newTown(t, slowly())
					w.count = load.count
					w.ask(int64(load.count) * 10_000)
					a := w.begin(t, "a")
					time.Sleep(time.Minute)
					a.die(instruction)
					w.ask(load.depth)
					time.Sleep(turnPeriod + time.Second)
					synctest.Wait()
					if !a.dead {
						t.Fatalf("it never came to the instruction; writes %v", w.written())
					}
					a.kill()
					time.Sleep(20 * time.Second)
					w.begin(t, "b")
					time.Sleep(2*ratePeriod + 2*turnPeriod)
					synctest.Wait()
					held(t, w.written(), load.counts)
					w.replayed(t)
				})
			})
		}
	}
}

// held compares the counts that were written, and wants one period between two,
// and no more than two turns beyond that.
func held(t *testing.T, writes []write, want []int32) {
	t.Helper()
	var counts []int32
	for i, w := range writes {
		counts = append(counts, w.count)
		if i == 0 {
			continue
		}
		if pause := w.at.Sub(writes[i-1].at); pause < ratePeriod || pause > ratePeriod+2*turnPeriod {
			t.Errorf("%d came %s after the one before, want %s and little more", w.count, pause, ratePeriod)
		}
	}
	if !slices.Equal(counts, want) {
		t.Errorf("counts %v, want %v", counts, want)
	}
}

// within gives windows of five minutes both ways and no limit of the rate.
func within() *autoscalingv2.HorizontalPodAutoscalerBehavior {
	rules := func() *autoscalingv2.HPAScalingRules {
		seconds := int32(300)
		return &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: &seconds, Policies: []autoscalingv2.HPAScalingPolicy{
			{Type: autoscalingv2.PodsScalingPolicy, Value: 1000, PeriodSeconds: 15},
		}}
	}
	return &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: rules(), ScaleDown: rules()}
}

// TestWindowsGoOnAfterAKill kills the controller in the middle of a window: the
// next one changes the count when the window allows it, not before and not a
// window later.
func TestWindowsGoOnAfterAKill(t *testing.T) {
	const window = 5 * time.Minute
	for name, load := range map[string]struct{ before, after int32 }{
		"up": {2, 12}, "down": {12, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t, within())
				w.count = load.before
				w.ask(int64(load.before) * 10_000)
				a := w.begin(t, "a")
				time.Sleep(6 * time.Minute)
				w.ask(int64(load.after) * 10_000)
				changed := time.Now()
				time.Sleep(200 * time.Second)
				a.kill()
				if len(w.written()) != 0 {
					t.Fatalf("the window did not hold: %v", w.written())
				}
				time.Sleep(20 * time.Second)
				w.begin(t, "b")
				time.Sleep(window)
				synctest.Wait()
				writes := w.written()
				if len(writes) != 1 || writes[0].count != load.after {
					t.Fatalf("writes %v, want one of %d", writes, load.after)
				}
				// Of the last pass before the load changed, at the most, nothing is known.
				if after := writes[0].at.Sub(changed); after < window-2*turnPeriod || after > window+2*turnPeriod {
					t.Errorf("changed %s after the load did, want %s", after, window)
				}
				w.replayed(t)
			})
		})
	}
}

// TestADeposedControllerActsNoMore: one that still believes to lead changes
// nothing once another has taken the state over.
func TestADeposedControllerActsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, slowly())
		a := w.begin(t, "a")
		b := w.begin(t, "b")
		b.kill()
		w.ask(300_000)
		time.Sleep(time.Minute)
		synctest.Wait()
		if !errors.Is(a.ended, shards.ErrDeposed) {
			t.Errorf("it ended with %v", a.ended)
		}
		if got := w.written(); len(got) != 0 {
			t.Errorf("it wrote %v", got)
		}
	})
}

// TestWithoutShardsItActsAsUpstreamDoes: where the API does not take them.
func TestWithoutShardsItActsAsUpstreamDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, slowly())
		w.shards.Before = func(context.Context, string, string) error { return errors.New("no role") }
		a := w.begin(t, "a")
		w.ask(300_000)
		time.Sleep(turnPeriod + 5*time.Second)
		synctest.Wait()
		if got := w.written(); len(got) != 1 || got[0].count != 4 {
			t.Errorf("writes %v, want one of 4", got)
		}
		if text, err := a.c.history.check().Func(t.Context()); err != nil || text != "not kept, a restart would forget it: no role" {
			t.Errorf("readiness says %q, %v", text, err)
		}
	})
}

// TestOnlyWhatIsThereIsRestored: not the state of an object whose name another has
// now.
func TestOnlyWhatIsThereIsRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, slowly())
		a := w.begin(t, "a")
		time.Sleep(turnPeriod)
		a.kill()
		hpas := w.client.AutoscalingV2().HorizontalPodAutoscalers("shop")
		if err := hpas.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		another := webHPA()
		another.UID = "u2"
		if _, err := hpas.Create(t.Context(), another, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		b := w.begin(t, "b")
		b.cancel()
		b.running.Wait()
		if got := fmt.Sprint(slices.Collect(maps.Keys(w.kept(t)))); got != fmt.Sprint([]decision.Unit{{Kind: replicas.Kind, Namespace: "shop", Name: "web", UID: "u2"}}) {
			t.Errorf("kept are %s", got)
		}
	})
}

// kept reads the states in the shards.
func (w *town) kept(t *testing.T) map[decision.Unit]replicas.State {
	t.Helper()
	items, err := w.shards.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[decision.Unit]replicas.State{}
	for i := range items {
		records, err := shards.Decode(items[i].Spec.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if out[r.Unit], err = replicas.DecodeState(r.State); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}
