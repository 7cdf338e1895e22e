package prometheus

import (
	"context"
	"testing"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/httpapi"
)

// TestPanicsAreTheQuestionsOwn outlives one in a goroutine that nobody else could.
func TestPanicsAreTheQuestionsOwn(t *testing.T) {
	err := inParallel(t.Context(), 3, func(_ context.Context, i int) error {
		if i == 1 {
			panic("a reply that nobody thought of")
		}
		return nil
	})
	if reason, message := source.ReasonOf(err); err == nil || reason != source.ReasonBroken || message != "the code that reads this source failed (string): see the log" {
		t.Errorf("got %s: %s", reason, message)
	}
	// Without servers an answer is none, and its code breaks.
	p := &rulesPoller{query: &rulesQuery{}, servers: &servers{transport: httpapi.NewTransport(httpapi.TransportConfig{})}}
	if got := p.answer(t.Context(), server{url: "http://server"}, question{}); got.failed == nil || got.failed.Reason != source.ReasonBroken {
		t.Errorf("got %+v", got)
	}
}
