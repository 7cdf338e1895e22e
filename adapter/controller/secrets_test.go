package controller_test

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// Turns bring readings into the table: those that wait for Secrets must not take
// the workers from all others.
func TestAnAPIServerThatHangsHoldsNoReadingBack(t *testing.T) {
	play(t, "", func(w *world) {
		w.leads()
		w.setSecret("hunter22-first")
		names := []string{"plain"}
		for i := range 16 {
			names = append(names, fmt.Sprintf("secret-%d", i))
		}
		for i, name := range names {
			w.create(object(name, func(o *v1alpha1.MetricSource) {
				o.Spec.Metrics[0].Name = name
				if i > 0 {
					o.Spec.Source.NATSJetStream.Credentials = &v1alpha1.NATSCredentials{Token: &v1alpha1.SecretKey{Name: "nats", Key: "password"}}
				}
			}))
		}
		w.wait(5 * time.Second)
		w.hang(true)
		for range 25 {
			w.wait(time.Second)
			for _, name := range names {
				entry, _ := w.table.Get("shop", name)
				if age := time.Since(entry.Facts.SampledAt); age > 8*time.Second {
					t.Errorf("the sample of %s in the table is %s old", name, age)
					return
				}
			}
		}
		// One of them may be asking again just now; the others say that it did not answer.
		w.wantCondition("secret-7", "Ready", metav1.ConditionFalse, "SecretNotReadable", "cannot be read")
		w.hang(false)
		w.wait(15 * time.Second)
		for _, name := range names {
			w.wantCondition(name, "Ready", metav1.ConditionTrue, "Serving", "")
		}
	})
}
