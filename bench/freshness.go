package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/queue"
)

const (
	freshnessMessages = 60
	freshnessLimit    = 30 * time.Second
	freshnessMetric   = "bench-depth"
	freshnessSpace    = "freshness"
)

// freshness publishes messages one after the other, at moments that have nothing
// to do with the polls, and gives the median time from the broker's confirmation
// to the first read, through the aggregation layer, that sees the message.
func freshness(system string, poll time.Duration, change func(*v1alpha1.Source)) func(context.Context) (result, error) {
	return func(ctx context.Context) (r result, err error) {
		stage, err := startAdapter(ctx)
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, stage.lab.Stop()) }()
		broker, err := queue.Start(ctx, system, filepath.Join(stage.lab.Dir(), "broker"))
		if err != nil {
			return r, err
		}
		defer broker.Close()
		source := broker.Source()
		if change != nil {
			change(&source)
		}
		if err := stage.createFreshness(ctx, source, poll); err != nil {
			return r, err
		}
		client, err := externalMetricsClient(stage.lab.Config())
		if err != nil {
			return r, err
		}
		took, err := publishAndSee(ctx, broker, client)
		if err != nil {
			return r, err
		}
		return result{Value: median(took), Unit: "s"}, nil
	}
}

func (s *adapterStage) createFreshness(ctx context.Context, source v1alpha1.Source, poll time.Duration) error {
	if err := s.lab.Client().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: freshnessSpace}}); err != nil {
		return fmt.Errorf("create a namespace: %w", err)
	}
	return s.lab.Client().Create(ctx, &v1alpha1.MetricSource{
		ObjectMeta: metav1.ObjectMeta{Namespace: freshnessSpace, Name: "bench"},
		Spec: v1alpha1.MetricSourceSpec{
			PollInterval: metav1.Duration{Duration: poll}, Source: source,
			Metrics: []v1alpha1.SourceMetric{{Name: freshnessMetric, Value: v1alpha1.ValueDepth}},
		},
	})
}

func publishAndSee(ctx context.Context, broker queue.Broker, client rest.Interface) ([]float64, error) {
	conn, err := broker.Connect("bench")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := awaitValue(ctx, client, "0"); err != nil {
		return nil, err
	}
	var took []float64
	for n := range freshnessMessages {
		// Steps of the golden ratio fall evenly into the interval of any poll.
		time.Sleep(time.Duration(float64(time.Second) * float64((n*618)%1000) / 1000))
		if err := conn.Publish(ctx, strconv.Itoa(n)); err != nil {
			return nil, fmt.Errorf("publish a message: %w", err)
		}
		begin := time.Now()
		seen, err := awaitValue(ctx, client, strconv.Itoa(n+1))
		if err != nil {
			return nil, err
		}
		took = append(took, seen.Sub(begin).Seconds())
	}
	return took, nil
}

// awaitValue reads until the metric has a value, and gives when it had it.
func awaitValue(ctx context.Context, client rest.Interface, want string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, freshnessLimit)
	defer cancel()
	var last string
	for {
		got, err := readMetric(ctx, client, freshnessSpace, freshnessMetric)
		switch {
		case err == nil && got == want:
			return time.Now(), nil
		case err != nil:
			last = err.Error()
		default:
			last = got
		}
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("the metric did not become %s: %s", want, last)
		case <-time.After(2 * time.Millisecond):
		}
	}
}
