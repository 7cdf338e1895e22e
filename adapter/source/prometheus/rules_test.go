package prometheus_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/prometheus"
	"github.com/quartet-autoscaling/quartet/adapter/source/prometheus/rules"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

// podSeries are series about pods of two namespaces, and about a node.
func podSeries() string {
	return fmt.Sprintf(`app_requests{namespace="shop",pod="web-1",verb="GET"} 5
app_requests{namespace="shop",pod="web-1",verb="PUT"} 2
app_requests{namespace="shop",pod="web-2",verb="GET"} 7
app_requests{namespace="bank",pod="web-1",verb="GET"} 11
app_sessions{namespace="shop",pod="web-1"} NaN
app_sessions{namespace="shop",pod="web-2"} 4 %d
app_temperature{node="n1"} 40
app_internal{namespace="shop",pod="web-1"} 1
`, time.Now().Add(-oldAge).UnixMilli())
}

// appRule is about all the series above but the internal one.
func appRule() v1alpha1.PrometheusRule {
	return v1alpha1.PrometheusRule{
		Series:  `{__name__=~"^app_.*"}`,
		Filters: []v1alpha1.PrometheusFilter{{IsNot: "internal$"}},
		Resources: v1alpha1.PrometheusResources{Overrides: map[string]v1alpha1.PrometheusResource{
			"namespace": {Resource: "namespace"}, "pod": {Resource: "pod"}, "node": {Resource: "nodes"},
		}},
		Name:   &v1alpha1.PrometheusName{Matches: "^app_(.*)$"},
		Labels: []string{"verb"},
	}
}

func buildRules(t testing.TB, namespace, address string, list ...v1alpha1.PrometheusRule) (source.Query, error) {
	t.Helper()
	return prometheus.NewBuilder(rules.Builtin{}).Build(t.Context(), source.Request{
		Namespace: namespace, Timeout: pollTimeout,
		Source: v1alpha1.Source{Prometheus: &v1alpha1.PrometheusSource{URLs: []string{address}, Rules: list}},
	})
}

func openRules(t testing.TB, namespace, address string, list ...v1alpha1.PrometheusRule) source.Poller {
	t.Helper()
	q, err := buildRules(t, namespace, address, list...)
	if err != nil {
		t.Fatal(err)
	}
	p, err := q.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// lines shows a reading's objects, one to a line, with their ages in minutes.
func lines(r query.Reading) []string {
	out := make([]string, 0, len(r.Objects))
	for _, o := range r.Objects {
		value := string(o.Presence)
		if o.Presence == query.Number {
			value = fmt.Sprint(o.Value)
		}
		line := fmt.Sprintf("%s of %s %s/%s %v = %s", o.Metric, o.Resource, o.Namespace, o.Name, o.Labels, value)
		if age := time.Since(o.At); age > time.Minute {
			line += fmt.Sprintf(", %s old", age.Truncate(time.Minute))
		}
		if o.WindowSeconds > 0 {
			line += fmt.Sprintf(" over %d s", o.WindowSeconds)
		}
		out = append(out, line)
	}
	return out
}

func faultTexts(r query.Reading) []string {
	var out []string
	for _, f := range r.Faults {
		out = append(out, f.Reason+": "+f.Message)
	}
	return out
}

func checkRules(t *testing.T, address string, scraped *target) {
	scraped.set(exposition() + podSeries())
	defer scraped.set(exposition())
	await(t, open(t, spec("sum(app_internal) + sum(app_temperature)", address), nil))
	t.Run("of the cluster", func(t *testing.T) {
		checkReading(t, openRules(t, "", address, appRule()), []string{
			"requests of namespaces /bank map[verb:GET] = 11",
			"requests of namespaces /shop map[verb:GET] = 12",
			"requests of namespaces /shop map[verb:PUT] = 2",
			"requests of pods bank/web-1 map[verb:GET] = 11",
			"requests of pods shop/web-1 map[verb:GET] = 5",
			"requests of pods shop/web-1 map[verb:PUT] = 2",
			"requests of pods shop/web-2 map[verb:GET] = 7",
			"sessions of namespaces /shop map[] = NotANumber, 1m0s old",
			"sessions of pods shop/web-1 map[] = NotANumber",
			"sessions of pods shop/web-2 map[] = 4, 1m0s old",
			"temperature of nodes /n1 map[] = 40",
		}, nil)
	})
	t.Run("of a namespace", func(t *testing.T) {
		checkReading(t, openRules(t, "bank", address, appRule()), []string{"requests of pods bank/web-1 map[verb:GET] = 11"}, nil)
	})
	t.Run("a rate", func(t *testing.T) {
		rate := appRule()
		rate.Series, rate.Labels = "app_requests", nil
		rate.Query = "sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)"
		p := openRules(t, "bank", address, rate)
		brokertest.Eventually(t, "the second scrape", func() error {
			if r := mustPoll(t, p); len(r.Objects) == 0 {
				return fmt.Errorf("no values and the faults %v", faultTexts(r))
			}
			return nil
		})
		checkReading(t, p, []string{"requests of pods bank/web-1 map[] = 0 over 120 s"}, nil)
	})
	t.Run("a bad one beside a good one", func(t *testing.T) { checkFaults(t, address) })
	t.Run("nothing found", func(t *testing.T) {
		nothing := appRule()
		nothing.Series = "missing"
		checkReading(t, openRules(t, "shop", address, nothing), []string{}, []string{"RuleFault: no rule finds any series of the last 10m0s"})
	})
	t.Run("nothing that is an object", func(t *testing.T) {
		unlabelled := appRule()
		unlabelled.Series, unlabelled.Filters = "queue_depth", nil
		unlabelled.Name = nil
		checkReading(t, openRules(t, "", address, unlabelled), []string{}, []string{"RuleFault: rules[0]: series are found, queue_depth among them"})
	})
	t.Run("a query that hangs", func(t *testing.T) { checkHanging(t, address) })
}

func checkReading(t *testing.T, p source.Poller, want, faults []string) {
	t.Helper()
	r := mustPoll(t, p)
	if diff := cmp.Diff(want, lines(r)); diff != "" {
		t.Errorf("the values (-want +got):\n%s", diff)
	}
	got := faultTexts(r)
	if len(got) != len(faults) {
		t.Fatalf("the faults are %q, want %d", got, len(faults))
	}
	for i, part := range faults {
		if !strings.Contains(got[i], part) {
			t.Errorf("fault %d is %q, want one with %q", i, got[i], part)
		}
	}
}

// checkFaults has rules that the server refuses, that lose their objects, and that
// speak of others, beside one that is good.
func checkFaults(t *testing.T, address string) {
	good, refused, lost, foreign, named := appRule(), appRule(), appRule(), appRule(), appRule()
	for _, r := range []*v1alpha1.PrometheusRule{&good, &refused, &lost, &foreign, &named} {
		r.Series, r.Labels = "app_requests", nil
	}
	refused.Query = "sum(<<.Series>>{<<.LabelMatchers>>}"
	lost.Query = "sum(<<.Series>>{<<.LabelMatchers>>})"
	foreign.Query = "sum(<<.Series>>) by (<<.GroupBy>>)"
	named.Name = &v1alpha1.PrometheusName{As: "1st"}
	checkReading(t, openRules(t, "bank", address, good, refused, lost, foreign, named),
		[]string{
			"requests of pods bank/web-1 map[] = 11",
			"requests of pods bank/web-1 map[] = 11", // of the rule that speaks of others too
		},
		[]string{
			`RuleFault: rules[4].name: series app_requests becomes "1st"`,
			"QueryRefused: rules[1].query: metric requests of pods: " + address + " refused the query",
			"RuleFault: rules[2].query: metric requests of pods: results lack the label",
			"RuleFault: rules[3].query: metric requests of pods: results are about objects of other namespaces",
		})
}

// checkHanging has one query hang until the poll's time is over.
func checkHanging(t *testing.T, address string) {
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(to)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Query().Get("query"), "sum(app_sessions") {
			<-r.Context().Done()
			return
		}
		forward.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	p := openRules(t, "shop", proxy.URL, appRule())
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	r, err := p.Poll(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"requests of pods shop/web-1 map[verb:GET] = 5",
		"requests of pods shop/web-1 map[verb:PUT] = 2",
		"requests of pods shop/web-2 map[verb:GET] = 7",
	}
	if diff := cmp.Diff(want, lines(r)); diff != "" {
		t.Errorf("the values (-want +got):\n%s", diff)
	}
	if got := faultTexts(r); len(got) != 1 || !strings.HasPrefix(got[0], "Timeout: rules[0].query: metric sessions") {
		t.Errorf("the faults are %q", got)
	}
}

func TestBuildRules(t *testing.T) {
	noNamespace := appRule()
	noNamespace.Resources.Overrides = map[string]v1alpha1.PrometheusResource{"pod": {Resource: "pod"}}
	badSeries, badTemplate := appRule(), appRule()
	badSeries.Series, badTemplate.Query = `a{b="c"`, "sum(<<.Nothing>>)"
	for name, test := range map[string]struct {
		namespace string
		rule      v1alpha1.PrometheusRule
		want      string
	}{
		"good":                          {"shop", appRule(), ""},
		"no label of namespaces":        {"shop", noNamespace, "rules[1].resources: a MetricSource of a namespace needs"},
		"none needed of a cluster":      {"", noNamespace, ""},
		"a selector that is none":       {"shop", badSeries, "rules[1].series: reading a selector: 1:8"},
		"a template of unknown fields":  {"shop", badTemplate, "rules[1].query: running the template: template: template:1:6"},
		"everything that a server has":  {"shop", v1alpha1.PrometheusRule{Series: "{}", Resources: appRule().Resources}, "it selects everything"},
		"a regular expression too many": {"shop", v1alpha1.PrometheusRule{Series: "a", Resources: appRule().Resources, Filters: []v1alpha1.PrometheusFilter{{Is: "("}}}, "rules[1].filters[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			q, err := buildRules(t, test.namespace, "http://prometheus:9090", appRule(), test.rule)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if other, err := buildRules(t, "bank", "http://prometheus:9090", appRule()); err != nil || other.Key() == q.Key() || other.Subject() == q.Subject() {
					t.Errorf("two namespaces ask one question (%v)", err)
				}
				return
			}
			if reason, message := source.ReasonOf(err); reason != source.ReasonInvalid || !strings.Contains(message, test.want) {
				t.Errorf("%s: %s; want %q", reason, message, test.want)
			}
		})
	}
}

func TestRulesOfAServerThatIsAway(t *testing.T) {
	p := openRules(t, "shop", fmt.Sprintf("http://127.0.0.1:%d", brokertest.FreePort(t)), appRule())
	wantFailure(t, p, pollTimeout, source.ReasonUnreachable)
}
