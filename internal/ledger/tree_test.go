package ledger

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// grow makes a random JSON object, deep at most.
func grow(rng *rand.Rand, deep int) map[string]any {
	out := map[string]any{}
	for range rng.IntN(5) {
		name := fmt.Sprintf("k%d", rng.IntN(6))
		switch rng.IntN(6) {
		case 0:
			out[name] = rng.IntN(2) == 0
		case 1:
			out[name] = fmt.Sprint(rng.IntN(3))
		case 2:
			out[name] = []any{fmt.Sprint(rng.IntN(3)), nil}
		case 3:
			out[name] = nil
		default:
			if deep > 0 {
				out[name] = grow(rng, deep-1)
			}
		}
	}
	return out
}

func TestMergeUndoesDiff(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	expressed := 0
	for range 20000 {
		from, to := grow(rng, 3), grow(rng, 3)
		patch, ok := diff(from, to)
		if !ok {
			continue
		}
		expressed++
		if got := merge(from, patch); !equal(got, to) {
			t.Fatalf("from %v\nto   %v\npatch %v\ngave %v", from, to, patch, got)
		}
	}
	if expressed < 1000 {
		t.Errorf("only %d of 20000 random changes had a merge patch: the test says little", expressed)
	}
}

func TestDiffOfEqualsIsEmpty(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		a := grow(rng, 3)
		patch, ok := diff(a, a)
		if !ok || len(patch) != 0 {
			t.Fatalf("diff of %v with itself: %v, %v", a, patch, ok)
		}
	}
}

func TestNumbersKeepTheirDigits(t *testing.T) {
	for _, number := range []string{"9223372036854775807", "0.1", "1e21", "-0", "100000000000000000001"} {
		raw := `{"a":` + number + `}`
		tr, err := parseTree([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(raw, text(tr)); diff != "" {
			t.Errorf("number changed (-want +got):\n%s", diff)
		}
	}
}

func TestChangesNamePaths(t *testing.T) {
	a := map[string]any{"x": []any{"1", "2"}, "y": map[string]any{"z": "1"}, "same": "s"}
	b := map[string]any{"x": []any{"1", "3"}, "y": map[string]any{}, "same": "s", "new": true}
	var got []string
	for _, c := range changes("d", a, b) {
		got = append(got, c.path)
	}
	if diff := cmp.Diff([]string{"d.new", "d.x[1]", "d.y.z"}, got); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}
