package resourcemetrics

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/quartet-autoscaling/quartet/test/lab/pki"
)

// served is a Server with two workloads in one namespace and one in another, and
// how to reach it.
func served(t testing.TB) (*Server, *rest.Config) {
	t.Helper()
	authority, err := pki.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	own, err := authority.Serving("metrics", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	client, err := authority.Client("front-proxy-client")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := Listen(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Serve(Config{Listener: listener, Certificate: own.Certificate, Key: own.Key, ClientCA: authority.Certificate()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for _, namespace := range []string{"shop", "bank"} {
		for _, app := range []string{"web", "api"} {
			for i := range 2 {
				s.Add(Pod{
					Namespace: namespace, Name: fmt.Sprintf("%s-%d", app, i), Labels: map[string]string{"app": app, "tier": "front"},
					Usage: Usage{MilliCPU: 100, MemoryBytes: 64 << 20},
				})
			}
		}
	}
	return s, &rest.Config{
		Host: "https://" + listener.Addr().String(), QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAData: authority.Certificate(), CertData: client.Certificate, KeyData: client.Key},
	}
}

func clientOf(t testing.TB, config *rest.Config, kind string) metricsclient.Interface {
	t.Helper()
	c := rest.CopyConfig(config)
	c.ContentType = kind
	client, err := metricsclient.NewForConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func namesOf(list *metricsapi.PodMetricsList) []string {
	out := []string{}
	for i := range list.Items {
		out = append(out, list.Items[i].Namespace+"/"+list.Items[i].Name)
	}
	return out
}

func TestLists(t *testing.T) {
	cases := map[string]struct {
		namespace, selector string
		want                []string
	}{
		"one workload":       {"shop", "app=web", []string{"shop/web-0", "shop/web-1"}},
		"two labels":         {"shop", "tier=front,app=api", []string{"shop/api-0", "shop/api-1"}},
		"a set of values":    {"bank", "app in (web,other)", []string{"bank/web-0", "bank/web-1"}},
		"all but one":        {"shop", "app!=web", []string{"shop/api-0", "shop/api-1"}},
		"a whole namespace":  {"bank", "", []string{"bank/api-0", "bank/api-1", "bank/web-0", "bank/web-1"}},
		"every namespace":    {"", "app=api", []string{"bank/api-0", "bank/api-1", "shop/api-0", "shop/api-1"}},
		"no such workload":   {"shop", "app=none", []string{}},
		"no such namespace":  {"none", "app=web", []string{}},
		"labels that differ": {"shop", "app=web,tier=back", []string{}},
	}
	_, config := served(t)
	for _, kind := range []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf} {
		client := clientOf(t, config, kind)
		for name, c := range cases {
			t.Run(kind+"/"+name, func(t *testing.T) {
				list, err := client.MetricsV1beta1().PodMetricses(c.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: c.selector})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, namesOf(list)); diff != "" {
					t.Errorf("pods (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestUsageIsSetWhileServing(t *testing.T) {
	s, config := served(t)
	for _, kind := range []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf} {
		t.Run(kind, func(t *testing.T) {
			client := clientOf(t, config, kind).MetricsV1beta1().PodMetricses("shop")
			s.SetUsage("", labels.Everything(), Usage{MilliCPU: 200})
			s.SetUsage("shop", labels.SelectorFromSet(labels.Set{"app": "web"}), Usage{MilliCPU: 350, MemoryBytes: 1 << 20})
			for pod, want := range map[string]string{"web-0": "350m/1Mi", "api-0": "200m/0"} {
				got, err := client.Get(t.Context(), pod, metav1.GetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				usage := got.Containers[0].Usage
				if is := usage.Cpu().String() + "/" + usage.Memory().String(); is != want {
					t.Errorf("%s uses %s, want %s", pod, is, want)
				}
				if age := time.Since(got.Timestamp.Time); age < -time.Second || age > time.Minute || got.Window.Duration != window {
					t.Errorf("%s has a sample of %s over %s, want a new one over %s", pod, age, got.Window.Duration, window)
				}
			}
		})
	}
}

func TestReplacedPodsAndCounts(t *testing.T) {
	s, config := served(t)
	client := clientOf(t, config, runtime.ContentTypeJSON).MetricsV1beta1()
	s.Add(Pod{Namespace: "shop", Name: "web-0", Labels: map[string]string{"app": "api"}})
	list, err := client.PodMetricses("shop").List(t.Context(), metav1.ListOptions{LabelSelector: "app=api"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"shop/api-0", "shop/api-1", "shop/web-0"}, namesOf(list)); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
	if _, err := client.PodMetricses("shop").Get(t.Context(), "none", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a pod that is not there gives %v", err)
	}
	if _, err := client.PodMetricses("shop").List(t.Context(), metav1.ListOptions{LabelSelector: "a=="}); err != nil {
		t.Errorf("an empty value gives %v", err)
	}
	if _, err := client.PodMetricses("shop").List(t.Context(), metav1.ListOptions{LabelSelector: "!!"}); !apierrors.IsBadRequest(err) {
		t.Errorf("a selector that does not parse gives %v", err)
	}
	if diff := cmp.Diff(Requests{Lists: 3, Gets: 1}, s.Requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// TestLargeLists are compressed, and discovered as any other group.
func TestLargeLists(t *testing.T) {
	s, config := served(t)
	pods := make([]Pod, 1000)
	for i := range pods {
		pods[i] = Pod{Namespace: "large", Name: fmt.Sprintf("pod-%04d", i), Labels: map[string]string{"app": "large"}}
	}
	s.Add(pods...)
	for _, kind := range []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf} {
		list, err := clientOf(t, config, kind).MetricsV1beta1().PodMetricses("large").List(t.Context(), metav1.ListOptions{})
		if err != nil || len(list.Items) != len(pods) {
			t.Errorf("%s: %d pods, %v", kind, len(list.Items), err)
		}
	}
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	resources, err := disco.ServerResourcesForGroupVersion(metricsapi.SchemeGroupVersion.String())
	if err != nil || len(resources.APIResources) != 1 || resources.APIResources[0].Kind != "PodMetrics" {
		t.Errorf("discovery gives %v, %v", resources, err)
	}
}

// TestStrangersAreRefused: who shows no certificate learns nothing.
func TestStrangersAreRefused(t *testing.T) {
	_, config := served(t)
	stranger := rest.CopyConfig(config)
	stranger.CertData, stranger.KeyData = nil, nil
	if _, err := clientOf(t, stranger, runtime.ContentTypeJSON).MetricsV1beta1().PodMetricses("").List(t.Context(), metav1.ListOptions{}); err == nil {
		t.Error("a client without a certificate was answered")
	}
}

// BenchmarkList is what one list of a namespace of 2,500 pods, and one of a
// workload of 5 in it, take with the client's share.
func BenchmarkList(b *testing.B) {
	s, config := served(b)
	pods := make([]Pod, 2500)
	for i := range pods {
		pods[i] = Pod{Namespace: "large", Name: fmt.Sprintf("pod-%04d", i), Labels: map[string]string{"app": fmt.Sprintf("web-%d", i/5)}}
	}
	s.Add(pods...)
	for name, selector := range map[string]string{"all": "", "5": "app=web-100"} {
		for _, kind := range []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf} {
			client := clientOf(b, config, kind).MetricsV1beta1().PodMetricses("large")
			b.Run(name+"/"+kind, func(b *testing.B) {
				for b.Loop() {
					if _, err := client.List(b.Context(), metav1.ListOptions{LabelSelector: selector}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func TestContainersOfPods(t *testing.T) {
	s, config := served(t)
	s.Add(Pod{Namespace: "shop", Name: "two", Containers: []string{"app", "proxy"}, Usage: Usage{MilliCPU: 7}})
	got, err := clientOf(t, config, runtime.ContentTypeJSON).MetricsV1beta1().PodMetricses("shop").Get(t.Context(), "two", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, c := range got.Containers {
		names[c.Name] = c.Usage.Cpu().String()
	}
	if diff := cmp.Diff(map[string]string{"app": "7m", "proxy": "7m"}, names); diff != "" {
		t.Errorf("usage by container (-want +got):\n%s", diff)
	}
}
