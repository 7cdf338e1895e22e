package fit_test

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
	"github.com/quartet-autoscaling/quartet/updater/fit"
)

// list reads "cpu=1 memory=1Gi".
func list(t testing.TB, text string) corev1.ResourceList {
	t.Helper()
	out := corev1.ResourceList{}
	for _, word := range strings.Fields(text) {
		name, value, _ := strings.Cut(word, "=")
		q, err := resource.ParseQuantity(value)
		if err != nil {
			t.Fatal(err)
		}
		out[corev1.ResourceName(name)] = q
	}
	return out
}

func amounts(t testing.TB, text string) fit.Amounts {
	t.Helper()
	return fit.AmountsOf(list(t, text))
}

// app is a container; limits may be empty.
func app(t testing.TB, requests, limits string) []resourcepolicy.Container {
	t.Helper()
	c := resourcepolicy.Container{Name: "app", Requests: list(t, requests)}
	if limits != "" {
		c.Limits = list(t, limits)
	}
	return []resourcepolicy.Container{c}
}

// growing is a pod of 1 CPU and 1Gi on node a that is to have 2 CPU and 1Gi.
func growing(t testing.TB) fit.Change {
	t.Helper()
	return fit.Change{
		Pod:    fit.Pod{Node: "a", Requests: amounts(t, "cpu=1 memory=1Gi")},
		Before: app(t, "cpu=1 memory=1Gi", ""), After: app(t, "cpu=2 memory=1Gi", ""),
	}
}

func node(t testing.TB, name, free string) fit.Node {
	t.Helper()
	return fit.Node{Name: name, Free: amounts(t, free)}
}

// asked is what a test asks, and changes before it does.
type asked struct {
	cluster fit.Cluster
	change  fit.Change
}

func TestAsk(t *testing.T) {
	quota := func(hard, used string, scopes ...corev1.ScopedResourceSelectorRequirement) []fit.Quota {
		return []fit.Quota{{Name: "compute", Hard: amounts(t, hard), Used: amounts(t, used), Scopes: scopes}}
	}
	exists := func(scope corev1.ResourceQuotaScope) corev1.ScopedResourceSelectorRequirement {
		return corev1.ScopedResourceSelectorRequirement{ScopeName: scope, Operator: corev1.ScopeSelectorOpExists}
	}
	tests := map[string]struct {
		change func(*asked)
		place  fit.Place
		want   []string
	}{
		"its own node has room":  {func(*asked) {}, fit.Place{Node: "a"}, nil},
		"what it leaves is room": {func(a *asked) { a.cluster.Nodes[0] = node(t, "a", "cpu=1 memory=0 pods=0") }, fit.Place{Node: "a"}, nil},
		"not for one that comes before it goes": {func(a *asked) {
			a.change.Manner = fit.Surge
			a.cluster.Nodes[0] = node(t, "a", "cpu=1 memory=0 pods=0")
		}, fit.Place{}, []string{"NoRoom Node a: no node has room for cpu 2, memory 1Gi; node a comes nearest and lacks cpu 1, memory 1Gi, pods 1"}},
		"another node has room": {func(a *asked) {
			a.cluster.Nodes = []fit.Node{node(t, "a", "cpu=100m memory=8Gi pods=9"), node(t, "b", "cpu=2 memory=1Gi pods=1")}
		}, fit.Place{Node: "b"}, nil},
		"no node has room": {func(a *asked) {
			a.cluster.Nodes = []fit.Node{node(t, "a", "cpu=700m memory=8Gi pods=9"), node(t, "b", "cpu=1 memory=1Gi pods=1")}
		}, fit.Place{}, []string{"NoRoom Node a: no node has room for cpu 2, memory 1Gi; node a comes nearest and lacks cpu 300m"}},
		"its node takes nothing more": {func(a *asked) {
			a.cluster.Nodes[0].Taints = []corev1.Taint{{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}}
		}, fit.Place{}, []string{"NoRoom : no node has room for cpu 2, memory 1Gi; 1 nodes are not for it by their labels or taints"}},
		"a taint that it tolerates": {func(a *asked) {
			a.cluster.Nodes[0].Taints = []corev1.Taint{{Key: "team", Value: "shop", Effect: corev1.TaintEffectNoExecute}}
			a.change.Tolerations = []corev1.Toleration{{Key: "team", Value: "shop"}}
		}, fit.Place{Node: "a"}, nil},
		"affinity for another node": {func(a *asked) {
			a.cluster.Nodes = append(a.cluster.Nodes, node(t, "b", "cpu=4 memory=4Gi pods=9"))
			a.cluster.Nodes[1].Labels = map[string]string{"zone": "2"}
			a.change.Affinity = []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: corev1.NodeSelectorOpIn, Values: []string{"2", "3"}}}}}
		}, fit.Place{Node: "b"}, nil},
		"tied to a node without room": {func(a *asked) {
			a.change.Tied = "a volume of the node"
			a.cluster.Nodes = []fit.Node{node(t, "a", "cpu=900m memory=8Gi pods=9"), node(t, "b", "cpu=4 memory=4Gi pods=9")}
			a.cluster.Pools = []fit.Pool{{Name: "big", Free: amounts(t, "cpu=8 memory=8Gi pods=100"), Max: 5}}
		}, fit.Place{}, []string{"NoRoom Node a: node a, to which a volume of the node ties it, has no room for cpu 2, memory 1Gi; node a comes nearest and lacks cpu 100m"}},
		"a pool can grow": {func(a *asked) {
			a.cluster.Nodes = nil
			a.cluster.Pools = []fit.Pool{{Name: "big", Free: amounts(t, "cpu=8 memory=8Gi pods=100"), Nodes: 4, Max: 5}}
		}, fit.Place{Pool: "big"}, nil},
		"no pool can grow": {func(a *asked) {
			a.cluster.Nodes = nil
			a.cluster.Pools = []fit.Pool{
				{Name: "full", Free: amounts(t, "cpu=8 memory=8Gi pods=100"), Nodes: 5, Max: 5},
				{Name: "off", Free: amounts(t, "cpu=8 memory=8Gi pods=100"), Max: 5, Still: "its mode is Off"},
				{Name: "small", Free: amounts(t, "cpu=1 memory=8Gi pods=100"), Max: 5},
				{Name: "other", Free: amounts(t, "cpu=8 memory=8Gi pods=100"), Max: 5, Taints: []corev1.Taint{{Key: "x", Effect: corev1.TaintEffectNoSchedule}}},
			}
		}, fit.Place{}, []string{"NoRoom : no node has room for cpu 2, memory 1Gi; NodePool full has all of its 5 nodes: raise its max; " +
			"NodePool off does not grow: its mode is Off; a new node of NodePool small would lack cpu 1"}},
		"in place on its own node only": {func(a *asked) {
			a.change.Manner = fit.InPlace
			a.cluster.Nodes = []fit.Node{node(t, "a", "cpu=900m memory=8Gi pods=9"), node(t, "b", "cpu=4 memory=4Gi pods=9")}
		}, fit.Place{}, []string{"NoRoom Node a: node a has no room for it to become cpu 2, memory 1Gi; node a comes nearest and lacks cpu 100m"}},
		"one that waits has nothing to lose": {func(a *asked) { a.change.Node, a.cluster.Nodes = "", nil }, fit.Place{}, nil},
		"quota has no room": {func(a *asked) { a.cluster.Quotas = quota("requests.cpu=4500m", "requests.cpu=4") }, fit.Place{},
			[]string{"OverQuota ResourceQuota compute: ResourceQuota compute: requests.cpu would be 5 of 4500m: raise it by 500m, or lower maxAllowed so that the pod takes that much less"}},
		"quota has just enough": {func(a *asked) { a.cluster.Quotas = quota("requests.cpu=5 pods=3", "requests.cpu=4 pods=3") }, fit.Place{Node: "a"}, nil},
		"a surge counts twice": {func(a *asked) {
			a.change.Manner = fit.Surge
			a.cluster.Quotas = quota("requests.cpu=5 pods=3", "requests.cpu=4 pods=3")
		}, fit.Place{}, []string{
			"OverQuota ResourceQuota compute: ResourceQuota compute: pods would be 4 of 3: raise it by 1, or lower maxAllowed so that the pod takes that much less",
			"OverQuota ResourceQuota compute: ResourceQuota compute: requests.cpu would be 6 of 5: raise it by 1, or lower maxAllowed so that the pod takes that much less",
		}},
		"a quota that was exceeded refuses the next pod of any size": {func(a *asked) {
			a.change.After = a.change.Before
			a.cluster.Quotas = quota("requests.memory=2Gi", "requests.memory=3Gi")
		}, fit.Place{}, []string{"OverQuota ResourceQuota compute: ResourceQuota compute: requests.memory would be 3Gi of 2Gi: raise it by 1Gi, or lower maxAllowed so that the pod takes that much less"}},
		"a scope of others": {func(a *asked) {
			a.cluster.Quotas = quota("requests.cpu=1", "requests.cpu=1", exists(corev1.ResourceQuotaScopeBestEffort))
		}, fit.Place{Node: "a"}, nil},
		"a priority class of others": {func(a *asked) {
			a.change.Priority = "low"
			a.cluster.Quotas = quota("requests.cpu=1", "requests.cpu=1", corev1.ScopedResourceSelectorRequirement{
				ScopeName: corev1.ResourceQuotaScopePriorityClass, Operator: corev1.ScopeSelectorOpIn, Values: []string{"high"},
			})
		}, fit.Place{Node: "a"}, nil},
		"above a LimitRange": {func(a *asked) {
			a.cluster.Ranges = []fit.Range{{Name: "limits", Type: corev1.LimitTypeContainer, Max: amounts(t, "cpu=1500m")}}
		}, fit.Place{}, []string{"OutsideLimitRange LimitRange limits: LimitRange limits: container app would have cpu 2, above its max 1500m: lower maxAllowed, or raise the max by 500m"}},
		"below a LimitRange of the pod": {func(a *asked) {
			a.cluster.Ranges = []fit.Range{{Name: "limits", Type: corev1.LimitTypePod, Min: amounts(t, "cpu=3")}}
		}, fit.Place{}, []string{"OutsideLimitRange LimitRange limits: LimitRange limits: the pod would request cpu 2, below its min 3: raise minAllowed, or lower the min by 1"}},
		"above a ratio": {func(a *asked) {
			a.change.Before, a.change.After = app(t, "cpu=1", "cpu=4"), app(t, "cpu=2", "cpu=8")
			a.cluster.Ranges = []fit.Range{{Name: "limits", Type: corev1.LimitTypeContainer, Ratio: fit.Amounts{"cpu": 3000}}}
		}, fit.Place{}, []string{"OutsideLimitRange LimitRange limits: LimitRange limits: container app would have a limit of cpu 8 for a request of 2, above its maxLimitRequestRatio: lower the limit of the template"}},
		"a change of the class": {func(a *asked) {
			a.change.Before = app(t, "cpu=1 memory=1Gi", "cpu=1 memory=1Gi")
			a.change.After = app(t, "cpu=2 memory=1Gi", "cpu=3 memory=1Gi")
		}, fit.Place{}, []string{"QoSWouldChange QoS class Guaranteed: the pod's QoS class would change from Guaranteed to Burstable: give the template requests and limits of the class that is wanted, or controlledValues RequestsAndLimits"}},
		"what is not known": {func(a *asked) { a.cluster.Unknown = "nodes are not read" }, fit.Place{}, []string{"FitUnknown : nodes are not read"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			a := &asked{change: growing(t), cluster: fit.Cluster{Nodes: []fit.Node{node(t, "a", "cpu=4 memory=4Gi pods=10")}}}
			tc.change(a)
			place, blocks := fit.NewRoom(a.cluster).Ask(a.change)
			var got []string
			for _, b := range blocks {
				got = append(got, b.Reason+" "+b.Object+": "+b.Message)
			}
			if diff := cmp.Diff(tc.want, got) + cmp.Diff(tc.place, place); diff != "" {
				t.Errorf("Ask (-want +got):\n%s", diff)
			}
		})
	}
}

func TestQoS(t *testing.T) {
	for name, tc := range map[string]struct {
		containers []resourcepolicy.Container
		want       corev1.PodQOSClass
	}{
		"none":             {app(t, "", ""), corev1.PodQOSBestEffort},
		"requests":         {app(t, "cpu=1", ""), corev1.PodQOSBurstable},
		"limits alone":     {app(t, "", "cpu=1 memory=1Gi"), corev1.PodQOSGuaranteed},
		"equal":            {app(t, "cpu=1 memory=1Gi", "cpu=1 memory=1Gi"), corev1.PodQOSGuaranteed},
		"one limit":        {app(t, "cpu=1 memory=1Gi", "memory=1Gi"), corev1.PodQOSBurstable},
		"one plain beside": {append(app(t, "cpu=1 memory=1Gi", "cpu=1 memory=1Gi"), app(t, "", "")...), corev1.PodQOSBurstable},
		"no container":     {nil, corev1.PodQOSBestEffort},
	} {
		if got := fit.QoS(tc.containers); got != tc.want {
			t.Errorf("%s: QoS() = %s, want %s", name, got, tc.want)
		}
	}
}

func TestQuotaOfReadsBothNames(t *testing.T) {
	q := &corev1.ResourceQuota{}
	q.Name = "compute"
	q.Spec.Scopes = []corev1.ResourceQuotaScope{corev1.ResourceQuotaScopeNotTerminating}
	q.Status.Hard = list(t, "cpu=2 requests.cpu=3 limits.memory=1Gi count/pods=7 persistentvolumeclaims=4")
	q.Status.Used = list(t, "cpu=1 requests.cpu=1 limits.memory=1Mi count/pods=2 persistentvolumeclaims=1")
	got, ok := fit.QuotaOf(q)
	want := fit.Quota{
		Name: "compute", Hard: amounts(t, "requests.cpu=2 limits.memory=1Gi pods=7"), Used: amounts(t, "requests.cpu=1 limits.memory=1Mi pods=2"),
		Scopes: []corev1.ScopedResourceSelectorRequirement{{ScopeName: corev1.ResourceQuotaScopeNotTerminating, Operator: corev1.ScopeSelectorOpExists}},
	}
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Errorf("QuotaOf (-want +got):\n%s", diff)
	}
	q.Status.Hard = list(t, "persistentvolumeclaims=4")
	if _, ok := fit.QuotaOf(q); ok {
		t.Error("a quota of volumes is about pods")
	}
}

func TestNodeSelection(t *testing.T) {
	expr := func(key string, op corev1.NodeSelectorOperator, values ...string) []corev1.NodeSelectorTerm {
		return []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: op, Values: values}}}}
	}
	n := fit.Node{Name: "a", Labels: map[string]string{"size": "8", "zone": "1"}}
	for name, tc := range map[string]struct {
		pod  fit.Pod
		want bool
	}{
		"selector":        {fit.Pod{Selector: map[string]string{"zone": "1"}}, true},
		"selector fails":  {fit.Pod{Selector: map[string]string{"zone": "2"}}, false},
		"not in":          {fit.Pod{Affinity: expr("zone", corev1.NodeSelectorOpNotIn, "1")}, false},
		"not in, missing": {fit.Pod{Affinity: expr("rack", corev1.NodeSelectorOpNotIn, "1")}, true},
		"exists":          {fit.Pod{Affinity: expr("zone", corev1.NodeSelectorOpExists)}, true},
		"does not exist":  {fit.Pod{Affinity: expr("zone", corev1.NodeSelectorOpDoesNotExist)}, false},
		"greater":         {fit.Pod{Affinity: expr("size", corev1.NodeSelectorOpGt, "7")}, true},
		"less":            {fit.Pod{Affinity: expr("size", corev1.NodeSelectorOpLt, "8")}, false},
		"no number":       {fit.Pod{Affinity: expr("zone", corev1.NodeSelectorOpGt, "x")}, false},
		"unknown":         {fit.Pod{Affinity: expr("zone", "Near", "1")}, false},
		"empty term":      {fit.Pod{Affinity: []corev1.NodeSelectorTerm{{}}}, false},
		"one of two":      {fit.Pod{Affinity: append(expr("zone", corev1.NodeSelectorOpIn, "2"), expr("zone", corev1.NodeSelectorOpIn, "1")...)}, true},
		"the node's name": {fit.Pod{Affinity: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"b"}}}}}}, false},
	} {
		if got := tc.pod.Admits(n); got != tc.want {
			t.Errorf("%s: Admits() = %t", name, got)
		}
	}
}

// world is a cluster whose nodes are used up pod by pod, as a scheduler would.
type world struct {
	cluster fit.Cluster
	pods    []fit.Change
}

func randomWorld(r *rand.Rand) world {
	var w world
	for i := range 1 + r.IntN(4) {
		w.cluster.Nodes = append(w.cluster.Nodes, fit.Node{
			Name: "n" + strconv.Itoa(i), Free: fit.Amounts{"cpu": r.Int64N(3000), "memory": r.Int64N(3 << 30), "pods": r.Int64N(4)},
		})
	}
	hard := fit.Amounts{"requests.cpu": 8000 + r.Int64N(4000), "pods": 10}
	w.cluster.Quotas = []fit.Quota{{Name: "q", Hard: hard, Used: fit.Amounts{"requests.cpu": 6000 + r.Int64N(3000), "pods": 6 + r.Int64N(5)}}}
	sized := func() []resourcepolicy.Container {
		return []resourcepolicy.Container{{Name: "app", Requests: corev1.ResourceList{
			"cpu": *resource.NewMilliQuantity(1+r.Int64N(2000), resource.DecimalSI), "memory": *resource.NewQuantity(1+r.Int64N(2<<30), resource.BinarySI),
		}}}
	}
	for range 1 + r.IntN(6) {
		c := fit.Change{Before: sized(), After: sized()}
		c.Node = w.cluster.Nodes[r.IntN(len(w.cluster.Nodes))].Name
		c.Requests = fit.AmountsOf(c.Before[0].Requests)
		if r.IntN(4) == 0 {
			c.Manner = fit.Surge
		}
		w.pods = append(w.pods, c)
	}
	return w
}

// TestNothingIsTakenThatIsNotThere plans changes one after the other and then
// counts what nodes and quota hold: nothing may be overdrawn that was not before.
func TestNothingIsTakenThatIsNotThere(t *testing.T) {
	placed := 0
	for seed := range uint64(4000) {
		w := randomWorld(rand.New(rand.NewPCG(seed, 1)))
		encoded, err := json.Marshal(w.cluster)
		if err != nil {
			t.Fatal(err)
		}
		room := fit.NewRoom(w.cluster)
		free, used := map[string]fit.Amounts{}, w.cluster.Quotas[0].Used
		for _, n := range w.cluster.Nodes {
			free[n.Name] = fit.Amounts{"cpu": n.Free["cpu"], "memory": n.Free["memory"], "pods": n.Free["pods"]}
		}
		cpu := used["requests.cpu"]
		for i, c := range w.pods {
			at, blocks := room.Ask(c)
			if len(blocks) > 0 {
				continue
			}
			placed++
			room.Take(c, at)
			after := fit.AmountsOf(c.After[0].Requests)
			for name, n := range after {
				free[at.Node][name] -= n
			}
			free[at.Node]["pods"]--
			cpu += after["cpu"]
			if c.Manner == fit.Replace {
				for name, n := range c.Requests {
					free[c.Node][name] += n
				}
				free[c.Node]["pods"]++
				cpu -= c.Requests["cpu"]
			}
			for name, n := range free[at.Node] {
				if n < 0 {
					t.Fatalf("seed %d: change %d overdraws %s of node %s by %d", seed, i, name, at.Node, -n)
				}
			}
			if hard := w.cluster.Quotas[0].Hard["requests.cpu"]; cpu > hard {
				t.Fatalf("seed %d: change %d takes the quota to %d of %d", seed, i, cpu, hard)
			}
		}
		if again, _ := json.Marshal(w.cluster); string(again) != string(encoded) {
			t.Fatalf("seed %d: the cluster was changed", seed)
		}
	}
	if placed < 1000 {
		t.Errorf("only %d changes were placed", placed)
	}
}
