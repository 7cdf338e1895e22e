package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/utils/ptr"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

// TestOOMSurvivesTheLeader: at the default interval of a minute, a container that is
// killed for its memory is recommended more within seconds. Its pod goes, the leading
// recommender is killed with -9, and the other replica takes over: nothing is
// forgotten.
func TestOOMSurvivesTheLeader(t *testing.T) {
	t.Parallel()
	s := newVPALab(t, "oom")
	s.create(s.deployment(1))
	pod := s.running(1)[0]
	s.use([]corev1.Pod{pod}, 250, 700<<20)
	release := s.install(map[string]map[string]any{"vpaRecommender": {}})
	leading := release.Process("vpa-recommender")
	standing, err := release.AddReplica("vpa-recommender")
	if err != nil {
		t.Fatal(err)
	}
	if err := standing.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	holder := s.leader(release)

	s.create(s.vpa(vpav1.UpdateModeOff))
	calm := s.awaitRecommended(workload, 15*time.Second)
	if err := s.lab.OOMKill(t.Context(), pod.Namespace, pod.Name, "worker"); err != nil {
		t.Fatal(err)
	}
	var bumped vpav1.RecommendedContainerResources
	eventually(t, 15*time.Second, func() (err error) {
		bumped, err = s.recommended(workload)
		if least := mebibytes(700 * 6 / 5); err == nil && bumped.Target.Memory().Cmp(*least) < 0 {
			err = fmt.Errorf("the target is %s after the kill, %s before, want %s or more", bumped.Target.Memory(), calm.Target.Memory(), least)
		}
		return err
	})
	if out := s.describe(workload); !strings.Contains(out, "Recommendation Provided") && !strings.Contains(out, "RecommendationProvided") {
		t.Errorf("kubectl describe says\n%s", out)
	}

	if err := s.client.Delete(t.Context(), &pod, ctrlclient.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	s.use(s.running(1), 250, 700<<20)
	if err := leading.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := leading.Stop(); err != nil {
		t.Fatal(err)
	}
	// An object that appears now is served by the next leader, in its first pass.
	late := s.vpa(vpav1.UpdateModeOff)
	late.Name = "late"
	s.create(late)
	s.awaitRecommended("late", 40*time.Second)
	if next := s.leader(release); next == holder {
		t.Errorf("%s still leads", next)
	}
	consistently(t, 3*time.Second, func() error {
		now, err := s.recommended(workload)
		if err == nil && now.Target.Memory().Cmp(*bumped.Target.Memory()) < 0 {
			err = fmt.Errorf("the target is %s under the next leader, %s under the last", now.Target.Memory(), bumped.Target.Memory())
		}
		return err
	})
}

// leader is who holds the recommender's lease.
func (s *vpaLab) leader(release *lab.Release) (holder string) {
	s.t.Helper()
	eventually(s.t, 30*time.Second, func() error {
		var lease coordinationv1.Lease
		err := s.client.Get(s.t.Context(), ctrlclient.ObjectKey{Namespace: release.Namespace(), Name: "vpa-recommender"}, &lease)
		if holder = ptr.Deref(lease.Spec.HolderIdentity, ""); err == nil && holder == "" {
			err = fmt.Errorf("nobody leads")
		}
		return err
	})
	return holder
}
