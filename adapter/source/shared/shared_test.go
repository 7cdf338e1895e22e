package shared_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/source/shared"
)

// TestOneForAll makes what users of one key share once, and ends it once, after the
// last of them.
func TestOneForAll(t *testing.T) {
	pool := shared.NewPool[*string]()
	var told []string
	acquire := func(key string) (*string, func()) {
		return pool.Acquire(key,
			func() *string { told = append(told, "make "+key); return &key },
			func(held *string) { told = append(told, "end "+*held) })
	}
	first, releaseFirst := acquire("a")
	second, releaseSecond := acquire("a")
	other, releaseOther := acquire("b")
	if first != second || first == other {
		t.Error("users of one key do not share, or those of two do")
	}
	releaseFirst()
	releaseFirst() // counts once
	if again, release := acquire("a"); again != second {
		t.Error("what a user still holds was made again")
	} else {
		release()
	}
	releaseSecond()
	releaseOther()
	_, release := acquire("a")
	release()
	if diff := cmp.Diff([]string{"make a", "make b", "end a", "end b", "make a", "end a"}, told); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
