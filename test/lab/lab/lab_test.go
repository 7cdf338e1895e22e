package lab_test

import (
	"os"
	"strings"
	"testing"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
)

func TestStartStop(t *testing.T) {
	l, err := lab.Start(t.Context(), lab.Options{Progress: os.Stderr, MetricsServer: true})
	if err != nil {
		t.Fatal(err)
	}
	out, err := l.Kubectl(t.Context(), "get", "nodes,apiservices")
	t.Log(out, err, l.Timings())
	if !strings.Contains(out, "Ready") {
		t.Error("no ready node")
	}
	if err := l.Stop(); err != nil {
		t.Error(err)
	}
}
