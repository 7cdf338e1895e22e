package controller_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

func TestAnObjectBecomesAMetric(t *testing.T) {
	play(t, "", func(w *world) {
		w.leads()
		w.wantServed("depth", "not found")
		w.broker.set("orders", 7)
		w.create(object("orders"))
		w.wait(time.Second)
		w.wantServed("depth", "orders 7")
		w.wantCondition("orders", "Ready", metav1.ConditionTrue, "Serving", "")
		w.wantCondition("orders", "Fresh", metav1.ConditionTrue, "Fresh", "30s")
		w.wantCondition("orders", "SourceReachable", metav1.ConditionTrue, "Read", "")
		status := w.get("orders").Status
		if status.ObservedGeneration != 1 || status.Source != "broker orders" || len(status.Metrics) != 1 ||
			status.Metrics[0].Value.String() != "7" || status.Metrics[0].SampledAt == nil || status.Metrics[0].Error != "" {
			t.Errorf("the status is %+v", status)
		}
		if diff := cmp.Diff([]string{"orders Normal Serving: every metric is served"}, w.events.take()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}

		w.broker.set("orders", 9)
		w.wait(2 * time.Second)
		w.wantServed("depth", "orders 9")

		w.delete("orders")
		w.wait(time.Second)
		w.wantServed("depth", "not found")
		before := w.broker.polled()
		w.wait(time.Minute)
		if more := w.broker.polled() - before; more != 0 {
			t.Errorf("%d polls for an object that is gone", more)
		}
		if w.ledger.forgotten != 1 {
			t.Errorf("the ledger forgot %d objects, want 1", w.ledger.forgotten)
		}
	})
}

func TestABrokerDiesAndReturns(t *testing.T) {
	play(t, "", func(w *world) {
		w.leads()
		w.broker.set("orders", 7)
		w.create(object("orders"))
		w.wait(5 * time.Second)
		w.events.take()

		w.broker.fail(source.Errorf(source.ReasonUnreachable, "cannot connect to broker"))
		w.wait(15 * time.Second)
		w.wantServed("depth", "orders 7")
		w.wantCondition("orders", "SourceReachable", metav1.ConditionFalse, "Unreachable", "cannot connect to broker")
		w.wantCondition("orders", "Ready", metav1.ConditionTrue, "Serving", "")
		w.wait(30 * time.Second)
		w.wantServed("depth", "orders Stale")
		w.wantCondition("orders", "Fresh", metav1.ConditionFalse, "Stale", "cannot connect to broker")
		w.wantCondition("orders", "Ready", metav1.ConditionFalse, "Stale", "cannot connect to broker")
		if m := w.get("orders").Status.Metrics[0]; m.Error == "" || m.Value.String() != "7" {
			t.Errorf("the metric's status is %+v: want the last value, and the error", m)
		}

		w.broker.fail(nil)
		w.wait(12 * time.Second)
		w.wantServed("depth", "orders 7")
		w.wantCondition("orders", "Ready", metav1.ConditionTrue, "Serving", "")
		var kinds []string
		for _, e := range w.events.take() {
			kinds = append(kinds, strings.SplitN(e, ":", 2)[0])
		}
		want := []string{"orders Warning Unreachable", "orders Warning Stale", "orders Normal Serving", "orders Normal Read"}
		if diff := cmp.Diff(want, kinds); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestStatusIsWrittenSeldom(t *testing.T) {
	play(t, "", func(w *world) {
		w.leads()
		w.create(object("orders"))
		w.wait(2 * time.Second)
		before := w.patched()
		for i := range 60 {
			w.broker.set("orders", float64(i))
			w.wait(time.Second)
		}
		if n := w.patched() - before; n < 5 || n > 7 {
			t.Errorf("60 values in 60 s made %d writes of status, want one every 10 s", n)
		}
		// What is last is written in the end.
		w.wait(11 * time.Second)
		if got := w.get("orders").Status.Metrics[0].Value.String(); got != "59" {
			t.Errorf("the status says %s, want 59", got)
		}
	})
}

func TestOnlyTheLeaderWritesAndEveryoneServes(t *testing.T) {
	play(t, "", func(w *world) {
		w.broker.set("orders", 3)
		w.create(object("orders"))
		w.wait(5 * time.Second)
		w.wantServed("depth", "orders 3")
		if n := w.patched(); n != 0 || len(w.events.take()) != 0 {
			t.Errorf("%d writes of status without a leader", n)
		}
		stop := w.leads()
		w.wait(time.Second)
		w.wantCondition("orders", "Ready", metav1.ConditionTrue, "Serving", "")
		stop()
		w.broker.fail(source.Errorf(source.ReasonUnreachable, "gone"))
		before := w.patched()
		w.wait(time.Minute)
		if n := w.patched() - before; n != 0 {
			t.Errorf("%d writes of status after the lease was lost", n)
		}
		w.leads()
		w.wait(time.Second)
		w.wantCondition("orders", "SourceReachable", metav1.ConditionFalse, "Unreachable", "gone")
	})
}

func TestTheOlderOfTwoServes(t *testing.T) {
	play(t, "", func(w *world) {
		w.leads()
		w.broker.set("first", 1)
		w.broker.set("second", 2)
		w.create(object("first"))
		w.wait(2 * time.Second)
		w.create(object("second", func(o *v1alpha1.MetricSource) {
			o.Spec.Metrics = append(o.Spec.Metrics, v1alpha1.SourceMetric{Name: "own", Value: v1alpha1.ValueDepth})
		}))
		w.wait(2 * time.Second)
		w.wantServed("depth", "first 1")
		w.wantServed("own", "second 2")
		w.wantCondition("first", "Ready", metav1.ConditionTrue, "Serving", "")
		w.wantCondition("second", "Ready", metav1.ConditionFalse, "MetricNameTaken", "metric depth is served by the older MetricSource first")

		// The older lets go of the name.
		w.change("first", func(o *v1alpha1.MetricSource) { o.Spec.Metrics[0].Name = "renamed" })
		w.wait(2 * time.Second)
		w.wantServed("depth", "second 2")
		w.wantServed("renamed", "first 1")
		w.wantCondition("second", "Ready", metav1.ConditionTrue, "Serving", "")

		w.change("first", func(o *v1alpha1.MetricSource) { o.Spec.Metrics[0].Name = "depth" })
		w.wait(2 * time.Second)
		w.wantServed("depth", "first 1")
		w.delete("first")
		w.wait(2 * time.Second)
		w.wantServed("depth", "second 2")
	})
}

func TestABadChangeKeepsTheLastGood(t *testing.T) {
	play(t, "", func(w *world) {
		w.leads()
		w.broker.set("orders", 7)
		w.create(object("orders"))
		w.wait(2 * time.Second)

		w.change("orders", func(o *v1alpha1.MetricSource) {
			o.Spec.Source.NATSJetStream.Credentials = &v1alpha1.NATSCredentials{Token: &v1alpha1.SecretKey{Name: "nats", Key: "password"}}
		})
		w.broker.set("orders", 8)
		w.wait(time.Minute)
		w.wantServed("depth", "orders 8")
		w.wantCondition("orders", "Ready", metav1.ConditionFalse, "SecretNotFound", "Secret nats does not exist; generation 1 stays in force")
		if got := w.get("orders").Status.ObservedGeneration; got != 2 {
			t.Errorf("observedGeneration is %d, want 2", got)
		}

		w.setSecret("hunter22-hunter22")
		w.wait(6 * time.Second)
		w.wantCondition("orders", "Ready", metav1.ConditionTrue, "Serving", "")

		w.change("orders", func(o *v1alpha1.MetricSource) {
			o.Spec.Source = v1alpha1.Source{Prometheus: &v1alpha1.PrometheusSource{}}
		})
		w.wait(time.Second)
		w.wantCondition("orders", "Ready", metav1.ConditionFalse, "SourceNotServed", "generation 2 stays in force")
		w.wantServed("depth", "orders 8")
	})
}

func TestAnObjectThatWasNeverGoodServesAnError(t *testing.T) {
	play(t, "", func(w *world) {
		w.leads()
		w.create(object("orders", func(o *v1alpha1.MetricSource) { o.Spec.Source = v1alpha1.Source{Kafka: &v1alpha1.KafkaSource{}} }))
		w.wait(time.Second)
		w.wantServed("depth", "orders InvalidSpec")
		w.wantCondition("orders", "Ready", metav1.ConditionFalse, "SourceNotServed", "")
	})
}

func TestSecretsAreReadAgainAndShownNowhere(t *testing.T) {
	play(t, "", func(w *world) {
		w.leads()
		w.setSecret("hunter22-first")
		w.create(object("orders", func(o *v1alpha1.MetricSource) {
			o.Spec.Source.NATSJetStream.Credentials = &v1alpha1.NATSCredentials{Token: &v1alpha1.SecretKey{Name: "nats", Key: "password"}}
		}))
		w.wait(20 * time.Second)
		w.setSecret("hunter22-second")
		w.wait(20 * time.Second)
		if diff := cmp.Diff([]string{"hunter22-first", "hunter22-second"}, w.broker.passwords); diff != "" {
			t.Errorf("passwords connected with (-want +got):\n%s", diff)
		}
		w.wantServed("depth", "orders 0")

		// Refused credentials are read again soon.
		w.broker.fail(source.Errorf(source.ReasonUnauthorized, "refused"))
		w.wait(2 * time.Second)
		w.setSecret("hunter22-third")
		w.wait(12 * time.Second)
		if got := w.broker.passwords[len(w.broker.passwords)-1]; got != "hunter22-third" {
			t.Errorf("after a refusal the password is still %s", got)
		}

		recorded, _ := w.ledger.all()
		status, err := json.Marshal(w.get("orders").Status)
		if err != nil {
			t.Fatal(err)
		}
		for where, text := range map[string]string{"ledger": recorded, "status": string(status), "events": strings.Join(w.events.take(), "\n")} {
			if strings.Contains(text, "hunter22") {
				t.Errorf("the %s shows a credential", where)
			}
		}
	})
}

func TestRecommendDecidesAndServesNothing(t *testing.T) {
	play(t, query.ModeRecommend, func(w *world) {
		w.leads()
		w.broker.set("orders", 7)
		w.create(object("orders"))
		w.wait(2 * time.Second)
		w.wantServed("depth", "not found")
		w.wantCondition("orders", "Ready", metav1.ConditionFalse, "NotServed", "Recommend")
		if got := w.get("orders").Status.Metrics[0].Value.String(); got != "7" {
			t.Errorf("the status shows %s, want 7", got)
		}
	})
}

func TestReadiness(t *testing.T) {
	play(t, "", func(w *world) {
		check := w.controller.ReadyCheck().Func
		detail, err := check(w.ctx)
		if err != nil || detail != "0 sources, all reached" {
			t.Errorf("without objects: %q, %v", detail, err)
		}
		w.broker.fail(source.Errorf(source.ReasonUnreachable, "gone"))
		w.create(object("orders"))
		w.wait(5 * time.Second)
		detail, err = check(w.ctx)
		if err != nil || detail != "1 sources, 1 not reached: shop/orders (Unreachable)" {
			t.Errorf("with a dead source: %q, %v: a dead source must not make the adapter unready", detail, err)
		}
		if diff := cmp.Diff(1, w.controller.Queries()); diff != "" {
			t.Errorf("queries (-want +got):\n%s", diff)
		}
	})
}

func TestAnObjectMadeAnewBeginsAnew(t *testing.T) {
	play(t, "", func(w *world) {
		w.leads()
		w.broker.set("orders", 7)
		w.create(object("orders"))
		w.wait(3 * time.Second)
		before := w.get("orders")
		if err := w.client.Delete(w.ctx, before); err != nil {
			t.Fatal(err)
		}
		w.create(object("orders", func(o *v1alpha1.MetricSource) { o.UID = "another"; o.Spec.Metrics[0].Name = "deep" }))
		w.wait(3 * time.Second)
		w.wantServed("depth", "not found")
		w.wantServed("deep", "orders 7")
		w.wantCondition("orders", "Ready", metav1.ConditionTrue, "Serving", "")
	})
}

func TestWhatIsRecordedIsDecidedAgain(t *testing.T) {
	play(t, "", func(w *world) {
		w.create(object("orders"))
		w.create(object("second"))
		w.wait(10 * time.Second)
		w.broker.fail(source.Errorf(source.ReasonTimeout, "slow"))
		w.wait(time.Minute)
		w.broker.fail(nil)
		w.wait(10 * time.Second)
		text, different := w.ledger.all()
		if len(text) == 0 {
			t.Fatal("nothing was recorded")
		}
		for _, d := range different {
			t.Errorf("decided otherwise from what was recorded:\n%s", d)
		}
	})
}

func TestTheLastDecisionIsKeptForThoseWhoAsk(t *testing.T) {
	play(t, "", func(w *world) {
		w.broker.set("orders", 7)
		w.create(object("orders"))
		w.wait(time.Second)
		d, ok := w.last.Get("shop", "orders")
		if !ok || d.To != "depth=7" || d.Unit.Name != "orders" || len(d.Steps) == 0 || len(d.Conditions) != 3 {
			t.Fatalf("the last decision is %+v, %v", d, ok)
		}
		var detail struct {
			Source string       `json:"source"`
			Served query.Served `json:"served"`
		}
		if err := json.Unmarshal(d.Detail.Raw, &detail); err != nil {
			t.Fatal(err)
		}
		if detail.Source != "broker orders" || len(detail.Served.Samples) != 1 || detail.Served.Facts.SampledAt.IsZero() {
			t.Errorf("its detail is %s", d.Detail.Raw)
		}
		w.broker.fail(source.Errorf(source.ReasonUnreachable, "cannot connect to broker"))
		w.wait(5 * time.Second)
		if d, _ := w.last.Get("shop", "orders"); !strings.Contains(string(d.Detail.Raw), "cannot connect to broker") || len(d.Faults) == 0 {
			t.Errorf("the last failure is missing in %s", d.Detail.Raw)
		}
		w.delete("orders")
		w.wait(time.Second)
		if d, ok := w.last.Get("shop", "orders"); ok {
			t.Errorf("a decision is kept of an object that is gone: %+v", d)
		}
	})
}

func TestADeclaredPolicyHoldsOrFloorsAndTheObjectSaysSo(t *testing.T) {
	floor, atMost := resource.MustParse("20"), metav1.Duration{Duration: time.Minute}
	for name, test := range map[string]struct {
		policy v1alpha1.OnStale
		served string
		reason string
	}{
		"hold":  {v1alpha1.OnStale{Policy: v1alpha1.StaleHold, AtMost: &atMost}, "orders 7", "Held"},
		"floor": {v1alpha1.OnStale{Policy: v1alpha1.StaleFloor, Floor: &floor, AtMost: &atMost}, "orders 20", "Floored"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, "", func(w *world) {
				w.leads()
				w.broker.set("orders", 7)
				w.create(object("orders", func(o *v1alpha1.MetricSource) { o.Spec.OnStale = &test.policy }))
				w.wait(5 * time.Second)
				w.wantServed("depth", "orders 7")
				w.events.take()
				w.broker.fail(source.Errorf(source.ReasonUnreachable, "gone"))
				w.wait(45 * time.Second)
				w.wantServed("depth", test.served)
				w.wantCondition("orders", "Fresh", metav1.ConditionFalse, test.reason, "until")
				w.wantCondition("orders", "Ready", metav1.ConditionTrue, test.reason, "gone")
				m := w.get("orders").Status.Metrics[0]
				if "orders "+m.Value.String() != test.served || !strings.Contains(m.Error, "gone") || time.Since(m.SampledAt.Time) < 30*time.Second {
					t.Errorf("the metric's status is %+v", m)
				}
				w.wait(time.Minute)
				w.wantServed("depth", "orders Stale")
				w.wantCondition("orders", "Ready", metav1.ConditionFalse, "Stale", "gone")
				w.broker.fail(nil)
				w.wait(15 * time.Second)
				w.wantServed("depth", "orders 7")
				var kinds []string
				for _, e := range w.events.take() {
					kinds = append(kinds, strings.SplitN(e, ":", 2)[0])
				}
				want := []string{"orders Warning Unreachable", "orders Warning " + test.reason, "orders Warning Stale", "orders Normal Serving", "orders Normal Read"}
				if diff := cmp.Diff(want, kinds); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			})
		})
	}
}
