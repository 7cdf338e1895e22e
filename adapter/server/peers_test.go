package server

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/util/cert"
	"k8s.io/metrics/pkg/apis/external_metrics"
	"k8s.io/utils/clock"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/quartet-autoscaling/quartet/adapter/server/peer"
	"github.com/quartet-autoscaling/quartet/internal/serving"
	"github.com/quartet-autoscaling/quartet/internal/serving/servingtest"
)

// keda is another adapter, a real server of custom-metrics-apiserver, whose API
// server knows us by our token.
type keda struct {
	listener net.Listener
	ca       string
	stop     func()

	mu sync.Mutex
	// callers are the users that asked, and what for.
	callers []string
}

const kedaHost = "keda-operator-metrics-apiserver.keda.svc"

func (k *keda) GetExternalMetric(ctx context.Context, namespace string, selector labels.Selector, info provider.ExternalMetricInfo) (*external_metrics.ExternalMetricValueList, error) {
	user, _ := genericapirequest.UserFrom(ctx)
	k.mu.Lock()
	k.callers = append(k.callers, user.GetName()+" "+namespace+"/"+info.Metric+" "+selector.String())
	k.mu.Unlock()
	if info.Metric == "s9-gone" {
		return nil, notFound(info.Metric, "no scaler has it")
	}
	return &external_metrics.ExternalMetricValueList{Items: []external_metrics.ExternalMetricValue{{
		MetricName: info.Metric, MetricLabels: map[string]string{"by": "keda"},
		Timestamp: metav1.NewTime(epoch.Add(-time.Hour)), Value: resource.MustParse("41"),
	}}}, nil
}

func (k *keda) ListAllExternalMetrics() []provider.ExternalMetricInfo {
	return []provider.ExternalMetricInfo{{Metric: "s0-rabbitmq"}, {Metric: "orders-depth"}, {Metric: "other"}}
}

// startKEDA serves until the test ends or stop.
func startKEDA(t *testing.T) *keda {
	t.Helper()
	k := &keda{}
	certificate, key, err := cert.GenerateSelfSignedCertKey(kedaHost, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	options := serving.NewOptions()
	options.TLSCertFile, options.TLSPrivateKeyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	k.ca = options.TLSCertFile
	for path, content := range map[string][]byte{options.TLSCertFile: certificate, options.TLSPrivateKeyFile: key} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if k.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	generic, err := serving.Build(serving.Config{
		Name: "keda", Options: options, Listener: k.listener, Codecs: &apiserver.Codecs,
		Kubeconfig: servingtest.Start(t, map[string]servingtest.User{
			"token-of-adapter": {Name: "system:serviceaccount:quartet-system:metrics-adapter", May: func(authorizationv1.SubjectAccessReviewSpec) bool { return true }},
		}).Kubeconfig,
	})
	if err != nil {
		t.Fatal(err)
	}
	describeAPI(generic.Config)
	config := apiserver.Config{GenericConfig: generic.Config}
	built, err := config.Complete(nil).New("keda", nil, k)
	if err != nil {
		t.Fatal(err)
	}
	server := generic.Wrap(built.GenericAPIServer)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	k.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("KEDA's Run() = %v", err)
		}
	})
	t.Cleanup(k.stop)
	return k
}

// besideKEDA has our API pass on to KEDA what begins as KEDA's names do. The
// listener of KEDA answers for the cluster's DNS.
func besideKEDA(t *testing.T, k *keda) *api {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("token-of-adapter"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &peerOptions{}
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.AddFlags(fs)
	rule := "name=keda,service=keda/keda-operator-metrics-apiserver:443,metrics=^s[0-9]+-|^orders-depth$,timeout=2s,ca-file=" + k.ca
	if err := fs.Parse([]string{"--external-metrics-peer=" + rule}); err != nil {
		t.Fatal(err)
	}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	set, err := peer.NewSet(o.rules, peer.Config{
		TokenFile: token, Clock: clock.RealClock{}, Observer: newPeerMetrics(),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != kedaHost+":443" {
				t.Errorf("dialled %s", address)
			}
			var d net.Dialer
			return d.DialContext(ctx, network, k.listener.Addr().String())
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	a := startAPIWith(t, set)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- set.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the peers' Run() = %v", err)
		}
	})
	return a
}

func TestReadsArePassedOnToAPeer(t *testing.T) {
	k := startKEDA(t)
	a := besideKEDA(t, k)
	a.table.Put(orders, ordersServed())

	for name, test := range map[string]struct {
		path, token string
		code        int
		want        []string
	}{
		"the peer's, with its own time and labels": {
			path: "/namespaces/shop/s0-rabbitmq?labelSelector=scaledobject.keda.sh%2Fname%3Dworker", code: http.StatusOK,
			want: []string{`"metricName":"s0-rabbitmq"`, `"metricLabels":{"by":"keda"}`, `"timestamp":"2026-03-01T11:00:00Z"`, `"value":"41"`},
		},
		"a name that both have is ours":                  {path: "/namespaces/shop/orders-depth", code: http.StatusOK, want: []string{`"value":"0"`, `"queue":"orders"`}},
		"ours that fails is not asked of the peer":       {path: "/namespaces/shop/orders-wait", code: http.StatusServiceUnavailable, want: []string{"NoDrain"}},
		"what no rule covers":                            {path: "/namespaces/shop/other", code: http.StatusNotFound, want: []string{"no MetricSource in namespace shop serves metric other"}},
		"what the peer has not":                          {path: "/namespaces/shop/s9-gone", code: http.StatusNotFound, want: []string{"peer keda (Service keda/keda-operator-metrics-apiserver): no scaler has it"}},
		"a tenant without the permission":                {path: "/namespaces/shop/s0-rabbitmq", token: "token-of-tenant", code: http.StatusForbidden},
		"another namespace":                              {path: "/namespaces/other/s0-rabbitmq", code: http.StatusForbidden},
		"nobody":                                         {path: "/namespaces/shop/s0-rabbitmq", token: "made-up", code: http.StatusUnauthorized},
		"the token of our ServiceAccount is none for us": {path: "/namespaces/shop/s0-rabbitmq", token: "token-of-adapter", code: http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			token := test.token
			if token == "" {
				token = "token-of-hpa"
			}
			code, body := a.get(t, group+test.path, token)
			if code != test.code {
				t.Fatalf("GET %s = %d, want %d: %s", test.path, code, test.code, body)
			}
			for _, want := range test.want {
				if !strings.Contains(body, want) {
					t.Errorf("the body lacks %s:\n%s", want, body)
				}
			}
		})
	}
	// In any order, since the cases are run in any.
	want := map[string]bool{
		"system:serviceaccount:quartet-system:metrics-adapter shop/s0-rabbitmq scaledobject.keda.sh/name=worker": true,
		"system:serviceaccount:quartet-system:metrics-adapter shop/s9-gone ":                                     true,
	}
	got := map[string]bool{}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, caller := range k.callers {
		got[caller] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("callers of the peer (-want +got):\n%s", diff)
	}
}

// TestADeadPeerHarmsNoOther: its metrics are errors that name it, and discovery
// goes on with what it listed last.
func TestADeadPeerHarmsNoOther(t *testing.T) {
	k := startKEDA(t)
	a := besideKEDA(t, k)
	served := ordersServed()
	served.Samples = served.Samples[1:]
	a.table.Put(orders, served)
	listed := func() string {
		code, body := a.get(t, group, "token-of-hpa")
		if code != http.StatusOK {
			t.Fatalf("discovery = %d: %s", code, body)
		}
		return body
	}
	servingtest.Eventually(t, "the peer's names are listed", func() bool { return strings.Contains(listed(), `"name":"s0-rabbitmq"`) })
	k.stop()
	for i := range 5 {
		code, body := a.get(t, group+"/namespaces/shop/s0-rabbitmq", "token-of-hpa")
		if code != http.StatusServiceUnavailable || !strings.Contains(body, "peer keda (Service keda/keda-operator-metrics-apiserver)") {
			t.Errorf("read %d of a dead peer's metric = %d: %s", i, code, body)
		}
	}
	if code, body := a.get(t, group+"/namespaces/shop/orders-rate", "token-of-hpa"); code != http.StatusOK {
		t.Errorf("our own = %d: %s", code, body)
	}
	body := listed()
	for _, name := range []string{"orders-rate", "s0-rabbitmq", "orders-depth"} {
		if strings.Count(body, `"name":"`+name+`"`) != 1 {
			t.Errorf("discovery does not list %s once: %s", name, body)
		}
	}
	if strings.Contains(body, `"name":"other"`) {
		t.Errorf("discovery lists what no rule covers: %s", body)
	}
}

func TestPeerFlags(t *testing.T) {
	const good = "name=a,service=a/b,metrics=x,insecure-skip-verify=true"
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"none":           {},
		"one":            {args: []string{good}},
		"no rule":        {args: []string{"keda"}, want: `--external-metrics-peer: "keda" is not one of`},
		"two of a name":  {args: []string{good, good}, want: "--external-metrics-peer: two peers have the name a"},
		"without a name": {args: []string{"service=a/b,metrics=x,insecure-skip-verify=true"}, want: "--external-metrics-peer: name is required"},
	} {
		t.Run(name, func(t *testing.T) {
			o := &peerOptions{texts: test.args}
			err := o.Validate()
			if (err == nil) != (test.want == "") || (err != nil && !strings.HasPrefix(err.Error(), test.want)) {
				t.Errorf("Validate() = %v, want %s", err, test.want)
			}
		})
	}
	o := &peerOptions{texts: []string{"name=self,service=quartet-system/metrics-adapter,metrics=x,insecure-skip-verify=true"}}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := o.refuseSelf("quartet-system"); err == nil || !strings.Contains(err.Error(), "is this adapter itself") {
		t.Errorf("refuseSelf() = %v", err)
	}
	if err := o.refuseSelf("elsewhere"); err != nil {
		t.Errorf("refuseSelf() = %v", err)
	}
}
