package kafka_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

func sasl(mechanism string) *v1alpha1.KafkaSASL {
	return &v1alpha1.KafkaSASL{Mechanism: mechanism, BasicAuth: v1alpha1.BasicAuth{
		Username: v1alpha1.SecretKey{Name: "kafka", Key: "user"}, Password: v1alpha1.SecretKey{Name: "kafka", Key: "password"},
	}}
}

func TestSASLAtFakeBrokers(t *testing.T) {
	w := start(t, 1, func(k *brokers.Kafka) {
		k.Users = map[string]string{"PLAIN/reader": password, "SCRAM-SHA-256/reader": password, "SCRAM-SHA-512/reader": password}
	}, kgo.SASL(plain.Auth{User: "reader", Pass: password}.AsMechanism()))
	w.commit(t, topic, 0, 0)
	right := brokertest.Secrets{"kafka/user": "reader", "kafka/password": password + "\n"}
	var obliging atomic.Bool
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			s := spec(w.Brokers, topic)
			s.SASL = sasl(mechanism)
			mustPoll(t, open(t, s, right))
			// These brokers close the connection where Kafka's own say why.
			wrong := brokertest.Secrets{"kafka/user": "reader", "kafka/password": "wrong-horse-battery"}
			wantFailure(t, open(t, s, wrong), pollTimeout, source.ReasonUnreachable)
			obliging.Store(false)
			w.Fake().ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
				w.Fake().KeepControl()
				reply, _ := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
				reply.ErrorCode, reply.ErrorMessage = kerr.SaslAuthenticationFailed.Code, kmsg.StringPtr("no")
				return reply, nil, !obliging.Load()
			})
			wantFailure(t, open(t, s, wrong), pollTimeout, source.ReasonUnauthorized)
			obliging.Store(true)
		})
	}
	t.Run("no credentials", func(t *testing.T) {
		_, err := poll(t, open(t, spec(w.Brokers, topic), nil), pollTimeout)
		// A broker that wants SASL just closes the connection of who does not begin it.
		if reason, message := source.ReasonOf(err); reason != source.ReasonUnauthorized && reason != source.ReasonUnreachable {
			t.Errorf("the poll failed with %s (%s)", reason, message)
		}
	})
}

func TestTLSAtFakeBrokers(t *testing.T) {
	ours, other := brokertest.NewAuthority(t, t.TempDir()), brokertest.NewAuthority(t, t.TempDir())
	pair, client := ours.Server(t), ours.Client(t, "reader")
	shown, err := tls.X509KeyPair([]byte(client.Certificate), []byte(client.Key))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(ours.CA))
	dial := kgo.DialTLSConfig(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{shown}, MinVersion: tls.VersionTLS12})
	secure := func(mutual bool) func(*brokers.Kafka) {
		return func(k *brokers.Kafka) {
			k.CAPath, k.CertificatePath, k.KeyPath = ours.CAPath, pair.CertificatePath, pair.KeyPath
			k.ClientCertificates = mutual
		}
	}
	plain, mutual := start(t, 1, secure(false), dial), start(t, 1, secure(true), dial)
	for _, w := range []*world{plain, mutual} {
		w.commit(t, topic, 0, 0)
	}
	secrets := brokertest.Secrets{"tls/ours": ours.CA, "tls/other": other.CA, "tls/crt": client.Certificate, "tls/key": client.Key}
	key := func(name string) *v1alpha1.SecretKey { return &v1alpha1.SecretKey{Name: "tls", Key: name} }
	for name, test := range map[string]struct {
		world *world
		tls   *v1alpha1.TLS
		want  []string // reasons, none for success
	}{
		"our authority":       {plain, &v1alpha1.TLS{CA: key("ours")}, nil},
		"another authority":   {plain, &v1alpha1.TLS{CA: key("other")}, []string{source.ReasonTLS}},
		"the system's":        {plain, &v1alpha1.TLS{}, []string{source.ReasonTLS}},
		"another server name": {plain, &v1alpha1.TLS{CA: key("ours"), ServerName: "elsewhere"}, []string{source.ReasonTLS}},
		"not verified":        {plain, &v1alpha1.TLS{InsecureSkipVerify: true}, nil},
		"no TLS at all":       {plain, nil, []string{source.ReasonUnreachable, source.ReasonBadReply, source.ReasonTLS}},
		"a client's pair":     {mutual, &v1alpha1.TLS{CA: key("ours"), ClientCertificate: key("crt"), ClientKey: key("key")}, nil},
		// The server says why, and closes: which comes first is chance.
		"no client certificate": {mutual, &v1alpha1.TLS{CA: key("ours")}, []string{source.ReasonTLS, source.ReasonUnreachable}},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(test.world.Brokers, topic)
			s.TLS = test.tls
			reading, err := poll(t, open(t, s, secrets), pollTimeout)
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
		change func(*v1alpha1.KafkaSource)
		want   string // within the message
	}{
		"no broker":          {func(s *v1alpha1.KafkaSource) { s.Brokers = nil }, "brokers is empty"},
		"a URL":              {func(s *v1alpha1.KafkaSource) { s.Brokers = []string{"kafka://u:hunter22@h:9092"} }, "no address such as"},
		"no port":            {func(s *v1alpha1.KafkaSource) { s.Brokers = []string{"h"} }, "no address such as"},
		"no group":           {func(s *v1alpha1.KafkaSource) { s.Group = "" }, "group is empty"},
		"partitions of all":  {func(s *v1alpha1.KafkaSource) { s.Topics, s.Partitions = nil, []int32{1} }, "exactly one topic"},
		"another reset":      {func(s *v1alpha1.KafkaSource) { s.OffsetReset = "None" }, "Earliest or Latest"},
		"a limit of nothing": {func(s *v1alpha1.KafkaSource) { s.LimitToPartitions = &v1alpha1.KafkaPartitionLimit{} }, "must be 1 or more"},
		"another mechanism":  {func(s *v1alpha1.KafkaSource) { s.SASL = sasl("GSSAPI") }, "must be PLAIN"},
		"no Secret":          {func(s *v1alpha1.KafkaSource) { s.SASL = sasl("PLAIN") }, "Secret kafka does not exist"},
		"a CA that is not there": {func(s *v1alpha1.KafkaSource) {
			s.TLS = &v1alpha1.TLS{CA: &v1alpha1.SecretKey{Name: "kafka", Key: "ca"}}
		}, "Secret kafka does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec([]string{"h:9092"}, topic)
			test.change(&s)
			_, err := build(t, s, nil)
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
	mustBuild := func(change func(*v1alpha1.KafkaSource), kinds ...query.Kind) source.Query {
		t.Helper()
		s := spec([]string{"h:9092"}, "a", "b")
		if change != nil {
			change(&s)
		}
		q, err := build(t, s, brokertest.Secrets{"kafka/user": "reader", "kafka/password": password}, kinds...)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	same := mustBuild(nil)
	if again := mustBuild(func(s *v1alpha1.KafkaSource) { s.Topics = []string{"b", "a"} }, query.DrainRate); same.Key() != again.Key() {
		t.Error("one question has two keys")
	}
	secret := mustBuild(func(s *v1alpha1.KafkaSource) { s.SASL = sasl("PLAIN") })
	if same.Key() == secret.Key() || same.Subject() != secret.Subject() {
		t.Error("other credentials must give another key and the same subject")
	}
	if text := fmt.Sprintf("%v %+v %#v %s", secret, secret, secret, secret.Key()); strings.Contains(text, "horse") {
		t.Errorf("the query shows a credential: %s", text)
	}
	if oldest := mustBuild(nil, query.OldestAge); same.Key() == oldest.Key() || same.Subject() != oldest.Subject() {
		t.Error("a query for the oldest record must have another key and the same subject")
	}
	limited := mustBuild(func(s *v1alpha1.KafkaSource) {
		s.LimitToPartitions = &v1alpha1.KafkaPartitionLimit{MessagesPerWorker: 1}
	})
	if same.Subject() == limited.Subject() {
		t.Error("a limited depth is another subject: the readings differ")
	}
}
