package redis_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

// leastRights are those that the documentation lists for a stream.
const leastRights = "~orders -@all +multi +exec +time +info +xinfo|stream +xinfo|groups +xpending +xrange +xrevrange"

func TestCredentials(t *testing.T) {
	s := start(t, func(r *brokers.Redis) {
		r.Password = password
		r.Users = []string{
			"reader on >" + password + " " + leastRights,
			"listener on >" + password + " resetchannels &__keyspace@0__:orders " + leastRights + " +subscribe +unsubscribe +ping",
			"blind on >" + password + " ~orders -@all +multi +exec +time +xinfo|stream +xinfo|groups",
			"elsewhere on >" + password + " ~others +@all",
		}
	})
	s.makeStream(t, "orders", 3)
	t.Run("a user of the least rights who listens", func(t *testing.T) {
		s.do(t, "CONFIG", "SET", "notify-keyspace-events", "Kt")
		spec := stream(s.Address(), "orders")
		spec.Credentials = credentials("redis")
		changes, _ := watch(t, spec, brokertest.Secrets{"redis/user": "listener", "redis/password": password})
		heard(t, changes)
		s.add(t, "orders", 1)
		heard(t, changes)
	})
	for name, test := range map[string]struct {
		user, password string
		want           string // a reason, empty for success
	}{
		"the server's password":      {"default", password, ""},
		"a user of the least rights": {"reader", password, ""},
		"a wrong password":           {"default", "wrong-horse-battery", source.ReasonUnauthorized},
		"a wrong password of a user": {"reader", "wrong-horse-battery", source.ReasonUnauthorized},
		"no such user":               {"nobody", password, source.ReasonUnauthorized},
		"a user without INFO":        {"blind", password, source.ReasonUnauthorized},
		"a user of other keys":       {"elsewhere", password, source.ReasonUnauthorized},
		"no credentials":             {"", "", source.ReasonUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			spec := stream(s.Address(), "orders")
			if test.user != "" {
				spec.Credentials = credentials("redis")
			}
			p := open(t, spec, brokertest.Secrets{"redis/user": test.user, "redis/password": test.password + "\n"}, query.OldestAge)
			if test.want == "" {
				mustPoll(t, p)
				return
			}
			wantFailure(t, p, pollTimeout, test.want)
		})
	}
}

func TestTLS(t *testing.T) {
	ours, other := brokertest.NewAuthority(t, t.TempDir()), brokertest.NewAuthority(t, t.TempDir())
	pair, client := ours.Server(t), ours.Client(t, "reader")
	secure := func(mutual bool) func(*brokers.Redis) {
		return func(r *brokers.Redis) {
			r.CAPath, r.CertificatePath, r.KeyPath = ours.CAPath, pair.CertificatePath, pair.KeyPath
			r.ClientCertificates = mutual
		}
	}
	plain, mutual := start(t, secure(false)), start(t, secure(true))
	secrets := brokertest.Secrets{"tls/ours": ours.CA, "tls/other": other.CA, "tls/crt": client.Certificate, "tls/key": client.Key}
	key := func(name string) *v1alpha1.SecretKey { return &v1alpha1.SecretKey{Name: "tls", Key: name} }
	for name, test := range map[string]struct {
		server *running
		tls    *v1alpha1.TLS
		want   []string // reasons, none for success
	}{
		"our authority":       {plain, &v1alpha1.TLS{CA: key("ours")}, nil},
		"another authority":   {plain, &v1alpha1.TLS{CA: key("other")}, []string{source.ReasonTLS}},
		"the system's":        {plain, &v1alpha1.TLS{}, []string{source.ReasonTLS}},
		"another server name": {plain, &v1alpha1.TLS{CA: key("ours"), ServerName: "elsewhere"}, []string{source.ReasonTLS}},
		"not verified":        {plain, &v1alpha1.TLS{InsecureSkipVerify: true}, nil},
		"no TLS at all":       {plain, nil, []string{source.ReasonUnreachable, source.ReasonBadReply}},
		"a client's pair":     {mutual, &v1alpha1.TLS{CA: key("ours"), ClientCertificate: key("crt"), ClientKey: key("key")}, nil},
		// The server says why, and closes: which comes first is chance.
		"no client certificate": {mutual, &v1alpha1.TLS{CA: key("ours")}, []string{source.ReasonTLS, source.ReasonUnreachable}},
	} {
		t.Run(name, func(t *testing.T) {
			spec := list(test.server.Address(), "jobs")
			spec.TLS = test.tls
			reading, err := poll(t, open(t, spec, secrets), pollTimeout)
			if len(test.want) == 0 {
				if err != nil || reading.Gauges[query.Depth] != query.NumberOf(0) {
					t.Errorf("got %+v and %v", reading, err)
				}
				return
			}
			reason, message := source.ReasonOf(err)
			if !strings.Contains(strings.Join(test.want, " "), reason) {
				t.Errorf("the poll failed with %s (%s), want one of %v", reason, message, test.want)
			}
		})
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*v1alpha1.RedisSource)
		secrets brokertest.Secrets
		want    string // within the message
	}{
		"no address":             {func(s *v1alpha1.RedisSource) { s.Addresses = nil }, nil, "addresses is empty"},
		"a URL":                  {func(s *v1alpha1.RedisSource) { s.Addresses = []string{"redis://u:hunter22@h:6379"} }, nil, "no address such as"},
		"no port":                {func(s *v1alpha1.RedisSource) { s.Addresses = []string{"h"} }, nil, "no address such as"},
		"a port that is none":    {func(s *v1alpha1.RedisSource) { s.Addresses = []string{"h:70000"} }, nil, "no address such as"},
		"two addresses":          {func(s *v1alpha1.RedisSource) { s.Addresses = []string{"a:1", "b:1"} }, nil, "set topology"},
		"list and stream":        {func(s *v1alpha1.RedisSource) { s.List = "jobs" }, nil, "exactly one of list, stream"},
		"no group":               {func(s *v1alpha1.RedisSource) { s.Stream.Group = "" }, nil, "needs a key and a group"},
		"no name of the masters": {func(s *v1alpha1.RedisSource) { s.Topology = "Sentinel" }, nil, "go together"},
		"another topology":       {func(s *v1alpha1.RedisSource) { s.Topology = "Ring" }, nil, "must be Single, Sentinel or Cluster"},
		"a cluster's database":   {func(s *v1alpha1.RedisSource) { s.Topology, s.Database = "Cluster", 1 }, nil, "database must be 0"},
		"no Secret":              {func(s *v1alpha1.RedisSource) { s.Credentials = credentials("gone") }, nil, "Secret gone does not exist"},
		"a CA that is none": {func(s *v1alpha1.RedisSource) {
			s.TLS = &v1alpha1.TLS{CA: &v1alpha1.SecretKey{Name: "redis", Key: "ca"}}
		}, brokertest.Secrets{"redis/ca": "hunter22"}, "holds no PEM certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := stream("h:6379", "orders")
			test.change(&spec)
			_, err := build(t, spec, test.secrets)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want one with %q", err, test.want)
			}
			if strings.Contains(err.Error(), "hunter22") {
				t.Errorf("the error shows a credential: %v", err)
			}
		})
	}
}

func TestKeysTellQueriesApart(t *testing.T) {
	base := stream("h:6379", "orders")
	mustBuild := func(change func(*v1alpha1.RedisSource), kinds ...query.Kind) source.Query {
		t.Helper()
		spec := base
		if change != nil {
			change(&spec)
		}
		q, err := build(t, spec, brokertest.Secrets{"redis/user": "reader", "redis/password": password}, kinds...)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	same := mustBuild(nil)
	if again := mustBuild(nil, query.Depth, query.DrainRate); same.Key() != again.Key() {
		t.Error("one question has two keys")
	}
	secret := mustBuild(func(s *v1alpha1.RedisSource) { s.Credentials = credentials("redis") })
	if same.Key() == secret.Key() || same.Subject() != secret.Subject() {
		t.Error("other credentials must give another key and the same subject")
	}
	if text := fmt.Sprintf("%v %+v %#v %s", secret, secret, secret, secret.Key()); strings.Contains(text, "horse") {
		t.Errorf("the query shows a credential: %s", text)
	}
	for name, other := range map[string]source.Query{
		"the oldest entry": mustBuild(nil, query.OldestAge),
		"events":           mustBuild(func(s *v1alpha1.RedisSource) { s.KeyspaceEvents = true }),
	} {
		if same.Key() == other.Key() || same.Subject() != other.Subject() {
			t.Errorf("a query for %s must have another key and the same subject", name)
		}
	}
	if other := mustBuild(func(s *v1alpha1.RedisSource) { s.Database = 1 }); same.Subject() == other.Subject() {
		t.Error("another database is the same subject")
	}
}
