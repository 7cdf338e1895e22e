package webhook

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	vpafake "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned/fake"
	"sigs.k8s.io/yaml"

	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

// crowd is the number of objects that the benchmark has.
const crowd = 2000

// usualPod is a pod as an API server sends it: two containers, and much that is
// none of the webhook's business.
const usualPod = `
apiVersion: v1
kind: Pod
metadata:
  generateName: NAME-7d4f-
  namespace: shop
  labels: {app: NAME, pod-template-hash: 7d4f, app.kubernetes.io/name: NAME, app.kubernetes.io/part-of: shop}
  annotations: {prometheus.io/scrape: "true", prometheus.io/port: "8080", checksum/config: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: NAME-7d4f, uid: NAME-rs, controller: true, blockOwnerDeletion: true}]
  managedFields:
  - apiVersion: v1
    fieldsType: FieldsV1
    fieldsV1: {"f:metadata": {"f:annotations": {".": {}, "f:checksum/config": {}}, "f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:containers": {'k:{"name":"app"}': {".": {}, "f:env": {".": {}}, "f:image": {}}}}}
    manager: kube-controller-manager
    operation: Update
    time: "2026-03-01T12:00:00Z"
spec:
  serviceAccountName: NAME
  dnsPolicy: ClusterFirst
  restartPolicy: Always
  schedulerName: default-scheduler
  terminationGracePeriodSeconds: 30
  tolerations:
  - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 300}
  - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 300}
  volumes:
  - {name: config, configMap: {name: NAME, defaultMode: 420}}
  - name: kube-api-access-x7z2p
    projected:
      defaultMode: 420
      sources:
      - serviceAccountToken: {expirationSeconds: 3607, path: token}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}}]}
  containers:
  - name: app
    image: registry.example/shop/NAME:1.27.3
    imagePullPolicy: IfNotPresent
    ports: [{name: http, containerPort: 8080, protocol: TCP}]
    env:
    - {name: LOG_LEVEL, value: info}
    - {name: DATABASE_HOST, value: database.shop.svc.cluster.local}
    - {name: POD_NAME, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.name}}}
    resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {cpu: 300m, memory: 256Mi}}
    livenessProbe: {httpGet: {path: /live, port: http, scheme: HTTP}, timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3}
    readinessProbe: {httpGet: {path: /ready, port: http, scheme: HTTP}, timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3}
    volumeMounts:
    - {name: config, mountPath: /etc/NAME}
    - {name: kube-api-access-x7z2p, readOnly: true, mountPath: /var/run/secrets/kubernetes.io/serviceaccount}
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
  - name: side
    image: registry.example/mesh/proxy:2.4.1
    imagePullPolicy: IfNotPresent
    args: [proxy, --concurrency, "2", --log-level, warning]
    resources: {requests: {cpu: 10m, memory: 40Mi}}
    volumeMounts:
    - {name: kube-api-access-x7z2p, readOnly: true, mountPath: /var/run/secrets/kubernetes.io/serviceaccount}
`

// crowded is a running webhook with many objects, and a review of a pod of each.
func crowded(b *testing.B) (x *world, reviews [][]byte) {
	b.Helper()
	objects, vpas, owner := configurations(), make([]runtime.Object, 0, crowd), true
	for i := range crowd {
		workload := fmt.Sprintf("web-%d", i)
		vpa := &vpav1.VerticalPodAutoscaler{}
		text := strings.ReplaceAll(strings.ReplaceAll(object, "name: web", "name: "+workload), "vpa-1", fmt.Sprintf("vpa-%d", i))
		text = strings.ReplaceAll(text, "[{containerName: app,", "[{containerName: side, target: {cpu: 25m, memory: 64Mi}}, {containerName: app,")
		if err := yaml.UnmarshalStrict([]byte(text), vpa); err != nil {
			b.Fatal(err)
		}
		vpas = append(vpas, vpa)
		objects = append(objects, &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: workload + "-7d4f", UID: types.UID(workload + "-rs"),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: workload, Controller: &owner}},
		}})
		body, err := json.Marshal(admissionv1.AdmissionReview{Request: &admissionv1.AdmissionRequest{
			UID: types.UID(workload), Operation: admissionv1.Create, Namespace: "shop", Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
			Object: raw(b, strings.ReplaceAll(usualPod, "NAME", workload)),
		}})
		if err != nil {
			b.Fatal(err)
		}
		reviews = append(reviews, body)
	}
	x = made(b, objects)
	x.vpas = vpafake.NewSimpleClientset(vpas...)
	x.run(started(runtimeflags.ModeAuto))
	return x, reviews
}

// BenchmarkReview answers reviews of new pods with 2,000 objects: by the handler
// alone, and by the real server over TLS, one after the other and 8 at once. It
// tells the slowest of a hundred as p99-ms; the caller's own work is part of it.
func BenchmarkReview(b *testing.B) {
	x, reviews := crowded(b)
	b.Run("handler", func(b *testing.B) {
		handler := x.w.reviewer.handler()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, PathPods, bytes.NewReader(reviews[i%crowd])))
			if answer.Code != http.StatusOK || !bytes.Contains(answer.Body.Bytes(), []byte("JSONPatch")) {
				b.Fatalf("answered %d %s", answer.Code, answer.Body)
			}
		}
	})
	for _, callers := range []int{1, 8} {
		b.Run(fmt.Sprintf("server-%d", callers), func(b *testing.B) { x.calls(b, reviews, callers) })
	}
}

// calls sends b.N reviews over connections that are kept, so many at once.
func (x *world) calls(b *testing.B, reviews [][]byte, callers int) {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: callers, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: x.trusted(), ServerName: "vpa-admission.quartet-system.svc"},
	}}
	url := "https://" + x.w.listener.Addr().String() + PathPods
	took := make([]time.Duration, b.N)
	b.ResetTimer()
	var running sync.WaitGroup
	for c := range callers {
		running.Go(func() {
			for i := c; i < b.N; i += callers {
				start := time.Now()
				response, err := client.Post(url, "application/json", bytes.NewReader(reviews[i%crowd]))
				if err != nil {
					b.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				if err != nil || response.StatusCode != http.StatusOK {
					b.Errorf("answered %d: %v", response.StatusCode, err)
					return
				}
				took[i] = time.Since(start)
			}
		})
	}
	running.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reviews/s")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
