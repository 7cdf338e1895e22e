package server

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/collector"
	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/sharing"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/serving"
	"github.com/quartet-autoscaling/quartet/internal/serving/servingtest"
)

func TestReplicasAreFoundByTheService(t *testing.T) {
	number := func(n int32) *int32 { return &n }
	text := func(s string) *string { return &s }
	slices := []discoveryv1.EndpointSlice{
		{
			Ports: []discoveryv1.EndpointPort{{Name: text("webhook"), Port: number(9)}, {Name: text("https"), Port: number(6443)}},
			Endpoints: []discoveryv1.Endpoint{
				{Addresses: []string{"10.0.0.1"}},
				{Addresses: []string{"10.0.0.2"}, Conditions: discoveryv1.EndpointConditions{Ready: new(bool)}},
			},
		},
		{Ports: []discoveryv1.EndpointPort{{Port: number(7000)}}, Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"fd00::1"}}}},
		{Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.9"}}}},
	}
	// A Service of both families lists each replica twice.
	for self, want := range map[string][]string{
		"10.0.0.2": {"10.0.0.1:6443", "10.0.0.2:6443"},
		"fd00::1":  {"[fd00::1]:7000"},
	} {
		if diff := cmp.Diff(want, addresses(slices, self)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", self, diff)
		}
	}
}

// received is a controller that another replica's polls come to.
type received struct {
	mu       sync.Mutex
	values   map[string]float64
	reassign int
}

func (r *received) Deliver(key string, s collector.Shared) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.values[key] = s.Poll.Reading.Gauges[query.Depth].Value
}

func (r *received) Reassign() { r.mu.Lock(); r.reassign++; r.mu.Unlock() }

// otherReplica serves a hub on a secure port whose certificate is for the Service.
func otherReplica(t *testing.T, hub *sharing.Hub) (server *servingtest.Running, caFile string) {
	t.Helper()
	certificate, key, err := cert.GenerateSelfSignedCertKey("metrics-adapter.suite.svc", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	options := serving.NewOptions()
	options.TLSCertFile = filepath.Join(t.TempDir(), "tls.crt")
	options.TLSPrivateKeyFile = filepath.Join(t.TempDir(), "tls.key")
	for path, content := range map[string][]byte{options.TLSCertFile: certificate, options.TLSPrivateKeyFile: key} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	users := map[string]servingtest.User{
		"token-of-replica": {Name: "adapter", May: func(s authorizationv1.SubjectAccessReviewSpec) bool {
			return s.NonResourceAttributes != nil && s.NonResourceAttributes.Path == sharing.Path && s.NonResourceAttributes.Verb == "get"
		}},
		"token-of-tenant": {Name: "tenant", May: func(authorizationv1.SubjectAccessReviewSpec) bool { return false }},
	}
	server = servingtest.Run(t, serving.Config{
		Name: Name, Options: options, Kubeconfig: servingtest.Start(t, users).Kubeconfig,
		Streams: map[string]http.Handler{sharing.Path: hub},
	}, nil)
	return server, options.TLSCertFile
}

// listing is an API server that lists one replica.
func listing(t *testing.T, port int) *rest.Config {
	t.Helper()
	number := int32(port) //nolint:gosec // a port
	list := discoveryv1.EndpointSliceList{
		TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSliceList"},
		Items: []discoveryv1.EndpointSlice{{
			Ports:     []discoveryv1.EndpointPort{{Port: &number}},
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"127.0.0.1"}}},
		}},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/apis/discovery.k8s.io/v1/namespaces/suite/endpointslices" ||
			r.URL.Query().Get("labelSelector") != "kubernetes.io/service-name=metrics-adapter" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(list)
	}))
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
}

func TestPollsAreSharedOverTheSecurePort(t *testing.T) {
	hub := sharing.NewHub(clock.RealClock{})
	other, caFile := otherReplica(t, hub)
	t.Cleanup(hub.Close)
	address, err := url.Parse(other.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		t.Fatal(err)
	}
	for token, code := range map[string]int{"token-of-tenant": http.StatusForbidden, "made-up": http.StatusUnauthorized} {
		if got, body := other.Get(t, sharing.Path, token); got != code {
			t.Errorf("GET %s as %s = %d: %s", sharing.Path, token, got, body)
		}
	}
	at := time.Now()
	hub.Polled("q", collector.Shared{At: at, Poll: query.Poll{Reading: &query.Reading{
		At: at, Gauges: map[query.Kind]query.Gauge{query.Depth: query.NumberOf(7)},
	}}})

	t.Setenv(podIP, "127.0.0.1")
	flags := runtimeflags.New(runtimeflags.Acting)
	flags.LeaderElectResourceNamespace = "suite"
	start := func(token string) (*sharedPolls, *received) {
		connection := listing(t, port)
		connection.BearerToken = token
		s, err := newSharedPolls(&sharingOptions{share: true, caFile: caFile}, connection, flags, 1)
		if err != nil {
			t.Fatal(err)
		}
		r := &received{values: map[string]float64{}}
		s.feeds(r)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := s.run(ctx); err != nil {
				t.Error(err)
			}
		})
		t.Cleanup(func() { stop(); running.Wait() })
		return s, r
	}
	detail := func(s *sharedPolls) string {
		text, err := s.check().Func(t.Context())
		if err != nil {
			t.Error(err)
		}
		return text
	}
	refused, _ := start("token-of-tenant")
	s, r := start("token-of-replica")
	servingtest.Eventually(t, "the other replica's poll is received", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.values["q"] == 7 && r.reassign == 1
	})
	if got := detail(s); got != "polls are shared between 2 replicas" {
		t.Errorf("detail %q", got)
	}
	if got := detail(refused); got != "no other replica is heard: everything is polled here" {
		t.Errorf("detail of one that was refused %q", got)
	}
	hub.Close()
	servingtest.Eventually(t, "the other replica is seen to be gone", func() bool { return s.Mine("any") && len(s.Members()) == 1 })
}

func TestSharingFlags(t *testing.T) {
	for name, test := range map[string]struct {
		o  sharingOptions
		ip string
		ok bool
	}{
		"not shared":    {ok: true},
		"without a CA":  {o: sharingOptions{share: true}, ip: "10.0.0.1"},
		"without an IP": {o: sharingOptions{share: true, caFile: "ca.crt"}},
		"both":          {o: sharingOptions{share: true, caFile: "ca.crt"}, ip: "10.0.0.1", ok: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(podIP, test.ip)
			if err := test.o.Validate(); (err == nil) != test.ok {
				t.Errorf("Validate() = %v", err)
			}
		})
	}
	var nothing *sharedPolls
	if nothing.sharing() != nil || nothing.streams() != nil {
		t.Error("something is shared where nothing is")
	}
}
