package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emicklei/go-restful/v3"
	authorizationv1 "k8s.io/api/authorization/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	testprovider "sigs.k8s.io/custom-metrics-apiserver/test-adapter/provider"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/server/peer"
	"github.com/quartet-autoscaling/quartet/adapter/table"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/serving"
	"github.com/quartet-autoscaling/quartet/internal/serving/servingtest"
)

// The benchmarks of reads put the same requests to the same server, made by newAPI,
// once with our providers behind our chain for reads (withReads), and once with
// custom-metrics-apiserver's own test provider behind the generic server's chain,
// which is what that library serves by.
//
// In the path of both: delegated authentication and authorization (real ones, whose
// answers are cached for 10 s; a user who may do everything), the limit of requests
// in flight, a deadline, the check of selectors, routing, custom-metrics-apiserver's
// handlers, and the encoding of the answer as JSON into memory. In ours besides: the
// look-up among 5,000 metrics, the judging of the sample's age, the rules of peers
// (none), the metric that counts reads. In theirs besides: what the generic chain
// has for each request and ours leaves out, see withReads.
//
// Not in the path of either: TCP and TLS, HTTP's framing, the aggregation layer,
// and polls that change the table meanwhile.
//
// The test provider takes no external metrics but three that it has built in, and
// looks through these one by one; so of external metrics ours has 5,000 and theirs
// three, which is to their advantage. Of custom metrics both have 5,000: values of
// one metric of pods of one namespace, in ours from 50 MetricSources.
const (
	benchMetrics = 5000
	benchSources = 50
)

// answer takes an answer and keeps its status.
type answer struct {
	header http.Header
	status int
	length int
}

func (a *answer) Header() http.Header { return a.header }
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.length += len(b)
	return len(b), nil
}

// benchReads reads one metric of each API, from one caller at a time and from
// several.
func benchReads(b *testing.B, p providers, external, custom string) {
	b.Helper()
	all := map[string]servingtest.User{"token": {Name: "hpa", May: func(authorizationv1.SubjectAccessReviewSpec) bool { return true }}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = listener.Close() })
	server, err := newAPI(serving.Config{
		Name: Name, Options: serving.NewOptions(), Listener: listener, Kubeconfig: servingtest.Start(b, all).Kubeconfig,
	}, p, decisionapi.NewStore(decisionapi.StoreConfig{Component: apiComponent}))
	if err != nil {
		b.Fatal(err)
	}
	handler := server.Handler()
	read := func(ctx context.Context, path string) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://adapter"+path, nil)
		if err != nil {
			return err
		}
		request.RequestURI, request.RemoteAddr = path, "192.0.2.1:1234"
		request.Header.Set("Authorization", "Bearer token")
		request.Header.Set("Accept", "application/json")
		a := &answer{header: http.Header{}}
		handler.ServeHTTP(a, request)
		if a.status != http.StatusOK || a.length < 100 {
			return fmt.Errorf("GET %s = %d with %d bytes", path, a.status, a.length)
		}
		return nil
	}
	paths := map[string]string{
		"external": group + "/namespaces/shop/" + external,
		"custom":   customGroup + "/namespaces/shop/pods/" + custom,
	}
	for _, name := range []string{"external", "custom"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := read(b.Context(), paths[name]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"Parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := read(b.Context(), paths[name]); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkRead is a read of this adapter in process; see benchMetrics.
func BenchmarkRead(b *testing.B) {
	held := table.New()
	now := time.Now().UTC()
	for i := range benchSources {
		served := query.Served{Facts: query.Facts{
			Source: fmt.Sprintf("MetricSource shop/source-%d (natsJetStream ORDERS/workers)", i), Created: now, SampledAt: now, MaxAge: time.Hour,
		}}
		for j := i; j < benchMetrics; j += benchSources {
			served.Samples = append(served.Samples, query.Sample{Metric: fmt.Sprintf("metric-%d", j), Kind: query.Depth, Value: 42})
			served.Objects.Values = append(served.Objects.Values, of("depth", "pods", "shop", fmt.Sprintf("pod-%d", j), 42))
		}
		slices.SortFunc(served.Objects.Values, query.CompareObjects)
		served.Objects.Count = len(served.Objects.Values)
		held.Put(decision.Unit{Kind: "MetricSource", Namespace: "shop", Name: fmt.Sprintf("source-%d", i)}, served)
	}
	peers, err := peer.NewSet(nil, peer.Config{Clock: clock.RealClock{}})
	if err != nil {
		b.Fatal(err)
	}
	benchReads(b, providersOf(memory{table: held, metrics: newOwnMetrics()}, newCluster(b).inventory, peers), "metric-2500", "pod-2500/depth")
}

// BenchmarkReadTestProvider is the same with custom-metrics-apiserver's own test
// provider; see benchMetrics.
func BenchmarkReadTestProvider(b *testing.B) {
	mapper := apimeta.NewDefaultRESTMapper(nil)
	mapper.Add(schema.GroupVersionKind{Version: "v1", Kind: "Pod"}, apimeta.RESTScopeNamespace)
	fake, writes := testprovider.NewFakeProvider(nil, mapper)
	container := restful.NewContainer()
	container.Add(writes)
	for i := range benchMetrics {
		request := httptest.NewRequestWithContext(b.Context(), http.MethodPost,
			fmt.Sprintf("/write-metrics/namespaces/shop/pods/pod-%d/depth", i), strings.NewReader(`"42"`))
		request.Header.Set("Content-Type", "application/json")
		response := httptest.NewRecorder()
		if container.ServeHTTP(response, request); response.Code != http.StatusOK {
			b.Fatalf("write = %d: %s", response.Code, response.Body)
		}
	}
	benchReads(b, providers{external: fake, custom: fake}, "other-external-metric", "pod-2500/depth")
}
