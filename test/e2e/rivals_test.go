package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"k8s.io/utils/ptr"

	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/lab/labtest"
)

// TestTwoWritersNever starts every binary beside its upstream twin: upstream's
// own HPA controller, and for the others the lease or the webhook configuration
// by which theirs give themselves away. Each binary says so and leaves the
// objects alone.
func TestTwoWritersNever(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Options{Name: "rivals", UpstreamHPA: true})
	s := newStage(t, l)
	for _, name := range []string{"vpa-recommender", "vpa-updater", "cluster-autoscaler"} {
		s.create(heldLease(name))
	}
	s.create(&admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "vpa-webhook-config"}})

	release, err := l.InstallChart(t.Context(), lab.ChartOptions{Values: chartValues(t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	if err := release.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.create(s.pool(1, 3))
	upstreamFirst(s, release.Process("hpa-controller"))
	_, err = s.vpas().AutoscalingV1().VerticalPodAutoscalers(s.namespace).Create(t.Context(), s.vpa(vpav1.UpdateModeRecreate), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}

	eventually(t, 60*time.Second, func() error {
		if c := s.hpaCondition("QuartetActing"); c.Status != corev1.ConditionFalse || c.Reason != "OtherControllerWrites" {
			return fmt.Errorf("the HPA's conditions do not say that another controller writes: %s", s.hpaConditions())
		}
		line, err := readyDetail(release.Process("hpa-controller"), "other-writers")
		if err == nil && !strings.Contains(line, "kube-controller-manager") {
			err = fmt.Errorf("readiness says %q, which does not name kube-controller-manager", line)
		}
		return err
	})
	for name, sign := range map[string]string{
		"vpa-recommender": "another recommender",
		"vpa-updater":     "vpa-updater",
		"vpa-admission":   "vpa-webhook-config",
		"cluster-scaler":  "cluster-autoscaler",
	} {
		t.Run(name, func(t *testing.T) {
			eventually(t, 60*time.Second, func() error {
				line, err := readyDetail(release.Process(name), "other-writers")
				if err != nil {
					return err
				}
				if !strings.Contains(line, sign) {
					return fmt.Errorf("readiness says %q, which does not name %s", line, sign)
				}
				return nil
			})
		})
	}
	// Upstream's controller goes on with its work, unharmed.
	s.fill(60)
	s.awaitReplicas(3, 3, 60*time.Second)
	consistently(t, 5*time.Second, func() error {
		if n := len(s.poolNodes()); n != 0 {
			return fmt.Errorf("the pool grew to %d beside another scaler", n)
		}
		return nil
	})
	otherAdapter(s, release.Process("metrics-adapter"))
}

// otherAdapter hands the external metrics API to another adapter's Service, as
// where one is installed later, and back.
func otherAdapter(s *stage, ours *lab.Process) {
	s.t.Helper()
	register := func(service string) {
		s.t.Helper()
		_, err := s.lab.Kubectl(s.t.Context(), "patch", "apiservice", "v1beta1.external.metrics.k8s.io", "--type=merge",
			"--patch", `{"spec":{"service":{"name":"`+service+`"}}}`)
		if err != nil {
			s.t.Fatal(err)
		}
	}
	says := func(detail, status, reason string) {
		s.t.Helper()
		eventually(s.t, 30*time.Second, func() error {
			line, err := readyDetail(ours, "other-writers")
			if err != nil {
				return err
			}
			if !strings.Contains(line, detail) {
				return fmt.Errorf("readiness says %q, which does not say %q", line, detail)
			}
			got, err := s.lab.Kubectl(s.t.Context(), "get", "metricsource", "-n", s.namespace,
				"-o", `jsonpath={.items[0].status.conditions[?(@.type=="Ready")].status}/{.items[0].status.conditions[?(@.type=="Ready")].reason}`)
			if err == nil && got != status+"/"+reason {
				err = fmt.Errorf("the MetricSource is Ready %s, want %s/%s", got, status, reason)
			}
			return err
		})
	}
	register("keda-operator-metrics-apiserver")
	says("keda-operator-metrics-apiserver", "False", "OtherAdapterServes")
	register("metrics-adapter")
	says("none", "True", "Serving")
}

// upstreamFirst lets upstream's controller have written the HPA's status before
// ours sees the object, as where the suite is installed beside it.
func upstreamFirst(s *stage, ours *lab.Process) {
	s.t.Helper()
	if err := ours.Stop(); err != nil {
		s.t.Fatal(err)
	}
	s.withQueueLoop()
	eventually(s.t, 30*time.Second, func() error {
		var h autoscalingv2.HorizontalPodAutoscaler
		s.get(workload, &h)
		for _, f := range h.ManagedFields {
			if f.Manager == "kube-controller-manager" && f.Subresource == "status" {
				return nil
			}
		}
		return fmt.Errorf("upstream's controller has not written the status yet: %s", s.hpaConditions())
	})
	ours.Start()
	if err := ours.WaitReady(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// heldLease is what a leader of upstream's that is alive has: renewed now, for
// longer than the test takes.
func heldLease(name string) *coordinationv1.Lease {
	now := metav1.NowMicro()
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: name},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: ptr.To("upstream-" + name), LeaseDurationSeconds: ptr.To(int32(600)), AcquireTime: &now, RenewTime: &now,
		},
	}
}

// readyDetail is the line of one check in a process's readiness.
func readyDetail(p *lab.Process, check string) (string, error) {
	url, err := p.URL()
	if err != nil {
		return "", err
	}
	client := http.Client{
		Timeout: 5 * time.Second,
		// The certificate is for the Service's name, not for this address.
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, //nolint:gosec // a probe, as a kubelet's
	}
	defer client.CloseIdleConnections()
	resp, err := client.Get(url + "/readyz?verbose")
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(body)) {
		if strings.Contains(line, check) {
			return strings.TrimSpace(line), nil
		}
	}
	return "", fmt.Errorf("no check %s in\n%s", check, body)
}

// TestRecommendOnlyWatches: in mode Recommend nothing is written to the target,
// and the object says what would have been.
func TestRecommendOnlyWatches(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Options{Name: "recommend"})
	values := chartValues(t.TempDir())
	values["hpaController"].(map[string]any)["mode"] = "Recommend"
	for _, name := range []string{"vpaRecommender", "vpaUpdater", "vpaAdmission", "clusterScaler"} {
		values[name] = map[string]any{"enabled": false}
	}
	release, err := l.InstallChart(t.Context(), lab.ChartOptions{Values: values})
	if err != nil {
		t.Fatal(err)
	}
	if err := release.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := newStage(t, l).withQueueLoop()
	s.fill(60)
	eventually(t, 30*time.Second, func() error {
		c := s.hpaCondition("QuartetRecommends")
		if c.Status != corev1.ConditionTrue || !strings.Contains(c.Message, "3") {
			return fmt.Errorf("no condition recommends 3 replicas: %s", s.hpaConditions())
		}
		return nil
	})
	if got := s.replicas(); got != 1 {
		t.Errorf("%d replicas in mode Recommend, want 1 untouched", got)
	}
	var h autoscalingv2.HorizontalPodAutoscaler
	s.get(workload, &h)
	if target := h.Spec.Metrics[0].External.Target.AverageValue; target.Cmp(*resource.NewQuantity(averageValue, resource.DecimalSI)) != 0 {
		t.Errorf("the HPA itself was changed: target %s", target)
	}
}
