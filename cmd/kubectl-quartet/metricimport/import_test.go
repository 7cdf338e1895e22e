package metricimport_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/quartet-autoscaling/quartet/cmd/kubectl-quartet/draft"
	"github.com/quartet-autoscaling/quartet/cmd/kubectl-quartet/metricimport"
	"github.com/quartet-autoscaling/quartet/test/golden"
)

// made separates what was read from what was made of it, and notes the objects
// from what is said about them.
const (
	made  = "=== made\n"
	notes = "=== notes\n"
)

// TestScenarios reads the objects of each file and compares what is made of them,
// and every note.
func TestScenarios(t *testing.T) {
	golden.Scenarios(t, "testdata/scenarios/*.yaml", func(t testing.TB, text string) string {
		input, _, _ := strings.Cut(text, made)
		objects, err := draft.Read([]byte(input))
		if err != nil {
			t.Fatal(err)
		}
		result := metricimport.Run(objects, metricimport.Options{Namespace: "shop", Check: check})
		if strings.Contains(print(t, result), "hunter22") {
			t.Error("a credential is repeated")
		}
		for _, n := range result.Notes {
			if strings.Contains(n.Why, "more than a") {
				t.Errorf("what was made is not valid: %+v", n)
			}
		}
		return input + print(t, result)
	})
}

func check(o *unstructured.Unstructured) error {
	if _, err := yaml.Marshal(o.Object); err != nil {
		return errors.New("it holds characters that YAML cannot")
	}
	if !draft.IsSource(o) {
		return nil
	}
	_, err := draft.Source(o)
	var invalid *draft.Invalid
	if errors.As(err, &invalid) {
		return errors.New(strings.Join(invalid.Rules, "; "))
	}
	return err
}

func print(t testing.TB, r metricimport.Result) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(made)
	for i, o := range r.Objects {
		raw, err := yaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			b.WriteString("---\n")
		}
		b.Write(raw)
	}
	b.WriteString(notes)
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "%s: %s: %s: %s\n", n.Level, n.Object, n.Field, n.Why)
	}
	return b.String()
}

// FuzzRun feeds whatever is YAML: nothing panics, every source that is made is one
// that a cluster accepts, every note says something, and the same input gives the
// same output.
func FuzzRun(f *testing.F) {
	f.Add([]byte("apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: a}\nspec: {scaleTargetRef: {name: a}, triggers: [{type: rabbitmq, metadata: {host: 'amqp://a:b@c/d', queueName: q}}]}"))
	f.Add([]byte("rules: [{seriesQuery: 'a{b!=\"\"}', resources: {template: <<.Resource>>}, metricsQuery: 'sum(<<.Series>>)'}]\nexternalRules: [{seriesQuery: a, metricsQuery: b, resources: {namespaced: false}}]"))
	for _, kind := range []string{"kafka", "redis", "redis-sentinel", "redis-streams", "nats-jetstream", "external", "metrics-api", "postgresql", "mysql", "beanstalkd", "prometheus", "cpu", "cron"} {
		f.Add([]byte("apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: a}\nspec: {fallback: {replicas: 3, failureThreshold: 2}, triggers: [{type: " + kind +
			", metadata: {query: a, serverAddress: b, consumerGroup: c, hosts: 'd,e', ports: '1,2', partitionLimitation: '1-3', topic: t, stream: s, consumer: c, tls: enable, value: '5', valueLocation: a.0.b}}]}"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := draft.Read(data); err != nil {
			t.Skip()
		}
		hold(t, func() []*unstructured.Unstructured {
			objects, err := draft.Read(data)
			if err != nil {
				t.Fatal(err)
			}
			return objects
		})
	})
}

// FuzzTrigger feeds one trigger of any type any three parameters, one of which is
// in a Secret too.
func FuzzTrigger(f *testing.F) {
	f.Add("rabbitmq", "queueName", "orders", "host", "https://a:b@c:1/d%2Fe", "useRegex", "true")
	f.Add("kafka", "partitionLimitation", "0-9,4", "topic", "orders", "lagThreshold", "5")
	f.Add("redis-sentinel", "hosts", "a,b,c", "ports", "1,2", "sentinelMaster", "main")
	f.Add("metrics-api", "valueLocation", "a.0.b-c", "url", "http://a/b", "format", "json")
	f.Add("prometheus", "query", "up", "customHeaders", "a=b,c", "authModes", "basic,tls")
	f.Add("nats-jetstream", "stream", "a", "consumer", "b", "natsServerMonitoringEndpoint", "c:8222")
	f.Add("postgresql", "query", "SELECT 1", "host", "::1", "sslmode", "verify-full")
	f.Add("beanstalkd", "server", "a", "tube", "b", "timeout", "0")
	f.Add("external", "scalerAddress", "a:1", "aFromEnv", "B", "unsafeSsl", "true")
	f.Add("memory", "value", "1Gi", "type", "AverageValue", "containerName", "a")
	f.Fuzz(func(t *testing.T, kind, k1, v1, k2, v2, k3, v3 string) {
		hold(t, func() []*unstructured.Unstructured {
			return []*unstructured.Unstructured{
				{Object: map[string]any{
					"apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication", "metadata": map[string]any{"name": "auth"},
					"spec": map[string]any{"secretTargetRef": []any{
						map[string]any{"parameter": k3, "name": "secret", "key": "key"},
						map[string]any{"parameter": "password", "name": "secret", "key": "password"},
					}},
				}},
				{Object: map[string]any{
					"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": map[string]any{"name": "orders"},
					"spec": map[string]any{"triggers": []any{map[string]any{
						"type": kind, "metadata": map[string]any{k1: v1, k2: v2, k3: v3}, "authenticationRef": map[string]any{"name": "auth"},
					}}},
				}},
			}
		})
	})
}

// hold runs an import twice and holds what is made to what the API accepts.
func hold(t *testing.T, read func() []*unstructured.Unstructured) {
	t.Helper()
	options := metricimport.Options{Namespace: "shop", Check: check}
	result := metricimport.Run(read(), options)
	if again := metricimport.Run(read(), options); print(t, again) != print(t, result) {
		t.Fatal("twice the same input gave two outputs")
	}
	for _, n := range result.Notes {
		if n.Object == "" || n.Why == "" || n.Level == "" {
			t.Fatalf("a note says nothing: %+v", n)
		}
	}
	for _, o := range result.Objects {
		if err := check(o); err != nil {
			t.Fatal(err)
		}
	}
}
