package decisionapi

import (
	"encoding/json"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func hpa(namespace, name string) decision.Unit {
	return decision.Unit{Kind: "HorizontalPodAutoscaler", Namespace: namespace, Name: name, UID: "u-" + name}
}

// scaleUp is a decision with something in every field.
func scaleUp(unit decision.Unit) decision.Decision[int32, struct{}] {
	return decision.Decision[int32, struct{}]{
		Component: "hpa", Unit: unit, At: at, From: 3, To: 5, Act: true,
		Reason: "MetricAboveTarget", Message: "orders-depth wants 7; at most 5 are allowed",
		Steps: []decision.Step{
			{Rule: "metric/external", In: "3", Out: "7", Reason: "AboveTarget", Message: "orders-depth is 70, target 10 per replica"},
			{Rule: "limit/max-replicas", In: "7", Out: "5", Reason: "TooManyReplicas", Message: "maxReplicas is 5"},
		},
		Faults:     []decision.Fault{{Source: "resource metric cpu", Reason: "NoSamples", Message: "no pod has a sample"}},
		Conditions: []decision.Condition{{Type: "ScalingLimited", Status: decision.True, Reason: "TooManyReplicas", Message: "maxReplicas is 5"}},
	}
}

func renderOf(unit decision.Unit) func() Decision {
	return func() Decision {
		return Render(scaleUp(unit), decision.Outcome{Result: decision.Succeeded}, map[string]int{"readyPods": 3})
	}
}

func names(decisions []Decision) []string {
	var got []string
	for _, d := range decisions {
		got = append(got, d.Namespace+"/"+d.Name)
	}
	return got
}

func TestStore(t *testing.T) {
	store := NewStore(StoreConfig{Component: "hpa", Kind: "HorizontalPodAutoscaler"})
	scaler := decision.Unit{Kind: "HorizontalScaler", Namespace: "shop", Name: "orders"}
	for _, unit := range []decision.Unit{hpa("shop", "orders"), hpa("bank", "transfers"), scaler, hpa("shop", "baskets")} {
		store.Put(unit, renderOf(unit))
	}
	want := []string{"bank/transfers", "shop/baskets", "shop/horizontalscaler.orders", "shop/orders"}
	if diff := cmp.Diff(want, names(store.List(""))); diff != "" {
		t.Errorf("List() -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(want[1:], names(store.List("shop"))); diff != "" {
		t.Errorf("List(shop) -want +got:\n%s", diff)
	}
	if d, ok := store.Get("shop", "orders"); !ok || d.Unit.Kind != "HorizontalPodAutoscaler" || d.Kind != "Decision" {
		t.Errorf("Get(shop, orders) = %v of %s, %v", d.Kind, d.Unit, ok)
	}
	store.Forget(hpa("shop", "orders"))
	if _, ok := store.Get("shop", "orders"); ok {
		t.Error("a forgotten unit is still there")
	}
	if _, ok := store.Get("shop", "horizontalscaler.orders"); !ok {
		t.Error("forgetting a unit dropped its namesake of another kind")
	}
	store.Forget(hpa("shop", "never-seen"))
}

func TestStoreIsBounded(t *testing.T) {
	store := NewStore(StoreConfig{Component: "hpa", MaxUnits: 2})
	put := func(name string) { store.Put(hpa("shop", name), renderOf(hpa("shop", name))) }
	put("a")
	put("b")
	put("a")
	put("c")
	if diff := cmp.Diff([]string{"shop/a", "shop/c"}, names(store.List(""))); diff != "" {
		t.Errorf("after three units in a store of two -want +got:\n%s", diff)
	}
}

func TestPutDoesNotRender(t *testing.T) {
	store := NewStore(StoreConfig{Component: "hpa"})
	rendered := 0
	store.Put(hpa("shop", "orders"), func() Decision { rendered++; return Decision{} })
	if rendered != 0 {
		t.Error("Put rendered the decision")
	}
	store.Get("shop", "orders")
	if rendered != 1 {
		t.Errorf("Get rendered %d times, want once", rendered)
	}
}

func TestStoreIsSafeForConcurrentUse(t *testing.T) {
	store := NewStore(StoreConfig{Component: "hpa", MaxUnits: 5})
	var users sync.WaitGroup
	for i := range 8 {
		users.Go(func() {
			for j := range 200 {
				unit := hpa("shop", fmt.Sprint((i+j)%10))
				store.Put(unit, renderOf(unit))
				store.List("shop")
				store.Get("shop", unit.Name)
				store.Forget(hpa("shop", fmt.Sprint(j%10)))
			}
		})
	}
	users.Wait()
	if got := len(store.List("")); got > 5 {
		t.Errorf("the store holds %d units, more than its bound", got)
	}
}

func TestRenderSurvivesJSON(t *testing.T) {
	want := renderOf(hpa("shop", "orders"))()
	encoded, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Decision
	if err := json.Unmarshal(encoded, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("through JSON -want +got:\n%s", diff)
	}
}

func TestRenderKeepsADecisionWhoseDetailFails(t *testing.T) {
	got := Render(scaleUp(hpa("shop", "orders")), decision.Outcome{}, math.Inf(1))
	if got.To != "5" || got.Detail == nil {
		t.Errorf("Render() = to %q, detail %v", got.To, got.Detail)
	}
}

func TestDeepCopyIsIndependent(t *testing.T) {
	original := DecisionList{Items: []Decision{renderOf(hpa("shop", "orders"))()}}
	original.Items[0].Labels = map[string]string{"team": "orders"}
	before, err := json.Marshal(original)
	if err != nil {
		t.Fatal(err)
	}
	copied := original.DeepCopyObject().(*DecisionList)
	if diff := cmp.Diff(&original, copied); diff != "" {
		t.Errorf("copy -want +got:\n%s", diff)
	}
	d := &copied.Items[0]
	d.Labels["team"], d.Steps[0].Rule, d.Faults[0].Reason, d.Conditions[0].Type, d.Detail.Raw[0] = "x", "x", "x", "x", '['
	after, err := json.Marshal(original)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(before), string(after)); diff != "" {
		t.Errorf("changing the copy changed the original -want +got:\n%s", diff)
	}
}

func BenchmarkStorePut(b *testing.B) {
	store := NewStore(StoreConfig{Component: "hpa", Kind: "HorizontalPodAutoscaler"})
	unit := hpa("shop", "orders")
	render := renderOf(unit)
	b.ReportAllocs()
	for b.Loop() {
		store.Put(unit, render)
	}
}

// TestSharedUnits: a unit without a namespace is shown in those that it
// concerns, under a name of its own kind, and once in the list of all.
func TestSharedUnits(t *testing.T) {
	store := NewStore(StoreConfig{Component: "adapter", Kind: "MetricSource", Shared: func(unit decision.Unit, namespace string) bool {
		return unit.Name == "jobs" && namespace == "shop"
	}})
	for _, unit := range []decision.Unit{{Kind: "MetricSource", Namespace: "shop", Name: "jobs"}, {Kind: "ClusterMetricSource", Name: "jobs"}, {Kind: "ClusterMetricSource", Name: "other"}} {
		store.Put(unit, renderOf(unit))
	}
	got := map[string][]string{}
	for _, namespace := range []string{"", "shop", "bank"} {
		got[namespace] = names(store.List(namespace))
	}
	want := map[string][]string{
		"":     {"/clustermetricsource.jobs", "/clustermetricsource.other", "shop/jobs"},
		"shop": {"shop/clustermetricsource.jobs", "shop/jobs"},
		"bank": nil,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("List() -want +got:\n%s", diff)
	}
	for namespace, want := range map[string]bool{"shop": true, "bank": false} {
		if d, ok := store.Get(namespace, "clustermetricsource.jobs"); ok != want || (ok && d.Namespace != namespace) {
			t.Errorf("Get(%s) = %s/%s, %t", namespace, d.Namespace, d.Name, ok)
		}
	}
}
