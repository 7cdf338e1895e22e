package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPerOperation(t *testing.T) {
	output := `goos: linux
BenchmarkDecide/pods=5-2         	  300000	      4012 ns/op	    1024 B/op	      20 allocs/op
BenchmarkDecide/pods=5-2         	  300000	      3988.5 ns/op	    1024 B/op	      21 allocs/op
BenchmarkDecide/pods=50-2        	   30000	     40000 ns/op	    9024 B/op	      90 allocs/op
PASS
`
	for unit, want := range map[string][]float64{"ns": {4012, 3988.5}, "allocs": {20, 21}} {
		got, err := perOperation(output, "BenchmarkDecide/pods=5", unit)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s of an operation (-want +got):\n%s", unit, diff)
		}
		if _, err := perOperation(output, "BenchmarkOther", unit); err == nil {
			t.Errorf("a benchmark that did not run gave %s", unit)
		}
	}
}

func TestMergeReplacesByName(t *testing.T) {
	got := merge([]result{{Name: "a", Value: 1}, {Name: "c", Value: 3}}, result{Name: "b", Value: 2})
	got = merge(got, result{Name: "a", Value: 9})
	if diff := cmp.Diff([]result{{Name: "a", Value: 9}, {Name: "b", Value: 2}, {Name: "c", Value: 3}}, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

func TestMedian(t *testing.T) {
	for want, v := range map[float64][]float64{2: {3, 1, 2}, 1: {2, 1}, 5: {5}} {
		if got := median(v); got != want {
			t.Errorf("median of %v is %v, want %v", v, got, want)
		}
	}
}

func TestDocumentShowsPeers(t *testing.T) {
	upstream, ratio := 10.8, 21.6
	doc := document([]result{{Name: "cluster.up", Value: 0.5, Unit: "s", Upstream: &upstream, Ratio: &ratio}}, machine{processor: "P", cores: 2})
	want := "| `cluster.up` | no longer measured | 0.5 s | 10.8 s | 21.60 |\n"
	if got := doc[len(doc)-len(want):]; got != want {
		t.Errorf("last line\n%s\nwant\n%s", got, want)
	}
}
