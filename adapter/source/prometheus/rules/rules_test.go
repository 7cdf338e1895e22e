package rules_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source/prometheus/rules"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/golden"
)

func overrides(pairs ...string) v1alpha1.PrometheusResources {
	r := v1alpha1.PrometheusResources{Overrides: map[string]v1alpha1.PrometheusResource{}}
	for i := 0; i < len(pairs); i += 2 {
		r.Overrides[pairs[i]] = v1alpha1.PrometheusResource{Resource: pairs[i+1]}
	}
	return r
}

func compile(t testing.TB, spec v1alpha1.PrometheusRule) *rules.Rule {
	t.Helper()
	r, err := rules.Compile(spec, "rules[0]")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCompileSaysWhatIsWrong(t *testing.T) {
	pods := overrides("namespace", "namespace", "pod", "pod")
	for name, test := range map[string]struct {
		rule v1alpha1.PrometheusRule
		want string
	}{
		"an open action":        {v1alpha1.PrometheusRule{Resources: pods, Query: "sum(\n<<.Series"}, "rules[0].query: reading the template: template: template:2: unclosed action"},
		"a field of no kind":    {v1alpha1.PrometheusRule{Resources: pods, Query: "sum(<<.Serie>>)"}, "template:1:6"},
		"no such function":      {v1alpha1.PrometheusRule{Resources: pods, Query: `<<shell "ls">>`}, `function "shell" not defined`},
		"a function that grows": {v1alpha1.PrometheusRule{Resources: pods, Query: `<<printf "%1000000d" 1>>`}, "the function printf is not allowed"},
		"a range over a number": {v1alpha1.PrometheusRule{Resources: pods, Query: `<<range 1000000000>><<end>>`}, "a range over anything but a field"},
		"ranges in ranges":      {v1alpha1.PrometheusRule{Resources: pods, Query: `<<range .GroupBySlice>><<range $.GroupBySlice>><<end>><<end>>`}, "a range within a range"},
		"a template within":     {v1alpha1.PrometheusRule{Resources: pods, Query: `<<define "a">>x<<end>>a`}, "must not define others"},
		"a template that runs":  {v1alpha1.PrometheusRule{Resources: pods, Query: `a<<template "template">>`}, "is not allowed"},
		"a call":                {v1alpha1.PrometheusRule{Resources: pods, Query: `<<call .Series>>`}, "the function call is not allowed"},
		"a filter":              {v1alpha1.PrometheusRule{Resources: pods, Filters: []v1alpha1.PrometheusFilter{{Is: "a"}, {IsNot: "("}}}, "rules[0].filters[1]: reading a regular expression"},
		"an empty filter":       {v1alpha1.PrometheusRule{Resources: pods, Filters: []v1alpha1.PrometheusFilter{{}}}, "exactly one of is, isNot"},
		"two groups, no as":     {v1alpha1.PrometheusRule{Resources: pods, Name: &v1alpha1.PrometheusName{Matches: "(a)(b)"}}, "rules[0].name: as is needed, since matches has 2 groups"},
		"matches":               {v1alpha1.PrometheusRule{Resources: pods, Name: &v1alpha1.PrometheusName{Matches: "["}}, "rules[0].name: matches"},
		"no resources":          {v1alpha1.PrometheusRule{}, "overrides, template or both"},
		"a label of no form":    {v1alpha1.PrometheusRule{Resources: overrides("a-b", "pod")}, `"a-b" is no label`},
		"a label's template":    {v1alpha1.PrometheusRule{Resources: v1alpha1.PrometheusResources{Template: "kube_<<.Name>>"}}, "neither <<.Resource>>"},
		"a template for all":    {v1alpha1.PrometheusRule{Resources: v1alpha1.PrometheusResources{Template: "pod"}}, "must have <<.Resource>> once"},
		"a resource twice":      {v1alpha1.PrometheusRule{Resources: v1alpha1.PrometheusResources{Template: "<<.Resource>>_<<.Resource>>"}}, "must have <<.Resource>> once"},
		"a condition":           {v1alpha1.PrometheusRule{Resources: v1alpha1.PrometheusResources{Template: "<<if .Group>>a<<end>><<.Resource>>"}}, "only text"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := rules.Compile(test.rule, "rules[0]")
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "rules[0].") {
				t.Errorf("the error is %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestLongTextsAreRefused(t *testing.T) {
	r := compile(t, v1alpha1.PrometheusRule{Resources: overrides("pod", "pod", "ns", "namespace"), Query: strings.Repeat("<<.Series>>", 300)})
	if _, err := r.Query(strings.Repeat("a", 300), rules.Kind{Label: "pod"}, ""); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("300 times a name of 300 characters: %v", err)
	}
}

// scenario is one rule, and series that a server has.
type scenario struct {
	Rule      v1alpha1.PrometheusRule `json:"rule"`
	Namespace string                  `json:"namespace"`
	// Series are label names by series' names; Results are labels of results.
	Series  map[string][]string `json:"series"`
	Results []map[string]string `json:"results"`
}

// TestScenarios shows what rules make of series. A file is a scenario in YAML, a
// line of dashes, and what becomes of it.
func TestScenarios(t *testing.T) { golden.Scenarios(t, "testdata/*.txt", play) }

const line = "----\n"

func play(t testing.TB, text string) string {
	t.Helper()
	input, _, _ := strings.Cut(text, line)
	var s scenario
	if err := yaml.UnmarshalStrict([]byte(input), &s); err != nil {
		t.Fatal(err)
	}
	return input + line + outcome(t, s)
}

func outcome(t testing.TB, s scenario) string {
	t.Helper()
	var out strings.Builder
	r := compile(t, s.Rule)
	if label, ok := r.NamespaceLabel(); ok {
		fmt.Fprintf(&out, "namespaces are in label %s\n", label)
	}
	for _, series := range slices.Sorted(maps.Keys(s.Series)) {
		metric, ok, err := r.Metric(series)
		switch {
		case !r.Keeps(series):
			fmt.Fprintf(&out, "%s: filtered\n", series)
			continue
		case err != nil || !ok:
			fmt.Fprintf(&out, "%s: no metric (%v)\n", series, err)
			continue
		}
		fmt.Fprintf(&out, "%s: metric %s\n", series, metric)
		kinds, err := r.Kinds(s.Series[series], s.Namespace, rules.Builtin{})
		if err != nil {
			fmt.Fprintf(&out, "  fault: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		}
		for _, kind := range kinds {
			text, err := r.Query(series, kind, s.Namespace)
			fmt.Fprintf(&out, "  %s by label %s: %s%s\n", strings.TrimSuffix(kind.Plural+"."+kind.Group, "."), kind.Label, text, fault(err))
			for _, labels := range s.Results {
				v, err := r.Object(kind, labels, s.Namespace)
				fmt.Fprintf(&out, "    %v -> %s %s/%s %v%s\n", labels, v.Resource, v.Namespace, v.Name, v.Labels, fault(err))
			}
		}
	}
	return out.String()
}

// fault shows an error, and nothing where there is none.
func fault(err error) string {
	if err == nil {
		return ""
	}
	return " FAULT " + err.Error()
}

func TestObjectErrors(t *testing.T) {
	r := compile(t, v1alpha1.PrometheusRule{Resources: overrides("namespace", "namespace", "pod", "pod")})
	kinds, err := r.Kinds([]string{"pod", "namespace"}, "shop", rules.Builtin{})
	if err != nil || len(kinds) != 1 {
		t.Fatal(kinds, err)
	}
	for name, test := range map[string]struct {
		labels map[string]string
		want   query.ObjectValue
		err    error
	}{
		"own":           {map[string]string{"namespace": "shop", "pod": "a"}, query.ObjectValue{Resource: "pods", Namespace: "shop", Name: "a"}, nil},
		"own, not said": {map[string]string{"pod": "a"}, query.ObjectValue{Resource: "pods", Namespace: "shop", Name: "a"}, nil},
		"another's":     {map[string]string{"namespace": "bank", "pod": "a"}, query.ObjectValue{}, rules.ErrForeign},
		"no object":     {map[string]string{"namespace": "shop"}, query.ObjectValue{}, rules.ErrUnlabelled},
	} {
		got, err := r.Object(kinds[0], test.labels, "shop")
		if diff := cmp.Diff(test.want, got); diff != "" || !errors.Is(err, test.err) {
			t.Errorf("%s: error %v, want %v, and (-want +got):\n%s", name, err, test.err, diff)
		}
	}
}
