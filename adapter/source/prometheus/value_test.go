package prometheus_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

// oldAge is the age of a series that is scraped with a time of its own.
const oldAge = 90 * time.Second

func exposition() string {
	return fmt.Sprintf(`queue_depth{queue="orders"} 42
queue_depth{queue="bills"} 8
drained 0
not_a_number NaN
infinite +Inf
done_total 100
old_depth 5 %d
`, time.Now().Add(-oldAge).UnixMilli())
}

// TestAgainstTheRealServer asks one server everything that leaves it as it is.
func TestAgainstTheRealServer(t *testing.T) {
	t.Parallel()
	scraped := startTarget(t, exposition())
	settings, server := startServer(t, scraped, nil)
	url := settings.URL()
	await(t, open(t, spec("infinite + sum(old_depth) + sum(queue_depth) > 0 or sum(old_depth)", url), nil))
	t.Run("values", func(t *testing.T) { checkValues(t, url) })
	t.Run("failures", func(t *testing.T) { checkFailures(t, url) })
	t.Run("the time of the data", func(t *testing.T) { checkTimes(t, url) })
	t.Run("a proxy in front", func(t *testing.T) { checkProxy(t, url) })
	t.Run("several servers", func(t *testing.T) { checkServers(t, url) })
	t.Run("rules", func(t *testing.T) { checkRules(t, url, scraped) })
	t.Run("a series that ends", func(t *testing.T) { checkEnding(t, url, scraped) })
	t.Run("a slow server", func(t *testing.T) { checkSlow(t, url, server) })
	t.Run("a server that dies", func(t *testing.T) { checkDeath(t, url, server) })
}

func checkValues(t *testing.T, url string) {
	number := func(v float64) query.Gauge { return query.Gauge{Presence: query.Number, Value: v} }
	for name, test := range map[string]struct {
		query string
		want  query.Gauge
	}{
		"a selector":          {`queue_depth{queue="orders"}`, number(42)},
		"an aggregation":      {`sum(queue_depth)`, number(50)},
		"zero":                {`drained`, number(0)},
		"a scalar":            {`scalar(queue_depth{queue="bills"})`, number(8)},
		"a number":            {`7`, number(7)},
		"nothing":             {`queue_depth{queue="none"}`, query.Gauge{Presence: query.Empty}},
		"nothing to add":      {`sum(missing)`, query.Gauge{Presence: query.Empty}},
		"NaN":                 {`not_a_number`, query.Gauge{Presence: query.NotANumber}},
		"0 over 0":            {`drained / drained`, query.Gauge{Presence: query.NotANumber}},
		"infinity":            {`infinite`, query.Gauge{Presence: query.NotANumber}},
		"longer than a URL":   {`sum(queue_depth)` + strings.Repeat(" + 0 * sum(queue_depth)", 300), number(50)},
		"a rate of one value": {`sum(rate(done_total[1m]))`, number(0)},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, spec(test.query, url), nil)
			brokertest.Eventually(t, "the value", func() error {
				r, err := poll(t, p, pollTimeout)
				if got := r.Gauges[query.Value]; err == nil && got != test.want {
					err = fmt.Errorf("the value is %+v, want %+v", got, test.want)
				}
				return err
			})
		})
	}
}

func checkFailures(t *testing.T, url string) {
	for name, test := range map[string]struct {
		query, sampledAt, reason string
		words                    []string
	}{
		"several samples": {query: "queue_depth", reason: "AmbiguousReply", words: []string{"2 samples", "sum("}},
		"a text":          {query: `"text"`, reason: source.ReasonBadReply, words: []string{"a text"}},
		"a range":         {query: `queue_depth[1m]`, reason: source.ReasonBadReply, words: []string{"a range"}},
		"no PromQL":       {query: `sum(queue_depth`, reason: "QueryRefused", words: []string{"unclosed left parenthesis"}},
		"no such match":   {query: `queue_depth * on() queue_depth`, reason: "QueryRefused", words: []string{"duplicate series for the match group"}},
		"no time":         {query: `drained`, sampledAt: `timestamp(missing)`, reason: "NoSampleTime", words: []string{"no number"}},
		"milliseconds":    {query: `drained`, sampledAt: `1000 * time()`, reason: "NoSampleTime", words: []string{"seconds since 1970"}},
		"of the future":   {query: `drained`, sampledAt: `time() + 7200`, reason: "NoSampleTime", words: []string{"2h0m0s in the future"}},
		"several times":   {query: `drained`, sampledAt: `timestamp(queue_depth)`, reason: "AmbiguousReply", words: []string{"sampledAt", "2 samples"}},
		"a time's error":  {query: `drained`, sampledAt: `min(`, reason: "QueryRefused"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := spec(test.query, url)
			asked.SampledAt = test.sampledAt
			message := wantFailure(t, open(t, asked, nil), pollTimeout, test.reason)
			for _, word := range test.words {
				if !strings.Contains(message, word) {
					t.Errorf("%q does not say %q", message, word)
				}
			}
		})
	}
}

func checkTimes(t *testing.T, url string) {
	for name, test := range map[string]struct {
		query, sampledAt string
		age              time.Duration
	}{
		"a selector, just scraped":      {query: `drained`},
		"a selector of old data":        {query: `old_depth`, age: oldAge},
		"an aggregation of old data":    {query: `sum(old_depth) * 2`, age: oldAge},
		"the older of two":              {query: `sum(queue_depth) + sum(old_depth)`, age: oldAge},
		"the past, on purpose":          {query: `sum(queue_depth) + 0 * sum(old_depth offset 1s)`},
		"constants":                     {query: `vector(1)`},
		"nothing old, and a constant":   {query: `missing or vector(1)`},
		"said by the object":            {query: `sum(queue_depth)`, sampledAt: `min(timestamp(old_depth))`, age: oldAge},
		"said by the object, as number": {query: `old_depth`, sampledAt: `time() - 30`, age: 30 * time.Second},
		"a scalar":                      {query: `scalar(old_depth)`, age: oldAge},
	} {
		t.Run(name, func(t *testing.T) {
			asked := spec(test.query, url)
			asked.SampledAt = test.sampledAt
			r := mustPoll(t, open(t, asked, nil))
			if age := time.Since(r.At); age < test.age || age > test.age+20*time.Second {
				t.Errorf("the sample is %s old, want %s", age, test.age)
			}
			if r.Skew != 0 {
				t.Errorf("the clock of this machine is %s off itself", r.Skew)
			}
		})
	}
}

// checkEnding removes a series: its rate goes on for a while, and does not look
// fresh.
func checkEnding(t *testing.T, url string, scraped *target) {
	const window = `sum(rate(done_total[20s]))`
	await(t, open(t, spec(window, url), nil))
	// A range is searched in tenths, so that the series has to be seen at one.
	await(t, open(t, spec(`max_over_time(timestamp(done_total)[20s:2s])`, url), nil))
	scraped.set(strings.ReplaceAll(exposition(), "done_total 100\n", ""))
	gone := open(t, spec("done_total", url), nil)
	brokertest.Eventually(t, "the series' end", func() error {
		if r := mustPoll(t, gone); r.Gauges[query.Value].Presence != query.Empty {
			return fmt.Errorf("there is still %+v", r.Gauges)
		}
		return nil
	})
	ended := time.Now()
	r := mustPoll(t, open(t, spec(window, url), nil))
	if r.Gauges[query.Value].Presence != query.Number {
		t.Fatalf("the rate has ended with the series: %+v", r.Gauges)
	}
	if r.At.After(ended) {
		t.Errorf("a rate of a series that ended before %s is said to be of %s", ended, r.At)
	}
	if age := time.Since(r.At); age > 20*time.Second {
		t.Errorf("the sample is %s old, and its range is of 20s", age)
	}
}

func checkServers(t *testing.T, url string) {
	nobody := fmt.Sprintf("http://127.0.0.1:%d", brokertest.FreePort(t))
	t.Run("the first is away", func(t *testing.T) {
		p := open(t, spec("sum(queue_depth)", nobody, url), nil)
		for range 2 {
			if got := mustPoll(t, p).Gauges[query.Value].Value; got != 50 {
				t.Errorf("the value is %g", got)
			}
		}
	})
	t.Run("all are away", func(t *testing.T) {
		other := fmt.Sprintf("http://127.0.0.1:%d", brokertest.FreePort(t))
		message := wantFailure(t, open(t, spec("a", nobody, other), nil), pollTimeout, source.ReasonUnreachable)
		for _, server := range []string{nobody, other} {
			if !strings.Contains(message, server) {
				t.Errorf("%q does not name %s", message, server)
			}
		}
	})
	t.Run("a refused query is asked once", func(t *testing.T) {
		message := wantFailure(t, open(t, spec("sum(", url, nobody), nil), pollTimeout, "QueryRefused")
		if strings.Contains(message, nobody) {
			t.Errorf("the second server was asked: %s", message)
		}
	})
}

func TestBuild(t *testing.T) {
	secret := &v1alpha1.SecretKey{Name: "prometheus", Key: "token"}
	for name, test := range map[string]struct {
		spec    v1alpha1.PrometheusSource
		secrets brokertest.Secrets
		reason  string
	}{
		"no servers":      {spec("up"), nil, source.ReasonInvalid},
		"no URL":          {spec("up", "prometheus:9090"), nil, source.ReasonInvalid},
		"a password":      {spec("up", "http://a:b@prometheus:9090"), nil, source.ReasonInvalid},
		"no query":        {spec(" ", "http://prometheus:9090"), nil, source.ReasonInvalid},
		"no such Secret":  {v1alpha1.PrometheusSource{URLs: []string{"http://a:1"}, Query: "up", Auth: &v1alpha1.HTTPAuth{Bearer: secret}}, nil, "SecretNotFound"},
		"no certificates": {v1alpha1.PrometheusSource{URLs: []string{"http://a:1"}, Query: "up", TLS: &v1alpha1.TLS{CA: secret}}, brokertest.Secrets{"prometheus/token": "x"}, source.ReasonInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := build(test.spec, test.secrets)
			if reason, message := source.ReasonOf(err); err == nil || reason != test.reason {
				t.Errorf("reason %s (%s), want %s", reason, message, test.reason)
			}
		})
	}
}

func TestKeys(t *testing.T) {
	base := spec("up", "http://a:1")
	of := func(change func(*v1alpha1.PrometheusSource), token string) (key, subject string) {
		s := base
		s.Auth = &v1alpha1.HTTPAuth{Bearer: &v1alpha1.SecretKey{Name: "s", Key: "token"}}
		if change != nil {
			change(&s)
		}
		q, err := build(s, brokertest.Secrets{"s/token": token})
		if err != nil {
			t.Fatal(err)
		}
		return q.Key(), q.Subject()
	}
	key, subject := of(nil, "one")
	if again, same := of(nil, "one"); again != key || same != subject {
		t.Error("one question has two keys")
	}
	if other, same := of(nil, "two"); other == key || same != subject {
		t.Error("another token must be another key of the same subject")
	}
	for name, change := range map[string]func(*v1alpha1.PrometheusSource){
		"query":     func(s *v1alpha1.PrometheusSource) { s.Query = "down" },
		"servers":   func(s *v1alpha1.PrometheusSource) { s.URLs = []string{"http://b:1"} },
		"sampledAt": func(s *v1alpha1.PrometheusSource) { s.SampledAt = "time()" },
		"headers":   func(s *v1alpha1.PrometheusSource) { s.Headers = map[string]string{"X-Scope-OrgID": "b"} },
	} {
		if otherKey, other := of(change, "one"); otherKey == key || other == subject {
			t.Errorf("another %s is not another question", name)
		}
	}
}
