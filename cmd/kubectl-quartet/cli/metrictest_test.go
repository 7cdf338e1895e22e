package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/quartet-autoscaling/quartet/cmd/kubectl-quartet/cli"
	"github.com/quartet-autoscaling/quartet/cmd/kubectl-quartet/trial"
)

// password must appear in no output.
const password = "hunter22-hunter22"

// natsServer runs a real server with stream ORDERS, its consumer workers, and
// three messages, two of which wait.
func natsServer(t *testing.T) (address string) {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
		Username: "adapter", Password: password,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server does not come up")
	}
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("adapter", password))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders"}}); err != nil {
		t.Fatal(err)
	}
	consumer, err := js.CreateConsumer(t.Context(), "ORDERS", jetstream.ConsumerConfig{Durable: "workers", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := js.Publish(t.Context(), "orders", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := consumer.Next(); err != nil {
		t.Fatal(err)
	}
	return s.Addr().String()
}

// draftOf is a MetricSource of a NATS server with credentials.
func draftOf(address, consumer string) string {
	return fmt.Sprintf(`
apiVersion: autoscaling.quartet.dev/v1alpha1
kind: MetricSource
metadata: { name: orders }
spec:
  source:
    natsJetStream:
      servers: [ "nats://%s" ]
      stream: ORDERS
      consumer: %s
      credentials:
        basic:
          username: { name: orders-nats, key: username }
          password: { name: orders-nats, key: password }
  metrics:
    - { name: orders_depth, value: Depth }
    - { name: orders_waiting, value: Pending }
    - { name: orders_rate, value: ArrivalRate }
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: orders }
`, address, consumer)
}

// ran is what a command line gave.
type ran struct {
	code     int
	out, err string
}

func run(t *testing.T, input string, args ...string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	code := cli.Main(append([]string{"kubectl-quartet"}, args...), cli.Streams{In: strings.NewReader(input), Out: &out, Err: &errs})
	if strings.Contains(out.String()+errs.String(), password) {
		t.Errorf("the output shows a credential:\n%s%s", out.String(), errs.String())
	}
	return ran{code, out.String(), errs.String()}
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// noCluster has no cluster configured.
func noCluster(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("HOME", t.TempDir())
}

func TestADraftIsEvaluatedAgainstTheLiveSource(t *testing.T) {
	address := natsServer(t)
	noCluster(t)
	quick := []string{"metric", "test", "-f", "-", "--interval", "100ms"}
	given := slices.Concat(quick, []string{"-n", "shop", "--secret", "orders-nats/username=adapter", "--secret", "orders-nats/password=@" + write(t, "password", password+"\n")})
	with := func(more ...string) []string { return slices.Concat(given, more) }

	t.Run("text", func(t *testing.T) {
		got := run(t, draftOf(address, "workers"), given...)
		for _, want := range []string{
			"MetricSource shop/orders\n", "Source:  natsJetStream ORDERS/workers\n", "Query:", "Poll 1 took ", "Poll 2 took ",
			"$JS.API.CONSUMER.INFO.ORDERS.workers", `"num_pending":2`, "METRIC", "orders_depth", "Depth", "orders_waiting",
		} {
			if !strings.Contains(got.out, want) {
				t.Errorf("%q is missing in:\n%s", want, got.out)
			}
		}
		if got.code != 0 || got.err != "" {
			t.Errorf("exit code %d, %s", got.code, got.err)
		}
	})
	t.Run("json", func(t *testing.T) {
		got := run(t, draftOf(address, "workers"), with("-o", "json")...)
		var results []trial.Result
		if err := json.Unmarshal([]byte(got.out), &results); err != nil || len(results) != 1 || len(results[0].Polls) != 2 {
			t.Fatalf("%v in:\n%s", err, got.out)
		}
		values := map[string]string{}
		for _, v := range results[0].Values {
			values[v.Metric] = v.Value
			if v.SampledAt == nil || v.AgeSeconds > 60 {
				t.Errorf("%s has no time, or an old one: %+v", v.Metric, v)
			}
		}
		if diff := cmp.Diff(map[string]string{"orders_depth": "3", "orders_waiting": "2", "orders_rate": "0"}, values); diff != "" {
			t.Errorf("values (-want +got):\n%s", diff)
		}
	})
	t.Run("another address", func(t *testing.T) {
		got := run(t, draftOf("nats.shop.svc:4222", "workers"), with("--connect", "nats.shop.svc:4222="+address)...)
		if got.code != 0 {
			t.Errorf("exit code %d:\n%s%s", got.code, got.out, got.err)
		}
	})
	for name, c := range map[string]struct {
		input, want string
		args        []string
	}{
		"one poll knows no rate":   {draftOf(address, "workers"), "RateUnknown", with("--polls", "1")},
		"no such consumer":         {draftOf(address, "others"), "ConsumerNotFound: stream ORDERS has no consumer others", given},
		"nothing listens":          {draftOf("127.0.0.1:1", "workers"), "failed: Unreachable", given},
		"credentials are refused":  {draftOf(address, "workers"), "failed: Unauthorized", with("--secret", "orders-nats/password=other")},
		"no Secret and no cluster": {draftOf(address, "workers"), "give --secret orders-nats/username=@FILE", slices.Concat(quick, []string{"-n", "shop"})},
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(t, c.input, c.args...); got.code != 1 || !strings.Contains(got.out, c.want) {
				t.Errorf("exit code %d, want 1 with %q:\n%s%s", got.code, c.want, got.out, got.err)
			}
		})
	}
}

func TestSecretsOfADraft(t *testing.T) {
	address := natsServer(t)
	secretOf := func(namespace string) string {
		return fmt.Sprintf(`{"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "orders-nats", "namespace": %q}, "stringData": {"username": "adapter", "password": %q}}`, namespace, password)
	}
	asked := ""
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path
		w.Header().Set("Content-Type", "application/json")
		// YWRhcHRlcg== is adapter, and the other the password.
		_, _ = w.Write([]byte(`{"kind": "Secret", "apiVersion": "v1", "data": {"username": "YWRhcHRlcg==", "password": "aHVudGVyMjItaHVudGVyMjI="}}`))
	}))
	defer api.Close()
	t.Setenv("KUBECONFIG", write(t, "kubeconfig", "apiVersion: v1\nkind: Config\ncurrent-context: test\n"+
		"contexts: [{name: test, context: {cluster: test, namespace: shop}}]\nclusters: [{name: test, cluster: {server: '"+api.URL+"'}}]\n"))
	shared := strings.Replace(draftOf(address, "workers"), "kind: MetricSource", "kind: ClusterMetricSource", 1)
	for name, c := range map[string]struct {
		input, asked string
		args         []string
	}{
		"of the cluster":           {draftOf(address, "workers"), "/api/v1/namespaces/shop/secrets/orders-nats", nil},
		"of the adapter's":         {shared, "/api/v1/namespaces/quartet-system/secrets/orders-nats", nil},
		"of the adapter's, named":  {shared, "/api/v1/namespaces/other/secrets/orders-nats", []string{"--adapter-namespace", "other"}},
		"of a file, and not asked": {draftOf(address, "workers"), "", []string{"--secret-file", write(t, "secret.yaml", secretOf("any"))}},
	} {
		t.Run(name, func(t *testing.T) {
			asked = ""
			got := run(t, c.input, append([]string{"metric", "test", "-f", "-", "--interval", "100ms"}, c.args...)...)
			if got.code != 0 || asked != c.asked {
				t.Errorf("exit code %d, asked for %q, want %q:\n%s%s", got.code, asked, c.asked, got.out, got.err)
			}
		})
	}
}

func TestADraftIsCheckedAsTheClusterWould(t *testing.T) {
	noCluster(t)
	valid := draftOf("broker:4222", "workers")
	for name, c := range map[string]struct{ input, want string }{
		"an unknown field": {
			strings.Replace(valid, "stream: ORDERS", "stream: ORDERS\n      strem: ORDERS", 1),
			"spec.source.natsJetStream.strem: Forbidden: no such field",
		},
		"a field twice":  {strings.Replace(valid, "stream: ORDERS", "stream: ORDERS\n      stream: ORDERS", 1), `key "stream" already set`},
		"a rule":         {strings.Replace(valid, "value: Depth", "value: Lag", 1), "must be one of Depth"},
		"a missing name": {strings.Replace(valid, "name: orders }", "labels: {} }", 1), "metadata.name: Required value"},
		"a wrong type":   {strings.Replace(valid, "metrics:", "timeout: 5\n  metrics:", 1), "spec.timeout"},
		"no source":      {"kind: ConfigMap\napiVersion: v1\n", "holds no MetricSource"},
		"no YAML":        {"{", "document 1"},
		"no object":      {"- a\n- b\n", "document 1: it is no object"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(t, c.input, "metric", "test", "-f", "-"); got.code != 1 || !strings.Contains(got.err, c.want) {
				t.Errorf("exit code %d, want 1 with %q:\n%s%s", got.code, c.want, got.out, got.err)
			}
		})
	}
	for name, args := range map[string][]string{
		"no file":           {},
		"polls":             {"-f", "-", "--polls", "0"},
		"interval":          {"-f", "-", "--interval", "1ms"},
		"output":            {"-f", "-", "-o", "xml"},
		"connect":           {"-f", "-", "--connect", "a"},
		"secret":            {"-f", "-", "--secret", password},
		"secret's key":      {"-f", "-", "--secret", "name=" + password},
		"an argument":       {"-f", "-", "more"},
		"a flag that isn't": {"--nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(t, valid, append([]string{"metric", "test"}, args...)...); got.code != 2 {
				t.Errorf("exit code %d, want 2:\n%s%s", got.code, got.out, got.err)
			}
		})
	}
}

// TestSourcesThatAskTheCluster: a formula reads its inputs, and pods are found,
// as the user may; a document of one address needs no cluster at all.
func TestSourcesThatAskTheCluster(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/orders_depth":
			_, _ = fmt.Fprintf(w, `{"kind": "ExternalMetricValueList", "items": [{"metricName": "orders_depth", "value": "1500m", "timestamp": %q}]}`,
				time.Now().UTC().Format(time.RFC3339))
		case "/queue":
			_, _ = fmt.Fprintf(w, `{"queue": {"depth": 42, "token": %q}}`, r.Header.Get("Authorization"))
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": "no such metric"}`))
		}
	}))
	defer api.Close()
	t.Setenv("KUBECONFIG", write(t, "kubeconfig", "apiVersion: v1\nkind: Config\ncurrent-context: test\n"+
		"contexts: [{name: test, context: {cluster: test, namespace: shop}}]\nclusters: [{name: test, cluster: {server: '"+api.URL+"'}}]\n"))
	head := "apiVersion: autoscaling.quartet.dev/v1alpha1\nkind: MetricSource\nmetadata: { name: a }\nspec:\n  metrics: [ { name: out, value: Value } ]\n  source:\n"
	formulaOf := func(metric string) string {
		return head + "    formula: { expression: \"orders * 2.0\", inputs: [ { name: orders, metric: " + metric + " } ] }\n"
	}
	for name, c := range map[string]struct {
		input, out string
		code       int
		args       []string
	}{
		"a formula":                 {input: formulaOf("orders_depth"), out: "Value  3 "},
		"a formula without a value": {input: formulaOf("nothing"), out: "metric nothing of the cluster is not served: MetricNotFound", code: 1},
		"a document": {
			input: head + "    http: { url: \"" + api.URL + "/queue\", jsonPath: \"{.queue.depth}\", auth: { bearer: { name: a, key: b } } }\n",
			out:   `{"queue": {"depth": 42, "token": "Bearer ***"}}`, args: []string{"--secret", "a/b=" + password},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, c.input, append([]string{"metric", "test", "-f", "-", "--interval", "100ms"}, c.args...)...)
			if got.code != c.code || !strings.Contains(got.out, c.out) {
				t.Errorf("exit code %d, want %d with %q:\n%s%s", got.code, c.code, c.out, got.out, got.err)
			}
		})
	}
}
