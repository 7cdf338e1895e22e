package httpsource_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	httpsource "github.com/quartet-autoscaling/quartet/adapter/source/http"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

// tokenAuth reads the token that the tests' Secrets hold.
func tokenAuth() *v1alpha1.HTTPAuth {
	return &v1alpha1.HTTPAuth{Bearer: &v1alpha1.SecretKey{Name: "http", Key: "token"}}
}

func TestBuildRefuses(t *testing.T) {
	const anURL = "http://h:8080"
	with := func(change func(*v1alpha1.HTTPPods)) v1alpha1.HTTPSource {
		spec := podsSpec(intstr.FromInt(8080))
		change(spec.Pods)
		return spec
	}
	for name, test := range map[string]struct {
		spec v1alpha1.HTTPSource
		want string // within the message
	}{
		"neither url nor pods":  {v1alpha1.HTTPSource{JSONPath: "{.a}"}, "exactly one of url, pods"},
		"both url and pods":     {func() v1alpha1.HTTPSource { s := with(func(*v1alpha1.HTTPPods) {}); s.URL = anURL; return s }(), "exactly one of url, pods"},
		"neither path nor name": {v1alpha1.HTTPSource{URL: anURL}, "exactly one of jsonPath, openMetrics"},
		"both path and name":    {v1alpha1.HTTPSource{URL: anURL, JSONPath: "{.a}", OpenMetrics: "a"}, "exactly one of jsonPath, openMetrics"},
		"password in the URL":   {v1alpha1.HTTPSource{URL: "http://u:" + secret + "@h", JSONPath: "{.a}"}, "holds a user or password"},
		"no URL":                {v1alpha1.HTTPSource{URL: "h:8080", JSONPath: "{.a}"}, "is no URL"},
		"no path":               {v1alpha1.HTTPSource{URL: anURL, JSONPath: "{.a"}, "jsonPath is no path"},
		"no path of a time":     {v1alpha1.HTTPSource{URL: anURL, JSONPath: "{.a}", TimestampPath: "{"}, "timestampPath is no path"},
		"no series":             {v1alpha1.HTTPSource{URL: anURL, OpenMetrics: "a{"}, "is no series"},
		"no Secret":             {v1alpha1.HTTPSource{URL: anURL, OpenMetrics: "a", Auth: tokenAuth()}, "Secret http does not exist"},
		"every pod":             {with(func(p *v1alpha1.HTTPPods) { p.Selector = metav1.LabelSelector{} }), "selector is empty"},
		"no selector": {with(func(p *v1alpha1.HTTPPods) {
			p.Selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}
		}), "selector cannot be used"},
		"no port":           {with(func(p *v1alpha1.HTTPPods) { p.Port = intstr.FromInt(0) }), "port is no port"},
		"no port's name":    {with(func(p *v1alpha1.HTTPPods) { p.Port = intstr.FromString("") }), "port is empty"},
		"no path of a page": {with(func(p *v1alpha1.HTTPPods) { p.Path = "@elsewhere/" }), "must begin with a slash"},
		"no aggregate":      {with(func(p *v1alpha1.HTTPPods) { p.Aggregate = "Median" }), "aggregate must be one of"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := httpsource.NewBuilder(&listed{}).Build(t.Context(), request(test.spec, nil))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want one with %q", err, test.want)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows a credential: %v", err)
			}
		})
	}
	r := request(podsSpec(intstr.FromInt(8080)), nil)
	if _, err := httpsource.NewBuilder(nil).Build(t.Context(), r); err == nil {
		t.Error("pods are read without a cluster")
	}
	r.Namespace = ""
	if _, err := httpsource.NewBuilder(&listed{}).Build(t.Context(), r); err == nil {
		t.Error("pods are read of no namespace")
	}
	if _, err := httpsource.NewBuilder(nil).Build(t.Context(), source.Request{}); err == nil {
		t.Error("a source of another system was built")
	}
}

func TestKeysTellQueriesApart(t *testing.T) {
	base := v1alpha1.HTTPSource{URL: "http://h:8080/a", JSONPath: "{.a}"}
	pods := podsSpec(intstr.FromInt(8080))
	document := func(change func(*v1alpha1.HTTPSource)) source.Request {
		spec := base
		change(&spec)
		return request(spec, brokertest.Secrets{"http/token": secret})
	}
	group := func(change func(*v1alpha1.HTTPPods)) source.Request {
		spec := *pods.DeepCopy()
		change(spec.Pods)
		return request(spec, nil)
	}
	inNamespace := func(r source.Request, namespace string) source.Request { r.Namespace = namespace; return r }
	same := func(*v1alpha1.HTTPPods) {}
	for name, test := range map[string]struct {
		a, b                 source.Request
		sameKey, sameSubject bool
	}{
		"the same":                {request(base, nil), request(base, nil), true, true},
		"in another namespace":    {request(base, nil), inNamespace(request(base, nil), "x"), true, true},
		"another URL":             {request(base, nil), document(func(s *v1alpha1.HTTPSource) { s.URL += "b" }), false, false},
		"another path":            {request(base, nil), document(func(s *v1alpha1.HTTPSource) { s.JSONPath = "{.b}" }), false, false},
		"a time":                  {request(base, nil), document(func(s *v1alpha1.HTTPSource) { s.TimestampPath = "{.b}" }), false, false},
		"a token":                 {request(base, nil), document(func(s *v1alpha1.HTTPSource) { s.Auth = tokenAuth() }), false, true},
		"TLS":                     {request(base, nil), document(func(s *v1alpha1.HTTPSource) { s.TLS = &v1alpha1.TLS{} }), false, true},
		"pods":                    {group(same), group(same), true, true},
		"pods elsewhere":          {group(same), inNamespace(group(same), "x"), false, false},
		"other pods":              {group(same), group(func(p *v1alpha1.HTTPPods) { p.Selector.MatchLabels["tier"] = "x" }), false, false},
		"another port":            {group(same), group(func(p *v1alpha1.HTTPPods) { p.Port = intstr.FromInt(8081) }), false, false},
		"a port by name":          {group(same), group(func(p *v1alpha1.HTTPPods) { p.Port = intstr.FromString("8080") }), false, false},
		"another page of pods":    {group(same), group(func(p *v1alpha1.HTTPPods) { p.Path = "/b" }), false, false},
		"another scheme":          {group(same), group(func(p *v1alpha1.HTTPPods) { p.Scheme = "https" }), false, false},
		"another aggregate":       {group(same), group(func(p *v1alpha1.HTTPPods) { p.Aggregate = "Max" }), false, false},
		"pods that may be absent": {group(same), group(func(p *v1alpha1.HTTPPods) { p.MissingPods = "Ignore" }), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			builder := httpsource.NewBuilder(&listed{})
			a, errA := builder.Build(t.Context(), test.a)
			b, errB := builder.Build(t.Context(), test.b)
			if errA != nil || errB != nil {
				t.Fatal(errA, errB)
			}
			if got := a.Key() == b.Key(); got != test.sameKey {
				t.Errorf("one key: %v, want %v", got, test.sameKey)
			}
			if got := a.Subject() == b.Subject(); got != test.sameSubject {
				t.Errorf("one subject: %v, want %v", got, test.sameSubject)
			}
		})
	}
}

func TestNamesForPeople(t *testing.T) {
	for want, test := range map[string]struct {
		spec   v1alpha1.HTTPSource
		server string
	}{
		"http {.a} at https://h/stats": {
			v1alpha1.HTTPSource{URL: "https://h/stats?token=" + secret, JSONPath: "{.a}"}, "http at https://h",
		},
		"http {.depth} at pods app=worker": {
			podsSpec(intstr.FromInt(8080)), "http at pods app=worker of namespace shop",
		},
	} {
		q, err := httpsource.NewBuilder(&listed{}).Build(t.Context(), request(test.spec, nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := q.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := source.ServerOf(q); got != test.server {
			t.Errorf("got server %q, want %q", got, test.server)
		}
	}
}
