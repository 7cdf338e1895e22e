package controller

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	clienttesting "k8s.io/client-go/testing"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

func condition(vpa *vpav1.VerticalPodAutoscaler, kind string) *vpav1.VerticalPodAutoscalerCondition {
	for i := range vpa.Status.Conditions {
		if string(vpa.Status.Conditions[i].Type) == kind {
			return &vpa.Status.Conditions[i]
		}
	}
	return nil
}

func TestRecommendsAndKeepsHistory(t *testing.T) {
	w := newWorld(t, vpa("orders"))
	w.pass(time.Now(), "100m", "256Mi")
	got := w.vpa().Status
	if got.Recommendation == nil || len(got.Recommendation.ContainerRecommendations) != 1 {
		t.Fatalf("recommendation %+v", got.Recommendation)
	}
	r := got.Recommendation.ContainerRecommendations[0]
	if r.ContainerName != "app" || r.Target.Cpu().MilliValue() != 126 || r.Target.Memory().Value() != 323522422 {
		t.Errorf("recommended %s %s %s, want app 126m 323522422", r.ContainerName, r.Target.Cpu(), r.Target.Memory())
	}
	if c := condition(w.vpa(), estimator.RecommendationProvided); c == nil || c.Status != corev1.ConditionTrue {
		t.Errorf("RecommendationProvided is %+v", c)
	}
	if got.ObservedGeneration == nil || *got.ObservedGeneration != 3 {
		t.Errorf("observedGeneration is %v, want 3", got.ObservedGeneration)
	}
	saved := w.checkpoints()
	if len(saved) != 1 || saved[0].Name != "orders-app" || saved[0].Status.TotalSamplesCount != 1 || saved[0].Spec.VPAObjectName != "orders" {
		t.Fatalf("checkpoints %+v", saved)
	}

	// Another process goes on from what the first one wrote, as if it had seen all
	// of it itself: the peak of the running interval is there and counts once.
	before := w.history("orders")
	w.start()
	w.pass(time.Now().Add(time.Minute), "100m", "128Mi")
	after := w.history("orders")
	if saved := w.checkpoints(); len(saved) != 1 || after.Learned["app"].Samples != 2 {
		t.Errorf("after a restart: %d checkpoints, %d samples, want 1 and 2", len(saved), after.Learned["app"].Samples)
	}
	if diff := cmp.Diff(before.Learned["app"].Memory, after.Learned["app"].Memory); diff != "" {
		t.Errorf("a lower usage after the restart changed the peaks (-before +after):\n%s", diff)
	}
}

// TestReadsWhatUpstreamWroteOver takes upstream's status over ours: what we had
// beside it is of no account any more.
func TestReadsWhatUpstreamWroteOver(t *testing.T) {
	w := newWorld(t, vpa("orders"))
	w.pass(time.Now(), "100m", "256Mi")
	saved := w.checkpoints()[0]
	saved.Status.TotalSamplesCount = 4711
	if _, err := w.vpasAPI.AutoscalingV1().VerticalPodAutoscalerCheckpoints(namespace).Update(t.Context(), &saved, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.pass(time.Now().Add(time.Minute), "100m", "256Mi")
	if got := w.history("orders").Learned["app"].Samples; got != 4712 {
		t.Errorf("%d samples, want upstream's 4711 and one", got)
	}
}

func TestWithoutHistoryNothingIsDecided(t *testing.T) {
	w := newWorld(t, vpa("orders"))
	broken := true
	w.vpasAPI.PrependReactor("list", "verticalpodautoscalercheckpoints", func(clienttesting.Action) (bool, runtime.Object, error) {
		return broken, nil, errors.New("the API server is down")
	})
	w.pass(time.Now(), "100m", "256Mi")
	if got := w.vpa().Status.Recommendation; got != nil {
		t.Errorf("recommended %+v without knowing the history", got)
	}
	broken = false
	w.pass(time.Now(), "100m", "256Mi")
	if got := w.vpa().Status.Recommendation; got == nil {
		t.Error("nothing is recommended once the history could be read")
	}
}

func TestLeavesWhatAnotherRecommenderWrites(t *testing.T) {
	seconds, holder, now := int32(15), "them", metav1.NowMicro()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "vpa-recommender-lease"},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &now}}
	wrote := metav1.Now()
	for name, setup := range map[string]func(*testing.T) *world{
		"its lease is held": func(t *testing.T) *world {
			w := newWorld(t, vpa("orders"))
			if err := w.kube.Tracker().Add(lease); err != nil {
				t.Fatal(err)
			}
			return w
		},
		"it wrote the status": func(t *testing.T) *world {
			v := vpa("orders")
			v.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "recommender", Subresource: "status", Time: &wrote}}
			return newWorld(t, v)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := setup(t)
			w.pass(time.Now(), "100m", "256Mi")
			if got := w.vpa().Status.Recommendation; got != nil {
				t.Errorf("recommended %+v beside another recommender", got)
			}
			if len(w.checkpoints()) > 0 {
				t.Error("wrote a checkpoint beside another recommender")
			}
			if c := condition(w.vpa(), estimator.Acting); c == nil || c.Status != corev1.ConditionFalse {
				t.Errorf("%s is %+v, want False", estimator.Acting, c)
			}
			if detail, _ := w.publisher.otherWriters(t.Context()); !strings.HasPrefix(detail, "1 object") {
				t.Errorf("the readiness says %q", detail)
			}
			select {
			case e := <-w.events.Events:
				if !strings.Contains(e, estimator.ReasonOtherWriter) || !strings.Contains(e, "kind=VerticalPodAutoscaler") {
					t.Errorf("event %q", e)
				}
			default:
				t.Error("no event tells of it")
			}
		})
	}
}

func TestServesItsOwnOnly(t *testing.T) {
	other, named := vpa("other"), vpa("named")
	other.Spec.Recommenders = []*vpav1.VerticalPodAutoscalerRecommenderSelector{{Name: "frugal"}}
	named.Spec.Recommenders = []*vpav1.VerticalPodAutoscalerRecommenderSelector{{Name: "default"}}
	w := newWorld(t, vpa("orders"), other, named)
	got := map[string]bool{}
	for _, v := range w.vpas.all() {
		got[v.Name] = true
	}
	if diff := cmp.Diff(map[string]bool{"orders": true, "named": true}, got); diff != "" {
		t.Errorf("served (-want +got):\n%s", diff)
	}
	w.vpas.name = "frugal"
	if all := w.vpas.all(); len(all) != 1 || all[0].Name != "other" {
		t.Errorf("the recommender frugal serves %d objects, want other alone", len(all))
	}
}

func TestCollidingCheckpointNames(t *testing.T) {
	w := newWorld(t)
	c := w.passes.histories.checkpoints
	for _, o := range []owner{{types.NamespacedName{Namespace: namespace, Name: "a-b"}, "c"}, {types.NamespacedName{Namespace: namespace, Name: "a"}, "b-c"}} {
		for range 2 {
			if err := c.put(t.Context(), o, content{status: vpav1.VerticalPodAutoscalerCheckpointStatus{Version: "v3"}, history: "kept"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	names := map[string]string{}
	for _, o := range w.checkpoints() {
		names[o.Spec.VPAObjectName+"/"+o.Spec.ContainerName] = o.Name
	}
	if len(names) != 2 || names["a-b/c"] == names["a/b-c"] {
		t.Errorf("checkpoints %v, want one for each", names)
	}
}

func TestForgetsWhatIsGone(t *testing.T) {
	w := newWorld(t, vpa("orders"))
	w.pass(time.Now(), "100m", "256Mi")
	// The pass's own write must not come back after the deletion.
	w.seen()
	if err := w.vpas.informer.GetIndexer().Delete(w.vpas.any(namespace, "orders")); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Now(), "100m", "256Mi")
	if len(w.passes.units) != 0 {
		t.Errorf("units %v", w.passes.units)
	}
	if _, found := w.publisher.store.Get(namespace, "orders"); found {
		t.Error("the decision of a VPA that is gone is still served")
	}
}

// TestWritesOnTopOfWhatIsThere meets a conflict: the object moved on since it
// was cached.
func TestWritesOnTopOfWhatIsThere(t *testing.T) {
	w := newWorld(t, vpa("orders"))
	refused := false
	w.vpasAPI.PrependReactor("update", "verticalpodautoscalers", func(clienttesting.Action) (bool, runtime.Object, error) {
		if refused {
			return false, nil, nil
		}
		refused = true
		return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "verticalpodautoscalers"}, "orders", errors.New("moved on"))
	})
	w.pass(time.Now(), "100m", "256Mi")
	if !refused || w.vpa().Status.Recommendation == nil {
		t.Error("a conflict was not overcome")
	}
	// Nothing new: nothing is written.
	w.seen()
	w.vpasAPI.ClearActions()
	w.usage.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("no usage")
	})
	w.passes.pass(t.Context(), t.Context(), []types.NamespacedName{{Namespace: namespace, Name: "orders"}})
	for _, a := range w.vpasAPI.Actions() {
		if a.GetVerb() == "update" || a.GetVerb() == "patch" || a.GetVerb() == "create" {
			t.Errorf("nothing changed and yet: %s %s", a.GetVerb(), a.GetResource().Resource)
		}
	}
}

func TestKilledContainerIsSeen(t *testing.T) {
	p := pod()
	at := metav1.NewTime(time.Now().Add(-time.Minute))
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", RestartCount: 1,
		State:                corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", FinishedAt: at}}}}
	c := projectPod(recordPod(p, false), podUsage{}).Containers["app"]
	if !c.Killed.Equal(at.Time) || c.Request != 200<<20 {
		t.Errorf("container %+v, want killed at %s with a request of 200Mi", c, at)
	}
}

func TestOptionsNameTheFlag(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"defaults are valid": {change: func(*Options) {}},
		"no name":            {change: func(o *Options) { o.Name = "" }, want: "--recommender-name: "},
		"another storage":    {change: func(o *Options) { o.Storage = "disk" }, want: "--storage: "},
		"no workers":         {change: func(o *Options) { o.Workers = 0 }, want: "--update-worker-count: "},
		"an interval of 0":   {change: func(o *Options) { o.Interval = 0 }, want: "--recommender-interval: "},
		"a percentile of 2":  {change: func(o *Options) { o.Rules.Memory.Upper = 2 }, want: "--recommendation-upper-bound-memory-percentile: "},
		"no half-life":       {change: func(o *Options) { o.Rules.CPU.HalfLife = 0 }, want: "--cpu-histogram-decay-half-life: "},
		"a negative margin":  {change: func(o *Options) { o.Rules.Margin = -1 }, want: "--recommendation-margin-fraction: "},
		"no checkpoints":     {change: func(o *Options) { o.Pacing.CheckpointWrites = 0 }, want: "--checkpoint-writes-per-second: "},
		"fewer than none":    {change: func(o *Options) { o.Pacing.BoundsWrites = -1 }, want: "--bounds-writes-per-second: "},
		"any bounds":         {change: func(o *Options) { o.Pacing.BoundsTolerance = 1 }, want: "--bounds-tolerance: "},
		"no time to return":  {change: func(o *Options) { o.Pacing.GCGrace = -1 }, want: "--checkpoints-gc-grace: "},
		"rounding to 0":      {change: func(o *Options) { o.Rules.Memory.Round = 0 }, want: "--round-memory-bytes: "},
	} {
		t.Run(name, func(t *testing.T) {
			o := NewOptions()
			tc.change(o)
			err := o.Validate()
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.want)) {
				t.Errorf("Validate() = %v, want an error beginning with %q", err, tc.want)
			}
		})
	}
}
