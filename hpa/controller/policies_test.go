package controller

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

// policyOn is a policy for the HPA web, so many minutes old.
func policyOn(name string, minutes int, spec v1alpha1.HorizontalPolicy) *v1alpha1.HorizontalScalingPolicy {
	return &v1alpha1.HorizontalScalingPolicy{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, Generation: 1,
			CreationTimestamp: metav1.NewTime(time.Now().Add(-time.Duration(minutes) * time.Minute).Truncate(time.Second)),
		},
		Spec: v1alpha1.HorizontalScalingPolicySpec{
			TargetRef:        v1alpha1.HorizontalTarget{TargetReference: v1alpha1.TargetReference{Name: "web"}},
			HorizontalPolicy: spec,
		},
	}
}

func lasting(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

// pausing is a policy that stops both directions for a time.
func pausing(d time.Duration) v1alpha1.HorizontalPolicy {
	until := metav1.NewTime(time.Now().Add(d))
	return v1alpha1.HorizontalPolicy{Pause: &v1alpha1.Pause{Direction: v1alpha1.PauseBoth, Until: &until}}
}

// scheduled is a policy with one daily window of an hour.
func scheduled(cron string, minimum int32) v1alpha1.HorizontalPolicy {
	return v1alpha1.HorizontalPolicy{Schedules: []v1alpha1.ReplicaSchedule{{
		Name:            "day",
		RecurringWindow: v1alpha1.RecurringWindow{Cron: cron, TimeZone: "Etc/UTC", Duration: metav1.Duration{Duration: time.Hour}},
		MinReplicas:     &minimum,
	}}}
}

func readPolicy(t *testing.T, own client.Client, name string) *v1alpha1.HorizontalScalingPolicy {
	t.Helper()
	policy := &v1alpha1.HorizontalScalingPolicy{}
	if err := own.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: name}, policy); err != nil {
		t.Fatal(err)
	}
	return policy
}

// shownOn gives a condition of a policy as "status reason: message".
func shownOn(t *testing.T, own client.Client, name, kind string) string {
	t.Helper()
	c := meta.FindStatusCondition(readPolicy(t, own, name).Status.Conditions, kind)
	if c == nil {
		return ""
	}
	return string(c.Status) + " " + c.Reason + ": " + c.Message
}

func wantShown(t *testing.T, own client.Client, name, kind, want string) {
	t.Helper()
	if got := shownOn(t, own, name, kind); !strings.Contains(got, want) {
		t.Errorf("%s of %s is %q, want %q", kind, name, got, want)
	}
}

// edit changes a policy's spec as the API server would take it.
func edit(t *testing.T, own client.Client, name string, change func(*v1alpha1.HorizontalScalingPolicy)) {
	t.Helper()
	policy := readPolicy(t, own, name)
	change(policy)
	policy.Generation++
	if err := own.Update(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
}

func TestAPolicyIsAttachedAndDetached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := newOwnKinds(t, policyOn("calm", 1, pausing(time.Hour)))
		b := startOn(t, runtimeflags.ModeAuto, fake.NewClientset(webHPA()), serving(t, own))
		b.set(70000)
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if len(b.writes) != 0 {
			t.Fatalf("a paused object was scaled: %v", b.writes)
		}
		wantShown(t, own, "calm", v1alpha1.ConditionAttached, "True Attached: attached to HorizontalPodAutoscaler web")
		wantShown(t, own, "calm", v1alpha1.ConditionReady, "True InForce")
		if got := readPolicy(t, own, "calm").Status.ObservedGeneration; got != 1 {
			t.Errorf("observedGeneration %d", got)
		}
		if got := condition(b.status(t), replicas.Policed); got != "True Paused" {
			t.Errorf("%s = %q", replicas.Policed, got)
		}
		if got := strings.Count(b.told(), "attached to HorizontalPodAutoscaler web"); got != 1 {
			t.Errorf("told %d times, want once", got)
		}
		if err := own.Delete(t.Context(), readPolicy(t, own, "calm")); err != nil {
			t.Fatal(err)
		}
		b.settle()
		if len(b.writes) != 1 || b.writes[0] != 4 {
			t.Errorf("writes %v, want one of 4 at once", b.writes)
		}
		if got := condition(b.status(t), replicas.Policed); got != "" {
			t.Errorf("%s = %q after the policy has gone", replicas.Policed, got)
		}
	})
}

func TestTheOlderOfTwoPoliciesHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := newOwnKinds(t, policyOn("a-new", 1, v1alpha1.HorizontalPolicy{}), policyOn("b-old", 2, pausing(time.Hour)))
		b := startOn(t, runtimeflags.ModeAuto, fake.NewClientset(webHPA()), serving(t, own))
		b.set(70000)
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if len(b.writes) != 0 {
			t.Errorf("the newer policy holds: writes %v", b.writes)
		}
		wantShown(t, own, "b-old", v1alpha1.ConditionAttached, "True Attached")
		wantShown(t, own, "a-new", v1alpha1.ConditionAttached, "False OlderPolicyHolds: HorizontalScalingPolicy b-old is for the same HorizontalPodAutoscaler web and is older")
		wantShown(t, own, "a-new", v1alpha1.ConditionReady, "False OlderPolicyHolds")
		if err := own.Delete(t.Context(), readPolicy(t, own, "b-old")); err != nil {
			t.Fatal(err)
		}
		b.settle()
		wantShown(t, own, "a-new", v1alpha1.ConditionAttached, "True Attached")
		if len(b.writes) != 1 {
			t.Errorf("writes %v, want one", b.writes)
		}
	})
}

func TestAPolicyWaitsForItsTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := newOwnKinds(t, policyOn("early", 1, pausing(time.Hour)))
		b := startOn(t, runtimeflags.ModeAuto, fake.NewClientset(), serving(t, own))
		b.settle()
		wantShown(t, own, "early", v1alpha1.ConditionAttached, "False TargetNotFound: HorizontalPodAutoscaler web does not exist in namespace shop: create it, or correct spec.targetRef.name")
		if got := b.told(); !strings.Contains(got, "Warning TargetNotFound") {
			t.Errorf("events %q", got)
		}
		if _, err := b.client.AutoscalingV2().HorizontalPodAutoscalers("shop").Create(t.Context(), webHPA(), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		b.settle()
		wantShown(t, own, "early", v1alpha1.ConditionAttached, "True Attached")
		if got := condition(b.status(t), replicas.Policed); got != "True Paused" {
			t.Errorf("%s = %q", replicas.Policed, got)
		}
	})
}

// A spec that cannot be read leaves the last one in force, and one that never
// could be read leaves the HPA as it is without a policy.
func TestABadPolicyHarmsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := newOwnKinds(t, policyOn("night", 1, scheduled("61 * * * *", 8)))
		b := startOn(t, runtimeflags.ModeAuto, fake.NewClientset(webHPA()), serving(t, own))
		b.settle()
		wantShown(t, own, "night", v1alpha1.ConditionReady, `False ScheduleNotReadable: the policy is not in force until it is corrected: schedule "day": cron "61 * * * *" cannot be read`)
		wantShown(t, own, "night", v1alpha1.ConditionAttached, "True Attached")
		if got := condition(b.status(t), replicas.Policed); got != "True "+replicas.ReasonUnreadable || len(b.writes) != 0 || b.asked == 0 {
			t.Fatalf("%s = %q, writes %v, %d queries", replicas.Policed, got, b.writes, b.asked)
		}

		edit(t, own, "night", func(p *v1alpha1.HorizontalScalingPolicy) { p.Spec.Schedules[0].Cron = "0 0 * * *" })
		b.settle()
		wantShown(t, own, "night", v1alpha1.ConditionReady, "True InForce")
		if len(b.writes) != 1 || b.writes[0] != 8 {
			t.Fatalf("writes %v, want one of 8 at once", b.writes)
		}
		edit(t, own, "night", func(p *v1alpha1.HorizontalScalingPolicy) {
			p.Spec.Schedules[0].TimeZone = "Mars/Phobos"
			p.Spec.Schedules[0].MinReplicas = new(int32)
		})
		time.Sleep(16 * time.Second)
		synctest.Wait()
		wantShown(t, own, "night", v1alpha1.ConditionReady, `False ScheduleNotReadable: the spec of generation 2 stays in force until the policy is corrected: schedule "day": timeZone "Mars/Phobos"`)
		if got := condition(b.status(t), replicas.Policed); got != "True "+replicas.ReasonUnreadable {
			t.Errorf("%s = %q", replicas.Policed, got)
		}
		if b.writes[len(b.writes)-1] != 8 {
			t.Errorf("the last good spec is not in force: writes %v", b.writes)
		}
	})
}

// A turn is due at the moment at which a window opens or closes, or a pause ends,
// and once a sync period of the policy.
func TestTurnsAtTheMomentOfAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The bubble begins at midnight.
		spec := scheduled("1 0 * * *", 6)
		spec.Schedules[0].Duration = *lasting(3 * time.Minute)
		spec.SyncPeriod = lasting(10 * time.Minute)
		own := newOwnKinds(t, policyOn("window", 1, spec))
		b := startOn(t, runtimeflags.ModeAuto, fake.NewClientset(webHPA()), serving(t, own))
		asked := b.asked
		time.Sleep(58 * time.Second)
		synctest.Wait()
		if len(b.writes) != 0 || b.asked != asked {
			t.Fatalf("writes %v and %d queries before the window", b.writes, b.asked-asked)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(b.writes) != 1 || b.writes[0] != 6 {
			t.Fatalf("writes %v when the window opened, want one of 6", b.writes)
		}
		if got := condition(b.status(t), replicas.Policed); got != "True ScheduleInForce" {
			t.Errorf("%s = %q", replicas.Policed, got)
		}
		time.Sleep(3*time.Minute - time.Second)
		synctest.Wait()
		if got := condition(b.status(t), replicas.Policed); got != "True ScheduleInForce" {
			t.Errorf("%s = %q before the window closed", replicas.Policed, got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := condition(b.status(t), replicas.Policed); got != "True Attached" {
			t.Errorf("%s = %q when the window closed", replicas.Policed, got)
		}
	})
}

func TestAPausesEndIsATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := pausing(20 * time.Second)
		own := newOwnKinds(t, policyOn("calm", 1, spec))
		b := startOn(t, runtimeflags.ModeAuto, fake.NewClientset(webHPA()), serving(t, own))
		b.set(70000)
		time.Sleep(18 * time.Second)
		synctest.Wait()
		if len(b.writes) != 0 {
			t.Fatalf("writes %v during the pause", b.writes)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(b.writes) != 1 {
			t.Errorf("writes %v at the end of the pause, want one", b.writes)
		}
	})
}

func TestAPolicysSyncPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := newOwnKinds(t, policyOn("fast", 1, v1alpha1.HorizontalPolicy{SyncPeriod: lasting(5 * time.Second)}))
		b := startOn(t, runtimeflags.ModeAuto, fake.NewClientset(webHPA()), serving(t, own))
		time.Sleep(time.Minute)
		synctest.Wait()
		if b.asked < 12 || b.asked > 14 {
			t.Errorf("%d queries in a minute, want one each 5 s", b.asked)
		}
		edit(t, own, "fast", func(p *v1alpha1.HorizontalScalingPolicy) { p.Spec.SyncPeriod = lasting(time.Minute) })
		b.settle()
		time.Sleep(10 * time.Second)
		before := b.asked
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := b.asked - before; got < 2 || got > 3 {
			t.Errorf("%d queries in two minutes, want one a minute", got)
		}
	})
}

func TestAPolicysStatusIsWrittenOnceOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := newOwnKinds(t, policyOn("calm", 1, pausing(time.Hour)))
		b := startOn(t, runtimeflags.ModeAuto, fake.NewClientset(webHPA()), serving(t, own))
		before := readPolicy(t, own, "calm").ResourceVersion
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if after := readPolicy(t, own, "calm").ResourceVersion; after != before {
			t.Errorf("written again: %s, then %s", before, after)
		}
		if got := strings.Count(b.told(), "in force for"); got != 1 {
			t.Errorf("told %d times, want once", got)
		}
	})
}

func TestAScalersOwnPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		scaler := webScaler()
		spec := pausing(time.Hour)
		scaler.Spec.Policy = &spec
		own := newOwnKinds(t, scaler)
		b := startOn(t, runtimeflags.ModeAuto, fake.NewClientset(), serving(t, own))
		b.set(70000)
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if got := condition(scalerStatus(t, own).Status, replicas.Policed); got != "True Paused" || len(b.writes) != 0 {
			t.Errorf("%s = %q, writes %v", replicas.Policed, got, b.writes)
		}
		scaler = scalerStatus(t, own)
		scaler.Spec.Policy = nil
		if err := own.Update(t.Context(), scaler); err != nil {
			t.Fatal(err)
		}
		b.settle()
		if len(b.writes) != 1 {
			t.Errorf("writes %v, want one at once", b.writes)
		}
	})
}
