package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	vpafake "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned/fake"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/yaml"

	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

// callers ask for reviews without end, as API servers do: some on connections that
// they keep, some on a new one each time, and all with what they knew of the
// webhook's authorities a moment ago.
type callers struct {
	url    string
	body   []byte
	clock  *testingclock.FakeClock
	pool   atomic.Pointer[x509.CertPool]
	done   atomic.Int64
	failed sync.Map
}

func (c *callers) call(ctx context.Context, keep bool) {
	client := &http.Client{}
	for ctx.Err() == nil {
		if client.Transport == nil || !keep {
			client.Transport = &http.Transport{DisableKeepAlives: !keep, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
				RootCAs: c.pool.Load(), ServerName: "vpa-admission.quartet-system.svc", Time: c.clock.Now,
			}}
		}
		if err := c.once(client); err != nil {
			c.failed.Store(err.Error(), true)
		}
		c.done.Add(1)
	}
	client.CloseIdleConnections()
}

func (c *callers) once(client *http.Client) error {
	response, err := client.Post(c.url, "application/json", bytes.NewReader(c.body))
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !bytes.Contains(content, []byte("JSONPatch")) {
		return fmt.Errorf("answered %d %s: %w", response.StatusCode, content, err)
	}
	return nil
}

// TestNoReviewFailsWhileTheCertificateRotates renews the certificate under its
// authority, then makes a new authority, while reviews go on.
func TestNoReviewFailsWhileTheCertificateRotates(t *testing.T) {
	vpa, owner := &vpav1.VerticalPodAutoscaler{}, true
	if err := yaml.UnmarshalStrict([]byte(object), vpa); err != nil {
		t.Fatal(err)
	}
	x := made(t, append(configurations(), &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "web-7d4f", UID: "rs-1",
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", Controller: &owner}},
	}}))
	x.vpas = vpafake.NewSimpleClientset(vpa)
	clock := testingclock.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	s := started(runtimeflags.ModeAuto)
	s.clock = clock
	x.run(s)

	body, err := json.Marshal(admissionv1.AdmissionReview{Request: &admissionv1.AdmissionRequest{
		UID: "review-1", Operation: admissionv1.Create, Namespace: "shop", Object: raw(t, newPod),
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := &callers{url: "https://" + x.w.listener.Addr().String() + PathPods, body: body, clock: clock}
	c.pool.Store(x.trusted())
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range 4 {
		running.Go(func() { c.call(ctx, i%2 == 0) })
	}
	// more waits until so many reviews more were answered.
	more := func() {
		t.Helper()
		until := c.done.Load() + 20
		eventually(t, "reviews go on", func() bool { return c.done.Load() >= until })
	}
	leaf := func() []byte {
		t.Helper()
		served, err := x.w.keeper.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return served.Certificate[0]
	}
	// turn lets time pass and keeps the certificate. The callers hear of a new
	// authority later, but before the next turn.
	turn := func(passes time.Duration) (changed bool) {
		t.Helper()
		more()
		before := leaf()
		clock.Step(passes)
		if err := x.w.keeper.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		more()
		c.pool.Store(x.trusted())
		more()
		return !bytes.Equal(leaf(), before)
	}

	if !turn(61 * 24 * time.Hour) {
		t.Error("a certificate of which a third is left was not renewed")
	}
	secrets := x.client.CoreV1().Secrets("quartet-system")
	secret, err := secrets.Get(t.Context(), "vpa-admission-webhook", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	secret.Data = nil
	if _, err := secrets.Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	rotated := 0
	for range 4 {
		if turn(11 * time.Second) {
			rotated++
		}
	}
	if rotated != 1 {
		t.Errorf("what is served changed %d times after a new authority was made", rotated)
	}
	stop()
	running.Wait()
	c.failed.Range(func(why, _ any) bool {
		t.Errorf("a review failed: %s", why)
		return true
	})
}
