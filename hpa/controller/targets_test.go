package controller

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

// webDeployment is what the cache shows of the bench's target.
func webDeployment(count int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", ResourceVersion: "1"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &count, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
		},
		Status: appsv1.DeploymentStatus{Replicas: count},
	}
}

func TestACachedTargetIsNotAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startOn(t, runtimeflags.ModeAuto, fake.NewClientset(webHPA(), webDeployment(2)))
		time.Sleep(time.Minute)
		synctest.Wait()
		if b.asked < 4 || b.reads != 0 {
			t.Errorf("%d turns took %d requests for the scale, want none", b.asked, b.reads)
		}
		b.set(70000)
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]int32{4}, b.writes); diff != "" {
			t.Error(diff)
		}
		// The fake does not carry the write over to the Deployment: as long as the
		// cache lags, the count that was written holds.
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if len(b.writes) != 2 || b.writes[1] != 7 {
			t.Errorf("writes %v, want 7 on top of 4: decided by a count that was written over", b.writes)
		}
	})
}

// TestATargetThatMovedIsDecidedOnAgain has somebody scale the target while the cache
// still shows it as it was.
func TestATargetThatMovedIsDecidedOnAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startOn(t, runtimeflags.ModeAuto, fake.NewClientset(webHPA(), webDeployment(2)))
		b.mu.Lock()
		b.scale = 6
		b.conflict = func(s *autoscalingv1.Scale) error {
			if s.ResourceVersion == "1" {
				return apierrors.NewConflict(appsv1.Resource("deployments"), "web", errors.New("changed"))
			}
			return nil
		}
		b.mu.Unlock()
		b.set(70000)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		// From 2 a step goes to 4 at most, from 6 to all of the 7 that are wanted.
		if diff := cmp.Diff([]int32{7}, b.writes); diff != "" {
			t.Error(diff)
		}
		if got := b.told(); strings.Contains(got, "FailedRescale") || !strings.Contains(got, "New size: 7") {
			t.Errorf("events %q", got)
		}
		if got := condition(b.status(t), replicas.AbleToScale); got != "True SucceededRescale" {
			t.Errorf("AbleToScale = %q", got)
		}
	})
}
