package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadTakesTheSumOut(t *testing.T) {
	const printed = `=== RUN   TestHPA
=== RUN   TestHPA/scenarios/0
    conformance_test.go:63: seed 6 differs in turn 6; again: -seed 6 -skip 1 -turns 6
        - scale: 7
        + scale: 8
    conformance_test.go:75: explained in 5 scenarios: Sums do not overflow.
    conformance_test.go:83: hpa: 300 scenarios, 7384 steps, 1 unexplained differences
--- FAIL: TestHPA (6.60s)
    --- FAIL: TestHPA/scenarios (0.00s)
FAIL
FAIL	example.org/test/conformance	6.7s
`
	var out strings.Builder
	got, err := read(strings.NewReader(printed), "hpa", &out)
	if err != nil {
		t.Fatal(err)
	}
	if want := (summary{scenarios: 300, turns: 7384, differences: 1}); got != want {
		t.Errorf("read %+v, want %+v", got, want)
	}
	want := `seed 6 differs in turn 6; again: -seed 6 -skip 1 -turns 6
- scale: 7
+ scale: 8
explained in 5 scenarios: Sums do not overflow.
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("passed on (-want +got):\n%s", d)
	}
}
