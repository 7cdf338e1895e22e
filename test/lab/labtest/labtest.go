// Package labtest gives a test a lab and takes it away again. What a lab is, package lab says; this one only ties
// its life, and its logs, to those of a test.
package labtest

import (
	"testing"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

// Start starts a lab for a test, or ends the test. The lab goes with the test; if the test fails its logs stay, and
// their folder is logged. A lab of which a part died meanwhile fails the test.
func Start(t testing.TB, o lab.Options) *lab.Lab {
	t.Helper()
	if o.Progress == nil {
		o.Progress = logged{t}
	}
	l, err := lab.Start(t.Context(), o)
	if err != nil {
		t.Fatalf("starting a lab: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Err(); err != nil {
			t.Errorf("the lab broke: %v", err)
		}
		if t.Failed() {
			l.KeepLogs()
			t.Logf("the lab's logs are in %s", l.Logs())
		}
		if err := l.Stop(); err != nil {
			t.Errorf("stopping the lab: %v", err)
		}
	})
	return l
}

// logged writes lines to a test's log.
type logged struct{ t testing.TB }

func (w logged) Write(line []byte) (int, error) {
	w.t.Helper()
	w.t.Logf("%s", line)
	return len(line), nil
}
