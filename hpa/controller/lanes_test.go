package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
)

func TestLaneOf(t *testing.T) {
	container := autoscalingv2.MetricSpec{ContainerResource: &autoscalingv2.ContainerResourceMetricSource{}}
	pods := autoscalingv2.MetricSpec{Pods: &autoscalingv2.PodsMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: "rate"}}}
	described := autoscalingv2.MetricSpec{Object: &autoscalingv2.ObjectMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: "rate"}}}
	tests := map[string]struct {
		metrics []autoscalingv2.MetricSpec
		want    string
	}{
		"none":           {nil, "resource"},
		"resource":       {[]autoscalingv2.MetricSpec{cpuMetric()}, "resource"},
		"both resources": {[]autoscalingv2.MetricSpec{cpuMetric(), container}, "resource"},
		"one custom":     {[]autoscalingv2.MetricSpec{pods, described}, "custom/rate"},
		"in any order":   {[]autoscalingv2.MetricSpec{cpuMetric(), externalMetric("depth"), pods}, "custom/rate\nexternal/depth\nresource"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			hpa := webHPA()
			hpa.Spec.Metrics = tc.metrics
			if got := laneOf(hpa); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLanes(t *testing.T) {
	key := func(i int) (o object) {
		o.Name = fmt.Sprint(i)
		return o
	}
	l := newLanes()
	for i := range laneTurns {
		if !l.enter("a", key(i)) {
			t.Fatalf("turn %d of %d may not begin", i, laneTurns)
		}
	}
	if l.enter("a", key(200)) || l.enter("a", key(201)) || l.enter("a", key(200)) || l.enter("a", key(202)) {
		t.Error("more turns than a lane has begin")
	}
	if !l.enter("b", key(300)) {
		t.Error("a lane waits for another")
	}
	if diff := cmp.Diff([]object{key(200)}, l.leave("a"), cmp.AllowUnexported(object{})); diff != "" {
		t.Error(diff)
	}
	// It did not come, and another one did.
	if !l.enter("a", key(201)) {
		t.Error("there is room")
	}
	if diff := cmp.Diff([]object{key(202)}, l.leave("a"), cmp.AllowUnexported(object{})); diff != "" {
		t.Error(diff)
	}
	for range laneTurns - 1 {
		if got := l.leave("a"); got != nil {
			t.Errorf("%v waits no more", got)
		}
	}
	l.leave("b")
	if len(l.by) != 0 {
		t.Errorf("%d lanes are left", len(l.by))
	}
}

func TestAwaitGivesTheSlotAway(t *testing.T) {
	s := newSlots(1)
	s.take()
	answered, open := make(chan struct{}), make(chan struct{})
	close(answered)
	if err := s.await(t.Context(), []pending{{done: answered}}); err != nil || len(s.work) != 1 {
		t.Errorf("nothing to wait for: %v, %d slots taken", err, len(s.work))
	}
	ended := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- s.await(ctx, []pending{{done: answered}, {done: open}}) }()
	select {
	case s.work <- struct{}{}:
	case <-time.After(time.Minute):
		t.Fatal("the slot is kept while waiting")
	}
	cancel()
	select {
	case err := <-ended:
		t.Fatalf("went on without a slot: %v", err)
	default:
	}
	s.give()
	if err := <-ended; err == nil {
		t.Error("a context that ended is no error")
	}
}

func TestWritesLeaveTheSlotAndAreBounded(t *testing.T) {
	s := newSlots(1)
	var writing sync.WaitGroup
	begun, finish := make(chan struct{}), make(chan struct{})
	for range writesPerSlot {
		writing.Go(func() {
			s.take()
			defer s.give()
			_ = s.write(func() error {
				begun <- struct{}{}
				<-finish
				return nil
			})
		})
		<-begun
	}
	s.take()
	ended := make(chan error)
	go func() { ended <- s.write(func() error { return context.Canceled }) }()
	select {
	case err := <-ended:
		t.Errorf("one more was written than may be: %v", err)
	case s.work <- struct{}{}:
		t.Error("a slot was given away without room to write")
	default:
	}
	close(finish)
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v is lost", err)
	}
	s.give()
	writing.Wait()
	if len(s.work) != 0 || len(s.writes) != 0 {
		t.Errorf("%d slots and %d writes are left", len(s.work), len(s.writes))
	}
	var none *slots
	if err := none.write(func() error { return context.Canceled }); !errors.Is(err, context.Canceled) {
		t.Errorf("without a bound: %v", err)
	}
}
