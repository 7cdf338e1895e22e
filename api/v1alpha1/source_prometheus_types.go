package v1alpha1

// PrometheusSource asks a Prometheus server, or another that speaks its API: one
// instant query (value: Value), or rules that make custom metrics of series.
//
// +kubebuilder:validation:XValidation:rule="[has(self.query), has(self.rules)].exists_one(set, set)",message="prometheus must have exactly one of query, rules"
// +kubebuilder:validation:XValidation:rule="!has(self.sampledAt) || has(self.query)",message="sampledAt is used with query only: rules find the time of their samples by themselves"
type PrometheusSource struct {
	// urls of the roots of servers that hold the same data, such as both of a
	// highly available pair: http://prometheus.monitoring:9090. One is asked for as
	// long as it answers, and then the next.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.all(u, u.matches('^https?://[^@?#\\\\s]+$'))",message="urls must begin with http:// or https:// and hold no user, password or query: credentials go into auth"
	URLs []string `json:"urls"`
	// query in PromQL. It must give one sample: no sample is an error, not 0, and
	// so are several.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	Query string `json:"query,omitempty"`
	// sampledAt is a query in PromQL that gives the time of the data that query
	// reads, in seconds since 1970, such as min(push_time_seconds{job="orders"}).
	// Without it the time is that of the oldest of the newest samples of all series
	// that query selects.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	SampledAt string `json:"sampledAt,omitempty"`
	// rules make custom metrics about Kubernetes objects of the server's series.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Rules []PrometheusRule `json:"rules,omitempty"`
	// headers are sent with every request, such as X-Scope-OrgID for the tenant of a
	// store of many. Credentials go into auth.
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	// +kubebuilder:validation:XValidation:rule="self.all(name, name.size() <= 64 && name.matches('^[A-Za-z0-9-]+$') && !(name.lowerAscii() in ['authorization', 'proxy-authorization', 'cookie', 'host', 'connection', 'content-length', 'content-type', 'transfer-encoding', 'accept-encoding', 'upgrade', 'te', 'trailer']))",message="headers must have names such as X-Scope-OrgID, and none that authenticates or steers the connection: credentials go into auth"
	// +kubebuilder:validation:XValidation:rule="self.all(name, self[name].size() <= 256 && self[name].matches('^[ -~]*$'))",message="headers must have values of at most 256 printable ASCII characters"
	Headers map[string]string `json:"headers,omitempty"`
	// auth of the requests.
	// +optional
	Auth *HTTPAuth `json:"auth,omitempty"`
	// tls of the connection.
	// +optional
	TLS *TLS `json:"tls,omitempty"`
}

// PrometheusRule makes custom metrics of the series that a selector finds, as a
// rule of prometheus-adapter does. Templates are written with << and >>.
type PrometheusRule struct {
	// series is the selector of the series, such as
	// {__name__=~"^http_.*_total$",namespace!="",pod!=""}.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Series string `json:"series"`
	// filters leave out series by their names. All must hold.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Filters []PrometheusFilter `json:"filters,omitempty"`
	// resources say which label names which kind of object.
	Resources PrometheusResources `json:"resources"`
	// name of the metric, where it is not the series' own.
	// +optional
	Name *PrometheusName `json:"name,omitempty"`
	// query is the template of the query in PromQL, by default
	// sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>).
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	Query string `json:"query,omitempty"`
	// labels of the series are kept beside those that name the object, for the
	// selectors of metrics. They are part of <<.GroupBy>>.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:Pattern=`^[a-zA-Z_][a-zA-Z0-9_]*$`
	Labels []string `json:"labels,omitempty"`
}

// PrometheusFilter is a regular expression on the names of series, unanchored.
//
// +kubebuilder:validation:XValidation:rule="[has(self.is), has(self.isNot)].exists_one(set, set)",message="a filter must have exactly one of is, isNot"
type PrometheusFilter struct {
	// is must match the name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Is string `json:"is,omitempty"`
	// isNot must not match it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	IsNot string `json:"isNot,omitempty"`
}

// PrometheusResources say which label of a series names which kind of object.
//
// +kubebuilder:validation:XValidation:rule="has(self.overrides) || has(self.template)",message="resources must have overrides, template or both"
type PrometheusResources struct {
	// overrides are kinds of objects by label.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	Overrides map[string]PrometheusResource `json:"overrides,omitempty"`
	// template gives the label of a kind of objects, such as kube_<<.Resource>> or
	// <<.Group>>_<<.Resource>> (dots of a group become underscores, a resource is in
	// the singular). Labels that name no kind of the cluster are not used.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Template string `json:"template,omitempty"`
}

// PrometheusResource is a kind of objects.
type PrometheusResource struct {
	// group of the API, empty for the core's.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9.-]*$`
	Group string `json:"group,omitempty"`
	// resource, in the plural or in the singular: pods, pod.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9-]*$`
	Resource string `json:"resource"`
}

// PrometheusName makes a metric's name of a series' name.
type PrometheusName struct {
	// matches is a regular expression on the series' name, by default .*
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Matches string `json:"matches,omitempty"`
	// as is the metric's name; $1 or ${1} is the first group of matches. By default
	// $1 where matches has one group, and $0 where it has none.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	As string `json:"as,omitempty"`
}
