package rules_test

import (
	"strings"
	"testing"

	"github.com/quartet-autoscaling/quartet/adapter/source/prometheus/rules"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// FuzzRule wants of any rule that it is refused, or gives bounded texts and
// nothing about another namespace.
func FuzzRule(f *testing.F) {
	for _, seed := range [][5]string{
		{`sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)`, "^(.*)_total$", "${1}_rate", "kube_<<.Resource>>", "http_total"},
		{`<<range $l, $v := .LabelValuesByName>><<$l>>=~"<<$v>>"<<end>>`, "(a)(b)", "$2$1", "<<.Group>>_<<.Resource>>", "ab"},
		{`<<if eq .Series "a">>1<<else with .GroupBy>><<.>><<end>>`, "", "", "", "a"},
		{`<<define "x">><<end>><<template "x">>`, "[", "$", "<<.Resource>>_x_<<.Group>>", "\xff"},
		{`<</* note */>><<index .GroupBySlice 0>><<len .Series | not>>`, ".*", "$0", "<<.>>", ""},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[4])
	}
	f.Fuzz(func(t *testing.T, query, matches, as, label, series string) {
		if len(query) > 8192 || len(label) > 256 || len(matches) > 512 || len(as) > 256 {
			return
		}
		resources := overrides("namespace", "namespace", "pod", "pod")
		resources.Template = label
		r, err := rules.Compile(v1alpha1.PrometheusRule{
			Series: "up", Query: query, Resources: resources, Labels: []string{"verb"},
			Filters: []v1alpha1.PrometheusFilter{{IsNot: "^go_"}},
			Name:    &v1alpha1.PrometheusName{Matches: matches, As: as},
		}, "rules[0]")
		if err != nil {
			if len(err.Error()) > 20_000 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		r.Keeps(series)
		if name, ok, err := r.Metric(series); ok && (err != nil || name == "" || strings.ContainsAny(name, "/ \n")) {
			t.Fatalf("metric %q, %v", name, err)
		}
		labels := map[string]string{"namespace": "bank", "pod": series, "verb": as, label: series}
		kinds, _ := r.Kinds([]string{"namespace", "pod", "job", "kube_pod", "apps_deployment", label}, "shop", rules.Builtin{})
		for _, kind := range kinds {
			if text, err := r.Query(series, kind, "shop"); err == nil && len(text) > 32<<10 {
				t.Fatalf("a query of %d bytes", len(text))
			}
			if v, err := r.Object(kind, labels, "shop"); err == nil && v.Namespace != "shop" {
				t.Fatalf("a value about %+v", v)
			}
		}
	})
}
