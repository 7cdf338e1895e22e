package metricimport

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// maxRules is how many rules one source may have.
const maxRules = 64

// readDeployment takes the server's address from the arguments of
// prometheus-adapter, where its Deployment is among what was read.
func (r *run) readDeployment(o *unstructured.Unstructured) {
	containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	for _, c := range containers {
		container, _ := c.(map[string]any)
		for _, field := range []string{"command", "args"} {
			args, _, _ := unstructured.NestedStringSlice(container, field)
			for i, arg := range args {
				value, found := strings.CutPrefix(arg, "--prometheus-url=")
				if !found && arg == "--prometheus-url" && i+1 < len(args) {
					value, found = args[i+1], true
				}
				if found && r.options.PrometheusURL == "" {
					r.options.PrometheusURL = value
				}
			}
		}
	}
}

// configMap looks for a configuration of prometheus-adapter in a ConfigMap.
func (r *run) configMap(o *unstructured.Unstructured) {
	data, _, _ := unstructured.NestedStringMap(o.Object, "data")
	for _, key := range slices.Sorted(maps.Keys(data)) {
		var config map[string]any
		if err := yaml.Unmarshal([]byte(data[key]), &config); err != nil {
			continue // of another program
		}
		r.adapterConfig(o, o.GetName(), "data["+key+"].", config)
	}
}

// adapterConfig converts a configuration; false where it is none.
func (r *run) adapterConfig(o *unstructured.Unstructured, name, path string, config map[string]any) bool {
	rules, hasRules := config["rules"].([]any)
	externals, hasExternals := config["externalRules"].([]any)
	_, hasResources := config["resourceRules"]
	if !hasRules && !hasExternals && !hasResources {
		return false
	}
	server := r.options.PrometheusURL
	if server == "" {
		server = "http://" + openHost + ":9090"
		r.note(o, path+"rules", FillIn, "the server is a flag of prometheus-adapter: import its Deployment together with this, give --prometheus-url, or write it into prometheus.urls")
	}
	if u, err := url.Parse(server); err != nil || u.User != nil {
		server = "http://" + openHost + ":9090"
		r.note(o, path+"rules", FillIn, "the server's address holds a user or password, or is none: write it without into prometheus.urls, and them into a Secret")
	}
	a := &adapterRules{r: r, object: o, server: server}
	for i, rule := range rules {
		a.custom(fmt.Sprintf("%srules[%d]", path, i), rule)
	}
	for first := 0; first < len(a.rules); first += maxRules {
		called := name
		if first > 0 {
			called = fmt.Sprintf("%s-%d", name, first/maxRules+1)
		}
		chunk := a.rules[first:min(first+maxRules, len(a.rules))]
		r.add(o, path+"rules", clusterSource(called, v1alpha1.PrometheusSource{URLs: []string{server}, Rules: chunk}, nil))
	}
	for i, rule := range externals {
		a.external(fmt.Sprintf("%sexternalRules[%d]", path, i), name, rule)
	}
	if hasResources {
		r.note(o, path+"resourceRules", NotMapped, "metrics.k8s.io (cpu and memory of pods and nodes) is metrics-server's")
	}
	return true
}

func clusterSource(name string, source v1alpha1.PrometheusSource, metrics []v1alpha1.SourceMetric) *v1alpha1.ClusterMetricSource {
	if metrics == nil {
		metrics = []v1alpha1.SourceMetric{}
	}
	return &v1alpha1.ClusterMetricSource{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ClusterMetricSource"},
		ObjectMeta: metav1.ObjectMeta{Name: cut(name, 253)},
		Spec: v1alpha1.ClusterMetricSourceSpec{MetricSourceSpec: v1alpha1.MetricSourceSpec{
			Source: v1alpha1.Source{Prometheus: &source}, Metrics: metrics,
		}},
	}
}

// adapterRules are the rules of one configuration.
type adapterRules struct {
	r      *run
	object *unstructured.Unstructured
	server string
	rules  []v1alpha1.PrometheusRule
}

func (a *adapterRules) note(field string, level Level, format string, args ...any) {
	a.r.note(a.object, field, level, format, args...)
}

// text is a field of a rule that is a text; empty where it is none.
func text(fields map[string]any, name string) string {
	value, _ := fields[name].(string)
	return value
}

// custom converts a rule of custom metrics.
func (a *adapterRules) custom(path string, value any) {
	fields, ok := value.(map[string]any)
	if !ok {
		a.note(path, NotMapped, "it is no object")
		return
	}
	rule := v1alpha1.PrometheusRule{Series: text(fields, "seriesQuery"), Query: text(fields, "metricsQuery")}
	if rule.Series == "" {
		a.note(path+".seriesQuery", NotMapped, "there is none: the rule is left out")
		return
	}
	rule.Filters = a.filters(path, fields)
	if name, ok := fields["name"].(map[string]any); ok {
		rule.Name = &v1alpha1.PrometheusName{Matches: text(name, "matches"), As: text(name, "as")}
	}
	resources, _ := fields["resources"].(map[string]any)
	if !a.resources(path, resources, &rule) {
		return
	}
	a.unknown(path, fields)
	a.rules = append(a.rules, rule)
}

func (a *adapterRules) filters(path string, fields map[string]any) []v1alpha1.PrometheusFilter {
	var out []v1alpha1.PrometheusFilter
	given, _ := fields["seriesFilters"].([]any)
	for i, f := range given {
		filter, _ := f.(map[string]any)
		is, isNot := text(filter, "is"), text(filter, "isNot")
		switch {
		case is != "" && isNot != "":
			out = append(out, v1alpha1.PrometheusFilter{Is: is}, v1alpha1.PrometheusFilter{IsNot: isNot})
		case is != "" || isNot != "":
			out = append(out, v1alpha1.PrometheusFilter{Is: is, IsNot: isNot})
		default:
			a.note(fmt.Sprintf("%s.seriesFilters[%d]", path, i), NotMapped, "it has neither is nor isNot")
		}
	}
	return out
}

// resources converts what labels name; false where the rule cannot be.
func (a *adapterRules) resources(path string, fields map[string]any, rule *v1alpha1.PrometheusRule) bool {
	rule.Resources.Template = text(fields, "template")
	overrides, _ := fields["overrides"].(map[string]any)
	for _, label := range slices.Sorted(maps.Keys(overrides)) {
		resource, _ := overrides[label].(map[string]any)
		name := strings.ToLower(text(resource, "resource"))
		if name == "" {
			a.note(path+".resources.overrides."+label, NotMapped, "it names no resource")
			continue
		}
		if rule.Resources.Overrides == nil {
			rule.Resources.Overrides = map[string]v1alpha1.PrometheusResource{}
		}
		rule.Resources.Overrides[label] = v1alpha1.PrometheusResource{Group: text(resource, "group"), Resource: name}
	}
	if len(rule.Resources.Overrides) == 0 && rule.Resources.Template == "" {
		a.note(path+".resources", NotMapped, "it names no label of objects: the rule is left out")
		return false
	}
	if namespaced, ok := fields["namespaced"].(bool); ok && !namespaced {
		a.note(path+".resources.namespaced", NotMapped, "it is of external rules: whether objects have namespaces is known of their kind")
	}
	return true
}

// unknown lists the fields of a rule that nothing reads.
func (a *adapterRules) unknown(path string, fields map[string]any) {
	known := []string{"seriesQuery", "seriesFilters", "resources", "name", "metricsQuery"}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(known, field) {
			a.note(path+"."+field, NotMapped, "there is no counterpart")
		}
	}
}

var (
	// oneSeries is a selector of one name, with or without matchers.
	oneSeries = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(.*)\})?$`)
	// byGroup is a grouping by template, which leaves one value for each group.
	byGroup = regexp.MustCompile(`\s*(?:by|BY)\s*\(\s*<<\s*\.GroupBy\s*>>\s*\)`)
	// fields are those of a template that have a value of their own here.
	seriesField   = regexp.MustCompile(`<<\s*\.Series\s*>>`)
	matchersField = regexp.MustCompile(`<<\s*\.LabelMatchers\s*>>`)
)

// external converts a rule of external metrics where it is about one series of no
// namespace: then it is one query. Any other makes a metric of each series that
// it finds, in each namespace, and that no source of ours does.
func (a *adapterRules) external(path, config string, value any) {
	fields, _ := value.(map[string]any)
	series := oneSeries.FindStringSubmatch(strings.TrimSpace(text(fields, "seriesQuery")))
	resources, _ := fields["resources"].(map[string]any)
	namespaced, set := resources["namespaced"].(bool)
	template := text(fields, "metricsQuery")
	switch {
	case series == nil:
		a.note(path, NotMapped, "it makes a metric of each series that it finds: write a MetricSource with a query of its own for each metric that an HPA names")
		return
	case template == "":
		a.note(path+".metricsQuery", NotMapped, "there is none")
		return
	case !set || namespaced:
		a.note(path, NotMapped, "it gives each namespace a value of its own: write a MetricSource into each, with the query %s",
			fill(template, series[1], matchersOf(series[2], `namespace="NAMESPACE"`)))
		return
	}
	name := series[1]
	if given, ok := fields["name"].(map[string]any); ok {
		name = renamed(name, text(given, "matches"), text(given, "as"))
	}
	query := fill(template, series[1], series[2])
	if strings.Contains(query, "<<") {
		a.note(path+".metricsQuery", NotMapped, "its template uses more than Series, LabelMatchers and GroupBy")
		return
	}
	a.note(path, Changed, "the selector of an HPA's metric chose among series; here it must match labels of the metric: write what it chose into the query %s", query)
	source := clusterSource(objectName(config+"-"+name), v1alpha1.PrometheusSource{URLs: []string{a.server}, Query: query},
		[]v1alpha1.SourceMetric{{Name: name, Value: v1alpha1.ValueQuery}})
	a.unknown(path, fields)
	a.r.add(a.object, path, source)
}

func matchersOf(given, more string) string {
	if strings.TrimSpace(given) == "" {
		return more
	}
	return given + "," + more
}

// fill writes a template out, without the grouping that would give many values.
func fill(template, series, matchers string) string {
	query := byGroup.ReplaceAllLiteralString(template, "")
	query = seriesField.ReplaceAllLiteralString(query, series)
	return matchersField.ReplaceAllLiteralString(query, matchers)
}

// renamed is a series' name as a rule makes it.
func renamed(series, matches, as string) string {
	if matches == "" {
		matches = ".*"
	}
	expression, err := regexp.Compile("^(?:" + matches + ")$")
	if err != nil || !expression.MatchString(series) {
		return series
	}
	if as == "" {
		as = "$0"
		if expression.NumSubexp() == 1 {
			as = "$1"
		}
	}
	return expression.ReplaceAllString(series, as)
}

// objectName makes a name of an object of a metric's.
func objectName(name string) string {
	name = strings.Map(func(r rune) rune {
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') || r == '-' || r == '.' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
	return cut(strings.Trim(name, "-."), 253)
}
