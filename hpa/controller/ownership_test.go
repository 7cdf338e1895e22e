package controller

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/kube"
)

// owners is a targetSource by the label "of" of pods: the UID of the target that
// they belong to, "?" where that is not known yet.
type owners struct{}

func (owners) Find(kube.Ref) *kube.Target { return nil }

func (owners) Ownership(pod *corev1.Pod, target types.UID) kube.Ownership {
	switch pod.Labels["of"] {
	case string(target):
		return kube.Owned
	case "?":
		return kube.Pending
	}
	return kube.Elsewhere
}

func (owners) TopOwner(pod *corev1.Pod) string {
	if of := pod.Labels["of"]; of != "" {
		return "Deployment " + of
	}
	return ""
}

func podsOf(nameAndOwner ...string) []*corev1.Pod {
	var out []*corev1.Pod
	for i := 0; i < len(nameAndOwner); i += 2 {
		out = append(out, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: nameAndOwner[i], Labels: map[string]string{"app": "web", "of": nameAndOwner[i+1]},
		}})
	}
	return out
}

func podNames(pods []*corev1.Pod) []string {
	var out []string
	for _, pod := range pods {
		out = append(out, pod.Name)
	}
	return out
}

func TestPodsAreCountedByOwner(t *testing.T) {
	deployment, custom := replicas.Target{APIVersion: "apps/v1", Kind: "Deployment"}, replicas.Target{APIVersion: "x.io/v1", Kind: "Game"}
	tests := map[string]struct {
		target          replicas.Target
		uid             types.UID
		pods            []*corev1.Pod
		counted, strays []string
		byLabel         bool
	}{
		"all are its":                     {deployment, "web", podsOf("a", "web", "b", "web"), []string{"a", "b"}, nil, false},
		"some are another's":              {deployment, "web", podsOf("a", "api", "b", "web", "c", "", "d", "web"), []string{"b", "d"}, []string{"a", "c"}, false},
		"not known yet":                   {deployment, "web", podsOf("a", "web", "b", "?"), []string{"a", "b"}, nil, false},
		"none are its":                    {deployment, "web", podsOf("a", "api"), nil, []string{"a"}, false},
		"a target whose UID is not known": {deployment, "", podsOf("a", "api"), []string{"a"}, nil, true},
		"a kind that nothing leads to":    {custom, "game", podsOf("a", "x", "b", "y"), []string{"a", "b"}, nil, true},
		"a kind that something leads to":  {custom, "game", podsOf("a", "x", "b", "game"), []string{"b"}, []string{"a"}, false},
		"no pods":                         {custom, "game", nil, nil, nil, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			counted, strays, holds := ownership{owners{}}.split(tc.pods, claimOf(tc.target, tc.uid))
			if diff := cmp.Diff(tc.counted, podNames(counted)); diff != "" {
				t.Errorf("counted: %s", diff)
			}
			if diff := cmp.Diff(tc.strays, podNames(strays)); diff != "" {
				t.Errorf("strays: %s", diff)
			}
			if (holds.uid == "") != tc.byLabel {
				t.Errorf("claim %+v", holds)
			}
		})
	}
}

// TestRivalsAreJudgedByOwnedPods has two objects whose selectors overlap.
func TestRivalsAreJudgedByOwnedPods(t *testing.T) {
	selector := labels.SelectorFromSet(labels.Set{"app": "web"})
	key := func(name string) object {
		return object{replicas.Kind, types.NamespacedName{Namespace: "shop", Name: name}}
	}
	r, whose := newRivals(), ownership{owners{}}
	r.put(key("web"), "app=web", watched{selector, claim{uid: "web", known: true}})
	r.put(key("api"), "app=web", watched{selector, claim{uid: "api", known: true}})
	if got := r.of("shop", podsOf("a", "web", "b", "web"), whose); got != nil {
		t.Errorf("targets with pods of their own are rivals: %v", got)
	}
	want := []string{"shop/api", "shop/web"}
	if diff := cmp.Diff(want, r.of("shop", podsOf("a", "web", "b", "?"), whose)); diff != "" {
		t.Errorf("a pod that is not known yet: %s", diff)
	}
	r.put(key("api"), "app=web", watched{selector, claim{uid: "web", known: true}})
	if diff := cmp.Diff(want, r.of("shop", podsOf("a", "web"), whose)); diff != "" {
		t.Errorf("the same target: %s", diff)
	}
	r.put(key("api"), "app=web", watched{selector, byLabel})
	if diff := cmp.Diff(want, r.of("shop", podsOf("a", "web"), whose)); diff != "" {
		t.Errorf("a target that counts by label: %s", diff)
	}
}

func TestStraysAreDescribedAndTheirSamplesDropped(t *testing.T) {
	strays := podsOf("p9", "api", "p1", "", "p2", "job", "p3", "a", "p4", "b", "p5", "c", "p6", "d")
	want := &replicas.Strays{
		Count: 7, Pods: []string{"p1", "p2", "p3", "p4", "p5"},
		Owners: []string{"Deployment a", "Deployment api", "Deployment b", "Deployment c", "Deployment d"},
	}
	if diff := cmp.Diff(want, ownership{owners{}}.describe(strays)); diff != "" {
		t.Error(diff)
	}
	before := replicas.Samples{Pods: map[string]replicas.PodSample{"p1": {Value: 1}, "web-1": {Value: 2}}}
	after := withoutStrays(before, strays)
	if diff := cmp.Diff(map[string]replicas.PodSample{"web-1": {Value: 2}}, after.Pods); diff != "" {
		t.Error(diff)
	}
	if len(before.Pods) != 2 {
		t.Error("the samples of others were changed")
	}
}

func TestProjectSetter(t *testing.T) {
	at := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	entry := func(manager string, minutes int) metav1.ManagedFieldsEntry {
		when := metav1.NewTime(at.Add(time.Duration(minutes) * time.Minute))
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationApply, Time: &when}
	}
	setter := func(manager string, minutes int) *replicas.Setter {
		return &replicas.Setter{Manager: manager, Operation: "Apply", At: at.Add(time.Duration(minutes) * time.Minute)}
	}
	scaled := metav1.ManagedFieldsEntry{Manager: "kubectl", Operation: metav1.ManagedFieldsOperationUpdate, Subresource: "scale"}
	updated := entry("helm", 9)
	updated.Operation = metav1.ManagedFieldsOperationUpdate
	tests := map[string]struct {
		entries []metav1.ManagedFieldsEntry
		want    *replicas.Setter
	}{
		"nobody":         {nil, nil},
		"ourselves":      {[]metav1.ManagedFieldsEntry{entry(fieldManager, 5)}, nil},
		"upstream":       {[]metav1.ManagedFieldsEntry{entry(upstreamManager, 5)}, nil},
		"others and us":  {[]metav1.ManagedFieldsEntry{entry("flux", 1), entry(fieldManager, 5)}, setter("flux", 1)},
		"the last of it": {[]metav1.ManagedFieldsEntry{entry("kubectl", 3), entry("flux", 4), entry("helm", 2)}, setter("flux", 4)},
		// The API server keeps no time of a write of the scale.
		"kubectl scale":            {[]metav1.ManagedFieldsEntry{scaled, updated}, &replicas.Setter{Manager: "kubectl", Operation: "Update"}},
		"kubectl scale, the first": {[]metav1.ManagedFieldsEntry{updated, scaled}, &replicas.Setter{Manager: "kubectl", Operation: "Update"}},
		"beside who declares it":   {[]metav1.ManagedFieldsEntry{entry("flux", 1), scaled}, setter("flux", 1)},
		"who declares it beside":   {[]metav1.ManagedFieldsEntry{scaled, entry("flux", 1)}, setter("flux", 1)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			target := &kube.Target{ObjectMeta: metav1.ObjectMeta{ManagedFields: tc.entries}}
			if diff := cmp.Diff(tc.want, projectSetter(target)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if projectSetter(nil) != nil || projectRollout(nil) != nil {
		t.Error("something is known of a target that is not")
	}
}
