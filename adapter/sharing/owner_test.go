package sharing

import (
	"fmt"
	"testing"
)

func TestKeysAreSpreadAndFewMove(t *testing.T) {
	const keys = 3000
	three := []string{"10.0.0.1:6443", "10.0.0.2:6443", "10.0.0.3:6443"}
	four := append([]string{"10.0.0.9:6443"}, three...)
	held, moved := map[string]int{}, 0
	for i := range keys {
		key := fmt.Sprint("key", i)
		before, after := Owner(three, key), Owner(four, key)
		held[before]++
		if before != after {
			moved++
			if after != four[0] {
				t.Fatalf("%s moved from %s to %s, which both stayed", key, before, after)
			}
		}
		if got := Owner([]string{three[2], three[0], three[1]}, key); got != before {
			t.Fatalf("%s is of %s or %s by the order of the members", key, before, got)
		}
	}
	for _, member := range three {
		if n := held[member]; n < keys/4 || n > keys/2 {
			t.Errorf("%s holds %d of %d keys", member, n, keys)
		}
	}
	if moved < keys/6 || moved > keys/3 {
		t.Errorf("%d of %d keys moved to a fourth member", moved, keys)
	}
	if got := Owner(nil, "key"); got != "" {
		t.Errorf("of nobody %q is the owner", got)
	}
}
