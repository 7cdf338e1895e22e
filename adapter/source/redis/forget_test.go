package redis

import (
	"testing"

	"github.com/quartet-autoscaling/quartet/adapter/source/access"
)

// TestAFailureOfOneKeyEndsNoOthersConnection forgets where one key is, as after every
// poll of a group that does not exist, while others are read from the same master.
func TestAFailureOfOneKeyEndsNoOthersConnection(t *testing.T) {
	s := newPool().acquire(link{topology: sentinels, addresses: []string{"127.0.0.1:1"}, masterName: "main", key: "a"})
	defer s.release()
	if _, err := s.clientAs("127.0.0.1:2", access.Basic{}, 0); err != nil {
		t.Fatal(err)
	}
	s.places[""] = "127.0.0.1:2"
	s.forget("missing")
	if s.clients["127.0.0.1:2"] == nil {
		t.Error("the master's connections were ended")
	}
	if _, known := s.places[""]; known {
		t.Error("the place is still known")
	}
	s.places[""] = "127.0.0.1:3"
	if s.prune(); s.clients["127.0.0.1:2"] != nil {
		t.Error("the connections of a master that was are kept")
	}
}

// TestPlacesOfKeysThatNobodyReadsAreForgotten: objects come and go, and the link that
// others hold does not grow.
func TestPlacesOfKeysThatNobodyReadsAreForgotten(t *testing.T) {
	l := link{topology: cluster, addresses: []string{"127.0.0.1:1"}, key: "a"}
	all := newPool()
	s := all.acquire(l)
	defer s.release()
	p := &poller{query: &redisQuery{link: l, subject: subject{key: "orders"}}, servers: all.acquire(l)}
	s.places["orders"] = "127.0.0.1:2"
	if p.Close(); len(s.places) != 0 {
		t.Errorf("the link still knows %v", s.places)
	}
}
