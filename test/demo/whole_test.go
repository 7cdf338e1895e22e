package main

import (
	"bytes"
	"testing"
	"time"
)

// TestWholeDemo plays the demo as `make demo` does without a terminal: nothing
// is lost, no budget is broken, and workers and nodes are back at their minimum.
func TestWholeDemo(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), settings{queue: "nats", headless: true, duration: 2 * time.Minute}, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	t.Logf("%s", out.String())
}
