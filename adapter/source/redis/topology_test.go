package redis_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

const sentinelPassword = "another-horse-battery"

func TestReplicaIsNotRead(t *testing.T) {
	master := start(t, nil)
	master.do(t, "RPUSH", "jobs", 1)
	replica := start(t, func(r *brokers.Redis) { r.ReplicaOf = master.Address() })
	wantFailure(t, open(t, list(replica.Address(), "jobs"), nil), pollTimeout, "NotMaster")
}

// TestSentinel runs a master, a replica and a sentinel, with two passwords, and
// kills the master.
func TestSentinel(t *testing.T) {
	withPassword := func(r *brokers.Redis) { r.Password = password }
	master := start(t, withPassword)
	replica := start(t, func(r *brokers.Redis) { withPassword(r); r.ReplicaOf = master.Address() })
	sentinel := start(t, func(r *brokers.Redis) {
		r.Password = sentinelPassword
		r.Watches = &brokers.RedisWatch{Name: "main", Address: master.Address(), Password: password}
	})
	master.makeStream(t, "orders", 5)
	eventually(t, "the replica has all, and the sentinel knows it", func() error {
		if n, err := replica.admin.XLen(t.Context(), "orders").Result(); err != nil || n != 5 {
			return fmt.Errorf("the replica has %d entries (%v)", n, err)
		}
		known, err := sentinel.admin.Do(t.Context(), "SENTINEL", "REPLICAS", "main").Slice()
		if err != nil || len(known) != 1 {
			return fmt.Errorf("the sentinel knows %d replicas (%v)", len(known), err)
		}
		return nil
	})

	sentinel.do(t, "ACL", "SETUSER", "reader", "on", ">"+sentinelPassword, "-@all", "+sentinel|get-master-addr-by-name")

	dead := fmt.Sprintf("127.0.0.1:%d", brokertest.FreePort(t))
	spec := v1alpha1.RedisSource{
		Addresses: []string{dead, sentinel.Address()}, Topology: "Sentinel", SentinelMaster: "main",
		Stream:      &v1alpha1.RedisStream{Key: "orders", Group: "workers"},
		Credentials: credentials("redis"), SentinelCredentials: credentials("sentinel"),
	}
	secrets := brokertest.Secrets{
		"redis/user": "default", "redis/password": password,
		"sentinel/user": "reader", "sentinel/password": sentinelPassword,
	}
	t.Run("another name", func(t *testing.T) {
		other := spec
		other.SentinelMaster = "elsewhere"
		wantFailure(t, open(t, other, secrets), pollTimeout, "MasterNotFound")
	})
	t.Run("wrong credentials of the sentinels", func(t *testing.T) {
		other := spec
		other.SentinelCredentials = credentials("redis")
		wantFailure(t, open(t, other, secrets), pollTimeout, source.ReasonUnauthorized)
	})
	t.Run("no sentinel", func(t *testing.T) {
		other := spec
		other.Addresses = []string{dead}
		wantFailure(t, open(t, other, secrets), pollTimeout, source.ReasonUnreachable)
	})

	p := open(t, spec, secrets)
	before := mustPoll(t, p)
	if pending := numbers(before)["Pending"]; pending != 5 {
		t.Fatalf("Pending is %v, want 5", pending)
	}
	if err := master.Kill(); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, p, pollTimeout, source.ReasonUnreachable)
	var after query.Reading
	eventually(t, "the replica has become the master", func() (err error) {
		after, err = poll(t, p, time.Second)
		return err
	})
	if diff := cmp.Diff(numbers(before), numbers(after)); diff != "" {
		t.Errorf("after the failover (-before +after):\n%s", diff)
	}
	if before.Epoch == after.Epoch {
		t.Error("the counters of two servers have one epoch")
	}
}

// TestCluster runs three masters and moves a key between them.
func TestCluster(t *testing.T) {
	nodes := startCluster(t, 3)
	spec := v1alpha1.RedisSource{Addresses: []string{nodes[0].Address(), nodes[1].Address()}, Topology: "Cluster"}
	keys := []string{"orders", "jobs", "mails", "bills"}
	owners := map[int]bool{}
	for i, key := range keys {
		owner := ownerOf(t, nodes, key)
		owners[owner] = true
		for range i + 1 {
			nodes[owner].do(t, "RPUSH", key, "x")
		}
		spec.List = key
		if got := numbers(mustPoll(t, open(t, spec, nil)))["Depth"]; got != float64(i+1) {
			t.Errorf("Depth of %s is %v, want %d", key, got, i+1)
		}
	}
	if len(owners) < 2 {
		t.Fatal("all keys are at one node: this tests nothing")
	}

	for _, node := range nodes {
		node.do(t, "ACL", "SETUSER", "reader", "on", ">"+password, "~orders", "-@all", "+multi", "+exec", "+time", "+info", "+llen",
			"+cluster|slots", "+cluster|keyslot")
	}
	spec.List, spec.Credentials = "orders", credentials("redis")
	mustPoll(t, open(t, spec, brokertest.Secrets{"redis/user": "reader", "redis/password": password}))

	spec.KeyspaceEvents, spec.Credentials = true, nil
	changes, _ := watch(t, spec, nil)
	heard(t, changes)
	p := open(t, spec, nil)
	before := mustPoll(t, p)
	from := ownerOf(t, nodes, "orders")
	nodes[from].do(t, "RPUSH", "orders", "x")
	heard(t, changes)

	to := (from + 1) % len(nodes)
	moveKey(t, nodes, "orders", from, to)
	after, err := poll(t, p, pollTimeout)
	if err != nil {
		t.Fatalf("after the key moved: %v", err)
	}
	if got := numbers(after)["Depth"]; got != 2 || after.Epoch == before.Epoch {
		t.Errorf("after the key moved the list has %v elements, want 2, and epochs are %s, %s", got, before.Epoch, after.Epoch)
	}

	if err := nodes[to].Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cluster is down without one of its masters", func() error {
		_, err := poll(t, p, pollTimeout)
		if reason, _ := source.ReasonOf(err); err == nil || reason != source.ReasonUnreachable {
			return fmt.Errorf("the poll ended with %w", err)
		}
		return nil
	})
	if err := nodes[to].Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the poller recovers", func() error { _, err := poll(t, p, pollTimeout); return err })
}

// startCluster makes a cluster of masters, which share the slots.
func startCluster(t *testing.T, n int) []*running {
	t.Helper()
	const slots = 16384
	nodes := make([]*running, n)
	for i := range nodes {
		nodes[i] = start(t, func(r *brokers.Redis) { r.BusPort = brokertest.FreePort(t); r.Events = "Kl" })
		nodes[i].do(t, "CLUSTER", "ADDSLOTSRANGE", i*slots/n, (i+1)*slots/n-1)
		nodes[i].do(t, "CLUSTER", "SET-CONFIG-EPOCH", i+1)
	}
	for _, node := range nodes[1:] {
		node.do(t, "CLUSTER", "MEET", "127.0.0.1", nodes[0].Port, nodes[0].BusPort)
	}
	for _, node := range nodes {
		eventually(t, "the cluster is up", func() error {
			info, err := node.admin.ClusterInfo(t.Context()).Result()
			if err == nil && !strings.Contains(info, "cluster_state:ok") {
				err = errors.New(info)
			}
			return err
		})
	}
	return nodes
}

// ownerOf gives the number of the node that takes a key.
func ownerOf(t *testing.T, nodes []*running, key string) int {
	t.Helper()
	for i, node := range nodes {
		if err := node.admin.LLen(t.Context(), key).Err(); err == nil {
			return i
		}
	}
	t.Fatalf("no node has %s", key)
	return 0
}

// moveKey moves a key and its slot from one node to another.
func moveKey(t *testing.T, nodes []*running, key string, from, to int) {
	t.Helper()
	slot := nodes[from].do(t, "CLUSTER", "KEYSLOT", key)
	source, target := nodes[from].do(t, "CLUSTER", "MYID"), nodes[to].do(t, "CLUSTER", "MYID")
	nodes[to].do(t, "CLUSTER", "SETSLOT", slot, "IMPORTING", source)
	nodes[from].do(t, "CLUSTER", "SETSLOT", slot, "MIGRATING", target)
	nodes[from].do(t, "MIGRATE", "127.0.0.1", nodes[to].Port, key, 0, 5000)
	for _, i := range []int{to, from} {
		nodes[i].do(t, "CLUSTER", "SETSLOT", slot, "NODE", target)
	}
	eventually(t, "all nodes know", func() error {
		for _, node := range nodes {
			got, err := node.admin.Do(t.Context(), "CLUSTER", "SLOTS").Slice()
			if err != nil || !strings.Contains(fmt.Sprint(got), fmt.Sprintf("[%v %v [127.0.0.1 %d", slot, slot, nodes[to].Port)) {
				return fmt.Errorf("%v (%w)", got, err)
			}
		}
		return nil
	})
}
