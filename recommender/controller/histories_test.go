package controller

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	clienttesting "k8s.io/client-go/testing"

	"github.com/quartet-autoscaling/quartet/recommender/checkpoint"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

func (w *world) checkpoint(vpa string) *vpav1.VerticalPodAutoscalerCheckpoint {
	w.t.Helper()
	all := w.checkpoints()
	i := slices.IndexFunc(all, func(c vpav1.VerticalPodAutoscalerCheckpoint) bool { return c.Spec.VPAObjectName == vpa })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// remove deletes a VPA, in the API server and in the cache.
func (w *world) remove(name string) {
	w.t.Helper()
	if err := w.vpasAPI.AutoscalingV1().VerticalPodAutoscalers(namespace).Delete(w.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
	w.until("the VPA is gone", func() bool { return w.vpas.any(namespace, name) == nil })
}

func (w *world) add(v *vpav1.VerticalPodAutoscaler) {
	w.t.Helper()
	if _, err := w.vpasAPI.AutoscalingV1().VerticalPodAutoscalers(namespace).Create(w.t.Context(), v, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	w.until("the VPA is there", func() bool { return w.vpas.any(namespace, v.Name) != nil })
}

func (w *world) learned(vpa string) estimator.Learned { return w.history(vpa).Learned["app"] }

// TestWhatIsWrittenAtOnce: a first sample and a higher peak at once, the rest when
// it is due, and nothing where nothing was learned.
func TestWhatIsWrittenAtOnce(t *testing.T) {
	w := newWorld(t, vpa("orders"))
	start := time.Now().Add(-time.Hour)
	wrote := func() int {
		n := w.passes.histories.queue.count()
		w.write()
		return n
	}
	for i, step := range []struct {
		name   string
		memory string
		fresh  bool
		want   int
	}{
		{"the first sample", "256Mi", true, 1},
		{"the same again", "256Mi", true, 0},
		{"a little more, of the same bucket", "257Mi", true, 0},
		{"a new peak", "512Mi", true, 1},
		{"no new sample", "512Mi", false, 0},
	} {
		if step.fresh {
			start = start.Add(time.Minute)
		}
		w.turn(start, "100m", step.memory)
		if got := wrote(); got != step.want {
			t.Errorf("%d, %s: %d writes, want %d", i, step.name, got, step.want)
		}
	}
}

// TestNothingIsLostAtAKill: whatever the moment of the end, kills for memory and
// peaks are known to the next process, and all else as of the last writes.
func TestNothingIsLostAtAKill(t *testing.T) {
	w := newWorld(t, vpa("orders"))
	start := time.Now().Add(-time.Hour)
	w.pass(start, "100m", "256Mi")
	p := pod()
	at := metav1.NewTime(start.Add(30 * time.Second))
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app",
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", FinishedAt: at}}}}
	if _, err := w.kube.CoreV1().Pods(namespace).UpdateStatus(t.Context(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.until("the kill is seen", func() bool {
		pods := w.pods.matching(namespace, labels.Everything())
		return len(pods) == 1 && !pods[0].containers[0].Killed.IsZero()
	})
	w.pass(start.Add(time.Minute), "100m", "100Mi")
	before := w.history("orders")
	if before.Windows["orders-1"]["app"].OOMPeak == 0 {
		t.Fatalf("the kill was not learned: %+v", before.Windows)
	}
	// The pod and what it says of the kill go, and the process ends.
	if err := w.kube.CoreV1().Pods(namespace).Delete(t.Context(), "orders-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.pass(start.Add(2*time.Minute), "100m", "100Mi")
	if diff := cmp.Diff(before.Learned["app"].Memory, w.learned("orders").Memory); diff != "" {
		t.Errorf("the memory's history after the end (-before +after):\n%s", diff)
	}
	if got := *w.vpa().Status.Recommendation; len(got.ContainerRecommendations) != 1 {
		t.Errorf("recommended %+v", got)
	}
}

// TestReturnsWithItsHistory: an object that is made anew, by its own name or by
// another for the same target, goes on with what was learned, written or not.
func TestReturnsWithItsHistory(t *testing.T) {
	again := func(name, uid string) *vpav1.VerticalPodAutoscaler {
		v := vpa(name)
		v.UID = types.UID(uid)
		return v
	}
	for name, change := range map[string]func(w *world){
		"by its name, seen to be gone": func(w *world) {
			w.remove("orders")
			w.passes.pass(w.t.Context(), w.t.Context(), w.passes.all())
			w.add(again("orders", "uid-2"))
		},
		"by its name, between two passes": func(w *world) {
			w.remove("orders")
			w.add(again("orders", "uid-2"))
		},
		"by its name, after a restart": func(w *world) {
			w.remove("orders")
			w.passes.pass(w.t.Context(), w.t.Context(), w.passes.all())
			w.write()
			w.add(again("orders", "uid-2"))
			w.start()
		},
		"by another name, the old one gone": func(w *world) {
			w.remove("orders")
			w.passes.pass(w.t.Context(), w.t.Context(), w.passes.all())
			w.write()
			w.passes.clean(w.t.Context(), time.Now())
			w.add(again("renamed", "uid-2"))
		},
		"by another name, before the old one goes": func(w *world) {
			w.add(again("renamed", "uid-2"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, vpa("orders"))
			start := time.Now().Add(-time.Hour)
			w.pass(start, "100m", "256Mi")
			// These are not due to be written yet.
			w.turn(start.Add(time.Minute), "100m", "256Mi")
			w.turn(start.Add(2*time.Minute), "100m", "256Mi")
			change(w)
			w.pass(start.Add(3*time.Minute), "100m", "256Mi")
			at := "orders"
			if w.vpas.any(namespace, "renamed") != nil {
				at = "renamed"
			}
			if got := w.learned(at).Samples; got != 4 {
				t.Errorf("%d samples, want 4", got)
			}
			if c := w.checkpoint(at); c == nil || c.Status.TotalSamplesCount < 1 || c.Annotations[checkpoint.TargetAnnotation] != "apps/v1/Deployment/orders" {
				t.Errorf("the checkpoint is %+v", c)
			}
		})
	}
}

// TestAnotherTargetsHistoryIsNotTaken: what is gone was learned elsewhere.
func TestAnotherTargetsHistoryIsNotTaken(t *testing.T) {
	w := newWorld(t, vpa("orders"))
	start := time.Now().Add(-time.Hour)
	w.pass(start, "100m", "256Mi")
	w.remove("orders")
	other := vpa("payments")
	other.Spec.TargetRef.Name = "payments"
	w.add(other)
	w.pass(start.Add(time.Minute), "100m", "256Mi")
	if got := w.history("payments").Learned; len(got) > 0 {
		t.Errorf("learned %+v from another target", got)
	}
}

// TestCleansUpAfterVPAs keeps the checkpoints of a VPA that is gone for a grace
// time, also over a restart, and whatever happens those of one that is there.
func TestCleansUpAfterVPAs(t *testing.T) {
	orphan := &vpav1.VerticalPodAutoscalerCheckpoint{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "gone-app", UID: "u"},
		Spec: vpav1.VerticalPodAutoscalerCheckpointSpec{VPAObjectName: "gone", ContainerName: "app"}}
	w := newWorld(t, vpa("orders"), orphan)
	w.pass(time.Now(), "100m", "256Mi")
	names := func() []string {
		var out []string
		for _, c := range w.checkpoints() {
			out = append(out, c.Name)
		}
		slices.Sort(out)
		return out
	}
	now := time.Now()
	for _, step := range []struct {
		name  string
		after time.Duration
		do    func()
		want  []string
	}{
		{"just seen", 0, func() {}, []string{"gone-app", "orders-app"}},
		{"within the grace time", 23 * time.Hour, w.start, []string{"gone-app", "orders-app"}},
		{"its VPA is back", 25 * time.Hour, func() { w.add(vpa("gone")) }, []string{"gone-app", "orders-app"}},
		{"gone again", 26 * time.Hour, func() { w.remove("gone") }, []string{"gone-app", "orders-app"}},
		{"still within", 49 * time.Hour, func() {}, []string{"gone-app", "orders-app"}},
		{"after the grace time", 51 * time.Hour, func() {}, []string{"orders-app"}},
	} {
		step.do()
		w.passes.clean(t.Context(), now.Add(step.after))
		if diff := cmp.Diff(step.want, names()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
}

// TestACheckpointMadeMeanwhileIsOurs: a name that is taken by the same VPA and
// container, as by the leader before us, is written and not made a second time.
func TestACheckpointMadeMeanwhileIsOurs(t *testing.T) {
	w := newWorld(t, vpa("orders"))
	w.turn(time.Now().Add(-time.Hour), "100m", "256Mi")
	made := &vpav1.VerticalPodAutoscalerCheckpoint{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "orders-app"},
		Spec: vpav1.VerticalPodAutoscalerCheckpointSpec{VPAObjectName: "orders", ContainerName: "app"}}
	if _, err := w.vpasAPI.AutoscalingV1().VerticalPodAutoscalerCheckpoints(namespace).Create(t.Context(), made, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.write()
	if all := w.checkpoints(); len(all) != 1 || all[0].Status.TotalSamplesCount != 1 {
		t.Errorf("checkpoints %+v, want the one that was there, written", all)
	}
}

// TestAFailedWriteIsMadeUp: what could not be written is not taken for written.
func TestAFailedWriteIsMadeUp(t *testing.T) {
	w := newWorld(t, vpa("orders"))
	broken := true
	w.vpasAPI.PrependReactor("create", "verticalpodautoscalercheckpoints", func(clienttesting.Action) (bool, runtime.Object, error) {
		return broken, nil, errors.New("the API server is down")
	})
	w.pass(time.Now().Add(-time.Hour), "100m", "256Mi")
	if w.checkpoint("orders") != nil {
		t.Fatal("written all the same")
	}
	broken = false
	w.until("it is tried again", func() bool { return w.passes.histories.queue.count() > 0 })
	w.write()
	if c := w.checkpoint("orders"); c == nil || c.Status.TotalSamplesCount != 1 {
		t.Errorf("the checkpoint is %+v", c)
	}
}

// TestBoundsAreWrittenLater: a status of which only bounds moved waits for its
// time, is written as decided last, and not over a newer one.
func TestBoundsAreWrittenLater(t *testing.T) {
	w := newWorld(t, vpa("orders"))
	start := time.Now().Add(-time.Hour)
	upper := func() int64 {
		return w.vpa().Status.Recommendation.ContainerRecommendations[0].UpperBound.Memory().Value()
	}
	w.pass(start, "100m", "256Mi")
	w.seen()
	first := upper()
	for i := range 3 {
		w.turn(start.Add(time.Duration(i+1)*time.Minute), "100m", "256Mi")
	}
	if got := upper(); got != first || w.passes.bounds.queue.count() != 1 {
		t.Fatalf("the upper bound is %d, was %d; %d wait, want one", got, first, w.passes.bounds.queue.count())
	}
	w.write()
	unit := w.passes.units[types.NamespacedName{Namespace: namespace, Name: "orders"}]
	shown, _ := w.publisher.store.Get(namespace, "orders")
	if got := upper(); got >= first || shown.Name != unit.Name {
		t.Errorf("the upper bound is %d after the write, was %d", got, first)
	}
	if n := len(w.passes.bounds.latest); n != 0 {
		t.Errorf("%d decisions are kept after the write", n)
	}
}

// TestLimitsOfRequestsLeaveRoomForAPass: new objects are not held up by the
// client's own limit.
func TestLimitsOfRequestsLeaveRoomForAPass(t *testing.T) {
	flags := NewCommand().Flags
	if flags.KubeAPIQPS < 1000 || flags.KubeAPIBurst < 2000 {
		t.Errorf("%v requests a second and %d at once", flags.KubeAPIQPS, flags.KubeAPIBurst)
	}
}

// TestAKillWakesItsObject: the turn after a kill for memory does not wait for the
// pass.
func TestAKillWakesItsObject(t *testing.T) {
	w := newWorld(t, vpa("orders"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.passes.run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	w.use(time.Now(), "100m", "256Mi")
	w.until("the first pass was made", func() bool { return condition(w.vpa(), estimator.RecommendationProvided) != nil })
	p := pod()
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app",
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", FinishedAt: metav1.Now()}}}}
	if _, err := w.kube.CoreV1().Pods(namespace).UpdateStatus(t.Context(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.until("the kill is in the checkpoint", func() bool {
		c := w.checkpoint("orders")
		return c != nil && strings.Contains(c.Annotations[checkpoint.Annotation], "oomPeak")
	})
}

// TestAllHistoryIsReadAtOnce: the first pass over many namespaces reads checkpoints
// once, and each namespace gets its own.
func TestAllHistoryIsReadAtOnce(t *testing.T) {
	w := newWorld(t, vpa("orders"))
	w.pass(time.Now().Add(-time.Hour), "100m", "256Mi")
	elsewhere := w.checkpoint("orders").DeepCopy()
	elsewhere.Namespace, elsewhere.ResourceVersion = "elsewhere", ""
	if _, err := w.vpasAPI.AutoscalingV1().VerticalPodAutoscalerCheckpoints("elsewhere").Create(t.Context(), elsewhere, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.vpasAPI.ClearActions()
	shared := w.passes.newPass()
	shared.first = true
	for space, want := range map[string]int{namespace: 1, "elsewhere": 1, "empty": 0} {
		found, err := shared.archive(t.Context(), space)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(found.state("orders").Learned); got != want {
			t.Errorf("%s: %d containers are known, want %d", space, got, want)
		}
	}
	if n := len(w.vpasAPI.Actions()); n != 1 {
		t.Errorf("%d requests, want one", n)
	}
}

// TestWhatWaitsIsNotWrittenBesideAnother: another recommender came since a write was
// queued.
func TestWhatWaitsIsNotWrittenBesideAnother(t *testing.T) {
	w := newWorld(t, vpa("orders"))
	start := time.Now().Add(-time.Hour)
	w.turn(start, "100m", "256Mi")
	if w.passes.histories.queue.count() != 1 {
		t.Fatal("nothing waits to be written")
	}
	seconds, holder, now := int32(15), "them", metav1.NowMicro()
	if err := w.kube.Tracker().Add(&coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "vpa-recommender-lease"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &now},
	}); err != nil {
		t.Fatal(err)
	}
	w.pass(start.Add(time.Minute), "100m", "256Mi")
	if c := w.checkpoint("orders"); c != nil {
		t.Errorf("written beside another recommender: %+v", c)
	}
}
