package webhook

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/admission/runtimes"
	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
)

func TestRuntimesOfAPolicyAreLookedFor(t *testing.T) {
	got := kinds(&verticalpolicy.Admission{Runtimes: []string{verticalpolicy.RuntimeJVM, verticalpolicy.RuntimeGo}})
	if diff := cmp.Diff([]runtimes.Kind{runtimes.JVMHeap, runtimes.GoMemLimit}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := kinds(nil); got != nil {
		t.Errorf("without a policy %v", got)
	}
}
