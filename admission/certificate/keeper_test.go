package certificate_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/quartet-autoscaling/quartet/admission/certificate"
)

const (
	dnsName = "vpa-admission.quartet-system.svc"
	webhook = "quartet-vpa-admission"
	day     = 24 * time.Hour
)

var secretKey = types.NamespacedName{Namespace: "quartet-system", Name: "vpa-admission-webhook"}

// stage is a cluster whose clock is ours.
type stage struct {
	t      *testing.T
	client kubernetes.Interface
	clock  *testingclock.FakeClock
}

func newStage(t *testing.T) *stage {
	meta := metav1.ObjectMeta{Name: webhook}
	return &stage{
		t: t, clock: testingclock.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)),
		client: fake.NewClientset(
			&admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionregistrationv1.MutatingWebhook{{Name: "pods.quartet.dev"}}},
			&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionregistrationv1.ValidatingWebhook{{Name: "vpas.quartet.dev"}}},
		),
	}
}

func (s *stage) keeper() *certificate.Keeper {
	s.t.Helper()
	k, err := certificate.New(certificate.Config{
		Client: s.client, Secret: secretKey, DNSName: dnsName, Mutating: webhook, Validating: webhook,
		Validity: 90 * day, CAValidity: 3650 * day, Interval: 10 * time.Second, Clock: s.clock,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return k
}

func (s *stage) sync(k *certificate.Keeper) {
	s.t.Helper()
	if err := k.Sync(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// bundle is what the API server trusts now.
func (s *stage) bundle() []byte {
	s.t.Helper()
	m, err := s.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(s.t.Context(), webhook, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	v, err := s.client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(s.t.Context(), webhook, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	if !bytes.Equal(m.Webhooks[0].ClientConfig.CABundle, v.Webhooks[0].ClientConfig.CABundle) {
		s.t.Fatal("the two configurations trust different CAs")
	}
	return m.Webhooks[0].ClientConfig.CABundle
}

// emptySecret makes everything in it due.
func (s *stage) emptySecret() {
	s.t.Helper()
	secret, err := s.client.CoreV1().Secrets(secretKey.Namespace).Get(s.t.Context(), secretKey.Name, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	secret.Data = nil
	if _, err := s.client.CoreV1().Secrets(secretKey.Namespace).Update(s.t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// call calls as an API server that trusts the bundle, and gives the certificate
// that it was shown.
func (s *stage) call(address string, bundle []byte) *x509.Certificate {
	s.t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(bundle)
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: pool, ServerName: dnsName, Time: s.clock.Now},
	}}
	response, err := client.Get("https://" + address)
	if err != nil {
		s.t.Fatalf("the API server cannot call: %v", err)
	}
	defer func() { _ = response.Body.Close() }()
	return response.TLS.PeerCertificates[0]
}

func serve(t *testing.T, k *certificate.Keeper) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	// A listener of our own: httptest's would serve a certificate of its own.
	server.Listener = tls.NewListener(server.Listener, &tls.Config{GetCertificate: k.GetCertificate})
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestCertificateIsMadeAndTrusted(t *testing.T) {
	s := newStage(t)
	k := s.keeper()
	if _, err := k.Check(t.Context()); err == nil {
		t.Error("ready without a certificate")
	}
	s.sync(k)
	if _, err := k.Check(t.Context()); err != nil {
		t.Errorf("not ready: %v", err)
	}
	first := s.call(serve(t, k), s.bundle())
	s.clock.Step(day)
	s.sync(k)
	if again := s.call(serve(t, k), s.bundle()); !again.Equal(first) {
		t.Error("a certificate was renewed that was not due")
	}
}

func TestCertificateIsRenewedInTime(t *testing.T) {
	s := newStage(t)
	k := s.keeper()
	s.sync(k)
	address := serve(t, k)
	first, before := s.call(address, s.bundle()), s.bundle()
	s.clock.Step(61 * day)
	s.sync(k)
	if second := s.call(address, s.bundle()); second.Equal(first) || !second.NotAfter.After(first.NotAfter) {
		t.Errorf("the certificate was not renewed: valid until %s, then until %s", first.NotAfter, second.NotAfter)
	}
	if !bytes.Equal(before, s.bundle()) {
		t.Error("the CA was replaced with the certificate")
	}
}

// At every moment of a change of the CA, an API server that knows the
// configurations of now, or those of some seconds ago, can call.
func TestNewAuthorityLeavesNoGap(t *testing.T) {
	s := newStage(t)
	k, other := s.keeper(), s.keeper()
	s.sync(k)
	s.sync(other)
	address, otherAddress := serve(t, k), serve(t, other)
	first, late := s.call(address, s.bundle()), s.bundle()
	s.emptySecret()
	for range 3 {
		s.sync(k)
		s.call(address, s.bundle())
		s.call(address, late)
		s.call(otherAddress, s.bundle())
		s.sync(other)
		s.call(otherAddress, s.bundle())
		s.call(otherAddress, late)
		late = s.bundle()
		s.clock.Step(10 * time.Second)
	}
	mine, others := s.call(address, s.bundle()), s.call(otherAddress, s.bundle())
	if mine.Equal(first) || !mine.Equal(others) {
		t.Error("the replicas do not both serve the new certificate")
	}
}

func TestOldAuthoritiesAreDropped(t *testing.T) {
	s := newStage(t)
	k := s.keeper()
	s.sync(k)
	address := serve(t, k)
	for range 60 {
		s.clock.Step(61 * day)
		for range 3 {
			s.sync(k)
			s.call(address, s.bundle())
			s.clock.Step(10 * time.Second)
		}
	}
	if n := bytes.Count(s.bundle(), []byte("BEGIN CERTIFICATE")); n != 2 && n != 1 {
		t.Errorf("the API server trusts %d CAs after ten years", n)
	}
}

func TestMissingConfigurationIsTold(t *testing.T) {
	s := newStage(t)
	k := s.keeper()
	if err := s.client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(t.Context(), webhook, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := k.Sync(t.Context()); err == nil {
		t.Error("no error")
	}
	if _, err := k.Check(t.Context()); err == nil {
		t.Error("ready although the API server does not trust the certificate")
	}
	// What is served is trusted by the configuration that is there.
	m, err := s.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), webhook, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.call(serve(t, k), m.Webhooks[0].ClientConfig.CABundle)
}
