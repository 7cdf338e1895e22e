package controller

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/spf13/pflag"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/plan"
)

// given is a cluster of given objects.
type given struct {
	nodes []*corev1.Node
	pods  []*corev1.Pod
}

func (g given) allNodes() []*corev1.Node { return g.nodes }
func (g given) allPods() []*corev1.Pod   { return g.pods }
func (g given) budgetsOf() (map[string]nodepool.Budget, map[string][]selecting) {
	selector := labels.SelectorFromSet(labels.Set{"app": "web"})
	return map[string]nodepool.Budget{"shop/b": {Allowed: 1, Current: true}},
		map[string][]selecting{"shop": {{name: "shop/b", selector: selector}}}
}
func (g given) namespaceLabels() map[string]map[string]string { return nil }

func lease(holder string, renewed time.Time) *coordinationv1.Lease {
	at := metav1.NewMicroTime(renewed)
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: rivalNamespace, Name: rivalLease},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, RenewTime: &at, LeaseDurationSeconds: ptr.To[int32](15)},
	}
}

// TestObserve projects a cluster, and wants the projection to be the same after a
// pass through JSON.
func TestObserve(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	b := newWorkbench(t, interceptor.Funcs{})
	pending := corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}
	pod := func(name, node string, conditions ...corev1.PodCondition) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "u", Labels: map[string]string{"app": "web"}},
			Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{
				Ports:     []corev1.ContainerPort{{HostPort: 80, ContainerPort: 8080}, {ContainerPort: 81}},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("1500m")}},
			}}},
			Status: corev1.PodStatus{Conditions: conditions},
		}
	}
	done := pod("done", "n")
	done.Status.Phase = corev1.PodSucceeded
	gated := pending
	gated.Reason = corev1.PodReasonSchedulingGated
	o := &observer{
		mode: nodepool.ModeAuto, config: NewOptions().Rules, pools: b.pools.client, provider: b.provider,
		leases: fake.NewClientset(lease("upstream", now.Add(-5*time.Second))).CoordinationV1(),
		cluster: given{
			nodes: []*corev1.Node{namedNode("n")},
			pods:  []*corev1.Pod{pod("waits", "", pending), pod("runs", "n"), done, pod("new", ""), pod("gated", "", gated)},
		},
	}
	s, err := o.Observe(t.Context(), plan.Unit, now)
	if err != nil {
		t.Fatal(err)
	}
	if got := nodepool.Names(s.Pods); strings.Join(got, " ") != "shop/runs shop/waits" || len(s.Classes) != 1 {
		t.Errorf("pods %v of %d classes", got, len(s.Classes))
	}
	if p := s.Pods["shop/waits"]; !p.Unschedulable || len(p.Budgets) != 1 {
		t.Errorf("the pod that waits is %+v", p)
	}
	for _, c := range s.Classes {
		if len(c.Ports) != 1 || c.Requests.Cpu().MilliValue() != 1500 {
			t.Errorf("the class is %+v", c)
		}
	}
	if !s.Rival.Fresh(now) || s.Rival.Fresh(now.Add(time.Minute)) {
		t.Errorf("the rival is %+v", s.Rival)
	}
	if p := s.Pools["workers"]; !p.Served || p.Max != 4 || *p.Times.UtilizationThresholdPercent != 100 {
		t.Errorf("the pool is %+v", p)
	}
	first, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var read nodepool.Snapshot
	if err := json.Unmarshal(first, &read); err != nil {
		t.Fatal(err)
	}
	second, err := json.Marshal(read)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(first), string(second)); diff != "" {
		t.Errorf("the snapshot changed on its way through JSON:\n%s", diff)
	}
}

// TestOptions wants a flag that cannot be used to be named.
func TestOptions(t *testing.T) {
	for flag, value := range map[string]string{
		flagScan: "1ms", flagProvision: "0s", flagBackoff: "-1s", flagBackoffMax: "1s", flagUnneeded: "-1s",
		flagAfterAdd: "-1s", flagUtilization: "101", flagDrain: "0s", flagDrainPause: "0s", "": "",
	} {
		o := NewOptions()
		fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
		o.AddFlags(fs)
		if flag != "" {
			if err := fs.Set(flag, value); err != nil {
				t.Fatal(err)
			}
		}
		err := o.Validate()
		if flag == "" && err != nil || flag != "" && (err == nil || !strings.HasPrefix(err.Error(), "--"+flag+":")) {
			t.Errorf("--%s=%s: %v", flag, value, err)
		}
	}
}
