package controller_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// shared is a ClusterMetricSource that serves the depth of the stream of its
// name, in all namespaces.
func shared(name string, change ...func(*v1alpha1.ClusterMetricSource)) *v1alpha1.ClusterMetricSource {
	like := object(name)
	o := &v1alpha1.ClusterMetricSource{ObjectMeta: like.ObjectMeta, Spec: v1alpha1.ClusterMetricSourceSpec{MetricSourceSpec: like.Spec}}
	o.Namespace = ""
	for _, c := range change {
		c(o)
	}
	return o
}

// choosing has an object serve in the namespaces of a team only.
func choosing(team string) func(*v1alpha1.ClusterMetricSource) {
	return func(o *v1alpha1.ClusterMetricSource) {
		o.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": team}}
	}
}

func (w *world) createShared(o *v1alpha1.ClusterMetricSource) {
	w.t.Helper()
	if err := w.client.Create(w.ctx, o); err != nil {
		w.t.Fatal(err)
	}
	w.controller.Handler(w.ctx).OnAdd(o, false)
}

func (w *world) getShared(name string) *v1alpha1.ClusterMetricSource {
	w.t.Helper()
	o := &v1alpha1.ClusterMetricSource{}
	if err := w.client.Get(w.ctx, types.NamespacedName{Name: name}, o); err != nil {
		w.t.Fatal(err)
	}
	return o
}

func (w *world) deleteShared(name string) {
	w.t.Helper()
	o := w.getShared(name)
	if err := w.client.Delete(w.ctx, o); err != nil {
		w.t.Fatal(err)
	}
	w.controller.Handler(w.ctx).OnDelete(o)
}

// label has a namespace be of a team.
func (w *world) label(namespace, team string) {
	o := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{"team": team}}}
	w.controller.Namespaces().Handler().OnUpdate(nil, o)
}

// wantIn compares what a read of metric depth gives in several namespaces.
func (w *world) wantIn(want map[string]string) {
	w.t.Helper()
	got := map[string]string{}
	for namespace := range want {
		got[namespace] = w.servedIn(namespace, "depth")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("metric depth by namespace (-want +got):\n%s", diff)
	}
}

func TestASharedObjectServesEveryNamespace(t *testing.T) {
	play(t, "", func(w *world) {
		w.leads()
		w.broker.set("jobs", 7)
		w.createShared(shared("jobs"))
		w.wait(time.Second)
		w.wantIn(map[string]string{"shop": "jobs 7", "bank": "jobs 7", "not-known": "jobs 7"})
		o := w.getShared("jobs")
		w.wantConditionOf("jobs", o.Status.Conditions, "Ready", metav1.ConditionTrue, "Serving", "every metric is served")
		if o.Status.Source != "broker jobs" || len(o.Status.Metrics) != 1 || o.Status.Metrics[0].Value.String() != "7" {
			t.Errorf("the status is %+v", o.Status)
		}
		if diff := cmp.Diff([]string{"jobs Normal Serving: every metric is served"}, w.events.take()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"depth"}, w.table.Names()); diff != "" {
			t.Errorf("names (-want +got):\n%s", diff)
		}

		w.broker.fail(source.Errorf(source.ReasonUnreachable, "gone"))
		w.wait(5 * time.Second)
		detail, err := w.controller.ReadyCheck().Func(w.ctx)
		if err != nil || detail != "1 sources, 1 not reached: jobs (Unreachable)" {
			t.Errorf("readiness: %q, %v", detail, err)
		}
		w.deleteShared("jobs")
		w.wait(time.Second)
		w.wantIn(map[string]string{"shop": "not found", "bank": "not found"})
	})
}

func TestNamespacesAreChosenByTheirLabels(t *testing.T) {
	play(t, "", func(w *world) {
		w.label("shop", "data")
		w.label("bank", "money")
		w.broker.set("jobs", 7)
		w.createShared(shared("jobs", choosing("data")))
		w.wait(time.Second)
		w.wantIn(map[string]string{"shop": "jobs 7", "bank": "not found", "not-known": "not found"})
		w.label("bank", "data")
		w.wantIn(map[string]string{"bank": "jobs 7"})
		w.label("shop", "money")
		w.wantIn(map[string]string{"shop": "not found"})
		w.controller.Namespaces().Handler().OnDelete(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "bank"}})
		w.wantIn(map[string]string{"bank": "not found"})
	})
}

func TestAnObjectOfTheNamespaceGoesBefore(t *testing.T) {
	play(t, "", func(w *world) {
		w.leads()
		w.broker.set("jobs", 7)
		w.broker.set("orders", 3)
		w.createShared(shared("jobs"))
		w.wait(2 * time.Second)
		w.create(object("orders"))
		w.wait(2 * time.Second)
		w.wantIn(map[string]string{"shop": "orders 3", "bank": "jobs 7"})
		w.wantCondition("orders", "Ready", metav1.ConditionTrue, "Serving", "")
		w.wantConditionOf("jobs", w.getShared("jobs").Status.Conditions, "Ready", metav1.ConditionTrue, "Serving", "")
		w.delete("orders")
		w.wait(time.Second)
		w.wantIn(map[string]string{"shop": "jobs 7"})
	})
}

func TestOfTwoSharedObjectsTheOlderServes(t *testing.T) {
	play(t, "", func(w *world) {
		w.leads()
		w.label("shop", "data")
		w.label("bank", "money")
		w.broker.set("first", 1)
		w.broker.set("second", 2)
		w.createShared(shared("first", choosing("data")))
		w.wait(2 * time.Second)
		w.createShared(shared("second"))
		w.wait(2 * time.Second)
		w.wantIn(map[string]string{"shop": "first 1", "bank": "second 2"})
		w.wantConditionOf("second", w.getShared("second").Status.Conditions, "Ready", metav1.ConditionTrue, "Serving",
			"metric depth is served by the older ClusterMetricSource first in the namespaces that both choose")

		third := shared("third", choosing("data"))
		w.createShared(third)
		w.wait(2 * time.Second)
		w.wantConditionOf("third", w.getShared("third").Status.Conditions, "Ready", metav1.ConditionFalse, "MetricNameTaken",
			"metric depth is served by the older ClusterMetricSource")
		w.deleteShared("first")
		w.wait(2 * time.Second)
		w.wantIn(map[string]string{"shop": "second 2", "bank": "second 2"})
		w.wantConditionOf("second", w.getShared("second").Status.Conditions, "Ready", metav1.ConditionTrue, "Serving", "")
	})
}

func TestSecretsOfASharedObjectAreTheAdaptersOwn(t *testing.T) {
	play(t, "", func(w *world) {
		w.leads()
		w.setSecret("hunter22-of-shop")
		own := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "quartet", Name: "nats"}, Data: map[string][]byte{"password": []byte("hunter22-own")}}
		if err := w.client.Create(w.ctx, own); err != nil {
			t.Fatal(err)
		}
		w.createShared(shared("jobs", func(o *v1alpha1.ClusterMetricSource) {
			o.Spec.Source.NATSJetStream.Credentials = &v1alpha1.NATSCredentials{Token: &v1alpha1.SecretKey{Name: "nats", Key: "password"}}
		}))
		w.wait(2 * time.Second)
		if diff := cmp.Diff([]string{"hunter22-own"}, w.broker.passwords); diff != "" {
			t.Errorf("passwords connected with (-want +got):\n%s", diff)
		}
	})
}

func TestASelectorThatIsNoneServesNowhere(t *testing.T) {
	play(t, "", func(w *world) {
		w.leads()
		w.createShared(shared("jobs", func(o *v1alpha1.ClusterMetricSource) {
			o.Spec.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team", Operator: "Like"}}}
		}))
		w.wait(2 * time.Second)
		w.wantIn(map[string]string{"shop": "not found"})
		w.wantConditionOf("jobs", w.getShared("jobs").Status.Conditions, "Ready", metav1.ConditionFalse, source.ReasonInvalid, "namespaceSelector")
	})
}

// TestADecisionIsShownWhereItServes: who may read decisions in a namespace sees
// those on shared objects that serve there, and no others.
func TestADecisionIsShownWhereItServes(t *testing.T) {
	play(t, "", func(w *world) {
		w.label("shop", "data")
		w.label("bank", "money")
		w.createShared(shared("jobs", choosing("data")))
		w.wait(2 * time.Second)
		d, ok := w.last.Get("shop", "clustermetricsource.jobs")
		if !ok || d.Namespace != "shop" || d.Unit.Kind != "ClusterMetricSource" || !strings.Contains(string(d.Detail.Raw), `"namespaces":"team=data"`) {
			t.Errorf("in shop: %+v, %v", d, ok)
		}
		if _, ok := w.last.Get("bank", "clustermetricsource.jobs"); ok {
			t.Error("a decision is shown in a namespace that the object does not serve")
		}
		for namespace, want := range map[string]int{"": 1, "shop": 1, "bank": 0} {
			if got := w.last.List(namespace); len(got) != want {
				t.Errorf("%d decisions in namespace %q, want %d", len(got), namespace, want)
			}
		}
	})
}
