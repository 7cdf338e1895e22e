package e2e

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
)

// TestKilledBinariesComeBack kills each binary with -9 in the middle of the loop:
// it comes back and the loop finishes. Not parallel: the other tests share the
// binaries.
func TestKilledBinariesComeBack(t *testing.T) {
	for _, name := range []string{"metrics-adapter", "hpa-controller"} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, suite.lab).withQueueLoop()
			s.fill(60)
			s.awaitReplicas(3, 3, 30*time.Second)

			process := suite.release.Process(name)
			before := process.Restarts()
			if err := process.Kill(); err != nil {
				t.Fatal(err)
			}
			s.fill(60)
			consistently(t, 2*time.Second, func() error {
				if got := s.replicas(); got < 3 {
					return fmt.Errorf("%d replicas after the kill, want 3 held or more", got)
				}
				return nil
			})
			// A lease that its holder could not give back must run out first.
			s.awaitReplicas(6, 6, 60*time.Second)
			if got := process.Restarts(); got <= before {
				t.Errorf("%d restarts, want more than %d: was it killed at all?", got, before)
			}
			s.work(20)
			s.awaitDrained(60 * time.Second)
		})
	}
}

// TestWebhookDownBlocksNoPod: with vpa-admission away, pods of a workload with a
// VPA start as they are, and the updater evicts none. Not parallel, as above.
func TestWebhookDownBlocksNoPod(t *testing.T) {
	process := suite.release.Process("vpa-admission")
	if err := process.Stop(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		process.Start()
		if err := process.WaitReady(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	s := newStage(t, suite.lab)
	_, err := s.vpas().AutoscalingV1().VerticalPodAutoscalers(s.namespace).Create(t.Context(), s.vpa(vpav1.UpdateModeRecreate), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.create(s.deployment(2))
	s.awaitRunning(workload, 2)
}
