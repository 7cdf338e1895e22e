package e2e

import (
	"fmt"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/lab/labtest"
)

// upscaleDelay is longer than it takes another leader to come.
const upscaleDelay = 30 * time.Second

// TestDelaysAndZero: a count goes to zero and comes back; and after a scale-up the
// flag's delay holds the next one back, also where the controller is killed with -9
// meanwhile and the next leader knows of the change from the status only.
func TestDelaysAndZero(t *testing.T) {
	t.Parallel()
	s := &sameStage{t: t, lab: labtest.Start(t, lab.Options{Name: "delays", Nodes: 2})}
	s.client = s.lab.Client()
	metrics := newStubMetrics(t, s.lab)
	metrics.set("work", 0)
	metrics.set("load", 20)
	s.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: sameNamespace}})
	idle := compared{begin: 2, least: -1, most: 5, metrics: []autoscalingv2.MetricSpec{externalMetric("work", averageOf(10))}}
	busy := compared{begin: 1, most: 9, metrics: []autoscalingv2.MetricSpec{externalMetric("load", averageOf(10))}}
	for name, c := range map[string]compared{"idle": idle, "busy": busy} {
		s.target(name, c)
		s.create(c.hpa(name))
	}
	release, err := s.lab.InstallChart(t.Context(), lab.ChartOptions{Values: onlyHPA(
		"--horizontal-pod-autoscaler-sync-period=1s", "--horizontal-pod-autoscaler-downscale-stabilization=1s",
		"--horizontal-pod-autoscaler-upscale-delay="+upscaleDelay.String())})
	if err == nil {
		err = release.WaitReady(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}

	s.awaitCount("busy", 2, 15*time.Second)
	first := s.object("busy").Status.LastScaleTime
	metrics.set("load", 50)
	eventually(t, 10*time.Second, func() error {
		for _, c := range s.object("busy").Status.Conditions {
			if c.Type == autoscalingv2.AbleToScale && c.Status == corev1.ConditionFalse && c.Reason == "BackoffUpscale" {
				return nil
			}
		}
		return fmt.Errorf("no condition tells of the delay: %v", s.object("busy").Status.Conditions)
	})
	s.awaitCount("idle", 0, 10*time.Second)
	metrics.set("work", 30)
	s.awaitCount("idle", 3, 10*time.Second)

	process := release.Process("hpa-controller")
	before := process.Restarts()
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.awaitCount("busy", 4, upscaleDelay+25*time.Second)
	then := s.object("busy").Status.LastScaleTime
	if first == nil || then == nil || then.Sub(first.Time) < upscaleDelay {
		t.Errorf("scaled up at %v and again at %v, want %v between them", first, then, upscaleDelay)
	}
	if process.Restarts() <= before {
		t.Error("the controller was not started again: was it killed at all?")
	}
}

func (s *sameStage) object(name string) *autoscalingv2.HorizontalPodAutoscaler {
	s.t.Helper()
	var hpa autoscalingv2.HorizontalPodAutoscaler
	if err := s.client.Get(s.t.Context(), types.NamespacedName{Namespace: sameNamespace, Name: name}, &hpa); err != nil {
		s.t.Fatal(err)
	}
	return &hpa
}

// awaitCount waits until the target of the name is asked to have so many.
func (s *sameStage) awaitCount(name string, want int32, limit time.Duration) {
	s.t.Helper()
	eventually(s.t, limit, func() error {
		hpa := s.object(name)
		got, err := s.count(hpa)
		if err == nil && (got != want || hpa.Status.LastScaleTime == nil || hpa.Status.DesiredReplicas != want) {
			err = fmt.Errorf("%s has %d, want %d: %v", name, got, want, hpa.Status.Conditions)
		}
		return err
	})
}
