package httpsource_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	httpsource "github.com/quartet-autoscaling/quartet/adapter/source/http"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

// listed are the pods of a cluster that tells of them.
type listed struct {
	pods []httpsource.Pod
	err  error
	// asked is the namespace and the selector of the last question.
	asked string
}

func (l *listed) Ready(_ context.Context, namespace string, selector labels.Selector) ([]httpsource.Pod, error) {
	l.asked = namespace + " " + selector.String()
	return l.pods, l.err
}

// podsSpec reads .depth of the pods of app=worker at a port.
func podsSpec(port intstr.IntOrString) v1alpha1.HTTPSource {
	return v1alpha1.HTTPSource{JSONPath: "{.depth}", Pods: &v1alpha1.HTTPPods{
		Selector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "worker"}},
		Port:     port, Path: "/depth",
	}}
}

// twoPods are servers on two addresses of loopback, with one port.
func twoPods(t *testing.T, a, b http.HandlerFunc) (*listed, intstr.IntOrString, [2]*server, func()) {
	t.Helper()
	first, at, _ := serve(t, "127.0.0.2:0", a, nil)
	_, text, err := net.SplitHostPort(at)
	if err != nil {
		t.Fatal(err)
	}
	second, _, stopB := serve(t, "127.0.0.3:"+text, b, nil)
	number, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	pods := &listed{pods: []httpsource.Pod{{Name: "worker-a", IP: "127.0.0.2"}, {Name: "worker-b", IP: "127.0.0.3"}}}
	return pods, intstr.FromInt(number), [2]*server{first, second}, stopB
}

func object(name string, g query.Gauge) query.ObjectValue {
	return query.ObjectValue{Resource: "pods", Namespace: "shop", Name: name, Gauge: g}
}

// untimed takes the times out of values, after it has checked them.
func untimed(t *testing.T, r query.Reading, since time.Time) []query.ObjectValue {
	t.Helper()
	var out []query.ObjectValue
	for _, o := range r.Objects {
		if o.At.Before(r.At) || o.At.Before(since.Add(-time.Millisecond)) || o.At.After(time.Now()) {
			t.Errorf("%s was measured at %s, the reading at %s", o.Name, o.At, r.At)
		}
		o.At = time.Time{}
		out = append(out, o)
	}
	return out
}

func TestReadsEachPod(t *testing.T) {
	pods, port, servers, _ := twoPods(t, depth(3), depth(5))
	for aggregate, want := range map[string]float64{"": 8, "Sum": 8, "Average": 4, "Max": 5, "Min": 3} {
		t.Run("aggregate "+aggregate, func(t *testing.T) {
			spec := podsSpec(port)
			spec.Pods.Aggregate = aggregate
			since := time.Now()
			reading := mustPoll(t, open(t, pods, request(spec, nil)))
			if diff := cmp.Diff(value(query.NumberOf(want)), reading.Gauges); diff != "" {
				t.Errorf("the aggregate (-want +got):\n%s", diff)
			}
			objects := []query.ObjectValue{object("worker-a", query.NumberOf(3)), object("worker-b", query.NumberOf(5))}
			if diff := cmp.Diff(objects, untimed(t, reading, since)); diff != "" {
				t.Errorf("each pod's (-want +got):\n%s", diff)
			}
		})
	}
	if want := "shop app=worker"; pods.asked != want {
		t.Errorf("asked for the pods of %q, want %q", pods.asked, want)
	}
	if got := servers[1].paths[0]; got != "/depth" {
		t.Errorf("asked for %s, want /depth", got)
	}
}

func TestPodsThatGiveNoValue(t *testing.T) {
	none, nan := text("application/json", "{}"), text("application/json", `{"depth":"NaN"}`)
	fails := http.NotFound
	refuses := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }
	numbers := func(g ...query.Gauge) []query.ObjectValue {
		var out []query.ObjectValue
		for i, g := range g {
			out = append(out, object([]string{"worker-a", "worker-b"}[i], g))
		}
		return out
	}
	empty, notANumber := query.Gauge{Presence: query.Empty}, query.Gauge{Presence: query.NotANumber}
	for name, test := range map[string]struct {
		a, b    http.HandlerFunc
		missing string
		want    query.Gauge
		objects []query.ObjectValue
		reason  string
	}{
		"one fails":                 {depth(3), fails, "Fail", query.Gauge{}, nil, "PodsNotReached"},
		"one fails, ignored":        {depth(3), fails, "Ignore", query.NumberOf(3), numbers(query.NumberOf(3)), ""},
		"all fail, ignored":         {fails, fails, "Ignore", query.Gauge{}, nil, "PodsNotReached"},
		"all refuse":                {refuses, refuses, "Fail", query.Gauge{}, nil, source.ReasonUnauthorized},
		"one refuses":               {refuses, depth(1), "", query.Gauge{}, nil, "PodsNotReached"},
		"one refuses, one fails":    {refuses, fails, "", query.Gauge{}, nil, "PodsNotReached"},
		"one is empty":              {depth(3), none, "Fail", query.Gauge{}, nil, "PodsWithoutValue"},
		"one is empty, ignored":     {depth(3), none, "Ignore", query.NumberOf(3), numbers(query.NumberOf(3), empty), ""},
		"all are empty":             {none, none, "Fail", empty, numbers(empty, empty), ""},
		"one is no number":          {depth(3), nan, "Fail", notANumber, numbers(query.NumberOf(3), notANumber), ""},
		"one is no number, ignored": {depth(3), nan, "Ignore", notANumber, numbers(query.NumberOf(3), notANumber), ""},
	} {
		t.Run(name, func(t *testing.T) {
			pods, port, _, _ := twoPods(t, test.a, test.b)
			spec := podsSpec(port)
			spec.Pods.MissingPods = test.missing
			p := open(t, pods, request(spec, nil))
			if test.reason != "" {
				message := wantFailure(t, p, pollTimeout, test.reason)
				if !strings.Contains(message, " of 2 Ready pods ") || !strings.Contains(message, "worker-") {
					t.Errorf("the message does not say how many, and which: %s", message)
				}
				return
			}
			since := time.Now()
			reading := mustPoll(t, p)
			if diff := cmp.Diff(value(test.want), reading.Gauges); diff != "" {
				t.Errorf("the aggregate (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.objects, untimed(t, reading, since)); diff != "" {
				t.Errorf("each pod's (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoPodIsNoValue(t *testing.T) {
	pods := &listed{}
	reading := mustPoll(t, open(t, pods, request(podsSpec(intstr.FromInt(8080)), nil)))
	if diff := cmp.Diff(value(query.Gauge{Presence: query.Empty}), reading.Gauges); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	pods.err = errors.New("the cluster is away")
	wantFailure(t, open(t, pods, request(podsSpec(intstr.FromInt(8080)), nil)), pollTimeout, "PodsNotListed")
	pods.err = context.DeadlineExceeded
	wantFailure(t, open(t, pods, request(podsSpec(intstr.FromInt(8080)), nil)), pollTimeout, "PodsNotListed")
}

func TestPodThatIsAwayComesBack(t *testing.T) {
	pods, port, _, stop := twoPods(t, depth(3), depth(5))
	p := open(t, pods, request(podsSpec(port), nil))
	mustPoll(t, p)
	stop()
	wantFailure(t, p, pollTimeout, "PodsNotReached")
	serve(t, "127.0.0.3:"+port.String(), depth(6), nil)
	if diff := cmp.Diff(value(query.NumberOf(9)), mustPoll(t, p).Gauges); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSlowPodTimesOut(t *testing.T) {
	pods, port, _, _ := twoPods(t, depth(3), func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	spec := podsSpec(port)
	began := time.Now()
	wantFailure(t, open(t, pods, request(spec, nil)), 200*time.Millisecond, "PodsNotReached")
	spec.Pods.MissingPods = "Ignore"
	reading, err := poll(t, open(t, pods, request(spec, nil)), 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(value(query.NumberOf(3)), reading.Gauges); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("two polls with a timeout of 200ms took %s", took)
	}
}

func TestPortByName(t *testing.T) {
	pods, port, _, _ := twoPods(t, depth(3), depth(5))
	for i := range pods.pods {
		pods.pods[i].Ports = map[string]int32{"metrics": port.IntVal}
	}
	mustPoll(t, open(t, pods, request(podsSpec(intstr.FromString("metrics")), nil)))
	message := wantFailure(t, open(t, pods, request(podsSpec(intstr.FromString("admin")), nil)), pollTimeout, "PodsNotReached")
	if !strings.Contains(message, "admin") {
		t.Errorf("the message does not name the port: %s", message)
	}
}

func TestPodsAreAskedTogetherButNotAllAtOnce(t *testing.T) {
	var now, most atomic.Int64
	var all atomic.Bool
	release := make(chan struct{})
	_, at, _ := serve(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		running := now.Add(1)
		defer now.Add(-1)
		for before := most.Load(); running > before && !most.CompareAndSwap(before, running); before = most.Load() {
		}
		// As many as may be asked at once wait for one another.
		if running == 16 && all.CompareAndSwap(false, true) {
			close(release)
		}
		<-release
		depth(1)(w, r)
	}, nil)
	_, port, _ := net.SplitHostPort(at)
	number, _ := strconv.Atoi(port)
	pods := &listed{}
	for i := range 100 {
		pods.pods = append(pods.pods, httpsource.Pod{Name: "worker-" + strconv.Itoa(i), IP: "127.0.0.1"})
	}
	reading := mustPoll(t, open(t, pods, request(podsSpec(intstr.FromInt(number)), nil)))
	if diff := cmp.Diff(value(query.NumberOf(100)), reading.Gauges); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if most.Load() != 16 {
		t.Errorf("%d pods were asked at once, want 16", most.Load())
	}
}

func TestPodsAreAskedWithTheCredentials(t *testing.T) {
	// One credential for all of them; each answer is checked like a URL's.
	pods, port, servers, _ := twoPods(t, depth(3), depth(5))
	for _, s := range servers {
		s.answer(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+secret {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			depth(1)(w, r)
		})
	}
	spec := podsSpec(port)
	spec.Auth = &v1alpha1.HTTPAuth{Bearer: &v1alpha1.SecretKey{Name: "http", Key: "token"}}
	mustPoll(t, open(t, pods, request(spec, brokertest.Secrets{"http/token": secret})))
	wantFailure(t, open(t, pods, request(spec, brokertest.Secrets{"http/token": secret + "x"})), pollTimeout, source.ReasonUnauthorized)
	spec.Pods.Scheme = "https"
	wantFailure(t, open(t, pods, request(spec, brokertest.Secrets{"http/token": secret})), pollTimeout, "PodsNotReached")
}
