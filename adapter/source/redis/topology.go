package redis

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// masterHolds is how long a sentinel's answer is used by the queries of a link.
const masterHolds = time.Second

// place gives the address of the server that has a key now.
func (s *servers) place(ctx context.Context, key string) (string, error) {
	if s.link.topology == single {
		return s.link.addresses[0], nil
	}
	key = s.placeKey(key)
	s.mu.Lock()
	known, ok := s.places[key]
	if s.link.topology == sentinels && time.Since(s.askedAt) >= masterHolds {
		ok = false
	}
	s.mu.Unlock()
	if ok {
		return known, nil
	}
	found, err := s.find(ctx, key)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.askedAt = time.Now()
	s.places[key] = found
	s.prune()
	return found, nil
}

// placeKey is the key that a place is kept under.
func (s *servers) placeKey(key string) string {
	if s.link.topology == sentinels {
		return ""
	}
	return key
}

// forget makes the next poll look for a key anew. The client stays until the key is
// found elsewhere: other keys may be read over it now, and a failure of one is no
// failure of theirs.
func (s *servers) forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.askedAt = time.Time{}
	delete(s.places, s.placeKey(key))
}

// prune closes clients of servers that no key is at, and that no one is asked
// for keys. The caller holds the mutex.
func (s *servers) prune() {
	if s.link.topology == single {
		return
	}
	wanted := slices.Clone(s.link.addresses)
	for _, address := range s.places {
		wanted = append(wanted, address)
	}
	for address, c := range s.clients {
		if !slices.Contains(wanted, address) {
			_ = c.Close() // it was only read from
			delete(s.clients, address)
		}
	}
}

// find asks all addresses at the same time, and takes the first answer: so one
// that is away or slow delays nothing.
func (s *servers) find(ctx context.Context, key string) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		address string
		err     error
	}
	answers := make(chan answer, len(s.link.addresses))
	for _, address := range s.link.addresses {
		go func() {
			var a answer
			defer func() { answers <- a }()
			defer source.Recovered(&a.err)
			a.address, a.err = s.ask(ctx, address, key)
		}()
	}
	var failures []error
	for range s.link.addresses {
		a := <-answers
		if a.err == nil {
			return a.address, nil
		}
		failures = append(failures, a.err)
	}
	return "", worst(failures)
}

// worst is the failure that tells most: a refusal says more than a silence.
func worst(failures []error) error {
	for _, reason := range []string{reasonNoMaster, source.ReasonUnauthorized, source.ReasonTLS, source.ReasonBadReply, source.ReasonTimeout} {
		for _, err := range failures {
			var ours *source.Error
			if errors.As(err, &ours) && ours.Reason == reason {
				return err
			}
		}
	}
	return failures[0]
}

// ask asks one sentinel for the master, or one node for the owner of a key.
func (s *servers) ask(ctx context.Context, address, key string) (string, error) {
	login := s.link.basic
	if s.link.topology == sentinels {
		login = s.link.sentinel
	}
	client, err := s.clientAs(address, login, 0)
	if err != nil {
		return "", s.failure(address, err)
	}
	if s.link.topology == sentinels {
		return s.askSentinel(ctx, client, address)
	}
	return s.askNode(ctx, client, address, key)
}

func (s *servers) askSentinel(ctx context.Context, client *goredis.Client, address string) (string, error) {
	at, err := client.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", s.link.masterName).StringSlice()
	switch {
	case errors.Is(err, goredis.Nil):
		return "", source.Errorf(reasonNoMaster, "sentinel %s knows no master %s", address, s.link.masterName)
	case err != nil:
		return "", s.failure(address, err)
	case len(at) != 2 || at[0] == "" || at[1] == "":
		return "", source.Errorf(source.ReasonBadReply, "sentinel %s names no address of master %s", address, s.link.masterName)
	}
	return net.JoinHostPort(at[0], at[1]), nil
}

func (s *servers) askNode(ctx context.Context, client *goredis.Client, address, key string) (string, error) {
	pipe := client.Pipeline()
	slot := pipe.Do(ctx, "CLUSTER", "KEYSLOT", key)
	slots := pipe.Do(ctx, "CLUSTER", "SLOTS")
	if _, err := pipe.Exec(ctx); err != nil {
		return "", s.failure(address, err)
	}
	number, err := slot.Int64()
	if err != nil {
		return "", source.Errorf(source.ReasonBadReply, "%s answers with no slot of key %s", address, key)
	}
	owner, err := ownerOf(number, slots.Val())
	if err != nil {
		return "", source.Errorf(source.ReasonBadReply, "%s answers with no list of slots", address)
	}
	if owner == "" {
		return "", source.Errorf(reasonNoMaster, "no master of the cluster has slot %d of key %s", number, key)
	}
	if strings.HasPrefix(owner, ":") {
		// A node that does not know its own address means the one it was asked at.
		host, _, _ := net.SplitHostPort(address) // it was dialed
		owner = net.JoinHostPort(host, owner[1:])
	}
	return owner, nil
}

// errReply says that a reply is not what the protocol says.
var errReply = errors.New("the reply is not what was asked for")

// ownerOf finds the master of a slot in a reply to CLUSTER SLOTS; empty where no
// node has it. An address without a host is ":port".
func ownerOf(slot int64, reply any) (string, error) {
	ranges, ok := reply.([]any)
	if !ok {
		return "", errReply
	}
	for _, entry := range ranges {
		parts, ok := entry.([]any)
		if !ok || len(parts) < 3 {
			return "", errReply
		}
		from, first := parts[0].(int64)
		to, last := parts[1].(int64)
		node, master := parts[2].([]any)
		if !first || !last || !master || len(node) < 2 {
			return "", errReply
		}
		if slot < from || slot > to {
			continue
		}
		port, ok := node[1].(int64)
		if !ok || port < 1 || port > 65535 {
			return "", errReply
		}
		host, _ := node[0].(string) // nil where the node does not know it
		if host == "" || host == "?" {
			return ":" + itoa(port), nil
		}
		return net.JoinHostPort(host, itoa(port)), nil
	}
	return "", nil
}

// failure says in our words what became of a request to a server.
func (s *servers) failure(address string, err error) error {
	return failureOf(address, err, s.link.secrets()...)
}
