package metricimport

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// converter makes a source of one trigger, or gives false where it cannot, after a
// note that says why.
type converter func(p *params) (made, bool)

// triggers are the types that have a source of ours.
var triggers = map[string]converter{
	"prometheus":             prometheus,
	"rabbitmq":               rabbitMQ,
	"kafka":                  kafka,
	"apache-kafka":           kafka,
	"redis":                  redisList("Single"),
	"redis-cluster":          redisList("Cluster"),
	"redis-sentinel":         redisList("Sentinel"),
	"redis-streams":          redisStream("Single"),
	"redis-cluster-streams":  redisStream("Cluster"),
	"redis-sentinel-streams": redisStream("Sentinel"),
	"nats-jetstream":         natsJetStream,
	"external":               external(false),
	"external-push":          external(true),
	"metrics-api":            metricsAPI,
	"postgresql":             postgreSQL,
	"mysql":                  mySQL,
	"beanstalkd":             beanstalkd,
}

func prometheus(p *params) (made, bool) {
	server := p.or("serverAddress", "prometheus.urls", "http://"+openHost+":9090")
	query, ok := p.text("query", "prometheus.query")
	if !ok {
		p.note("query", NotMapped, "there is none")
		return made{}, false
	}
	source := &v1alpha1.PrometheusSource{URLs: []string{p.withoutUser("serverAddress", server)}, Query: query}
	for _, pair := range list(p.or("customHeaders", "prometheus.headers", "")) {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			p.note("customHeaders", NotMapped, "a part of it is not of the form NAME=VALUE")
			continue
		}
		if source.Headers == nil {
			source.Headers = map[string]string{}
		}
		source.Headers[strings.TrimSpace(name)] = value
	}
	source.Auth, source.TLS = p.httpAuth("authModes", "bearerToken")
	if p.or("ignoreNullValues", "ignoreNullValues", "true") == "true" {
		p.note("ignoreNullValues", Changed, "a query that gives no sample is an error and not 0: append \" or vector(0)\" where none means none")
	}
	return made{source: v1alpha1.Source{Prometheus: source}, value: v1alpha1.ValueQuery, threshold: "threshold"}, true
}

// httpAuth takes the ways to authenticate over HTTP.
func (p *params) httpAuth(modes, token string) (*v1alpha1.HTTPAuth, *v1alpha1.TLS) {
	chosen := p.or(modes, "auth", "")
	var auth *v1alpha1.HTTPAuth
	for _, mode := range list(chosen) {
		switch mode {
		case "bearer":
			if key := p.credential(token); key != nil {
				auth = &v1alpha1.HTTPAuth{Bearer: key}
			}
		case "basic":
			if basic := p.basic("username", "password"); basic != nil {
				auth = &v1alpha1.HTTPAuth{Basic: basic}
			}
		case "tls", "none":
		default:
			p.note(modes, NotMapped, "%s: requests authenticate by a bearer token, by user and password, or by a client certificate", mode)
		}
	}
	return auth, p.tls(false, "ca", "cert", "key")
}

// withoutUser takes user and password out of a URL, and says where they belong.
func (p *params) withoutUser(name, text string) string {
	u, err := url.Parse(text)
	if err != nil {
		// The text may hold a password, and is not repeated.
		p.note(name, FillIn, "it is no URL")
		return "http://" + openHost
	}
	if u.User != nil {
		p.note(name, FillIn, "it holds a user or password, which were left out: put them into a Secret")
		u.User = nil
	}
	return u.String()
}

// seconds takes a timeout, which is counted in a unit.
func (p *params) timeout(unit time.Duration) time.Duration {
	text, ok := p.text("timeout", "timeout")
	if !ok {
		return 0
	}
	number, err := strconv.ParseInt(text, 10, 32)
	if err != nil || number < 1 {
		p.note("timeout", NotMapped, "%q is no number above 0", text)
		return 0
	}
	return min(max(time.Duration(number)*unit, 100*time.Millisecond), time.Minute)
}

// plainPath are names with dots between them: what a JSONPath says as well.
var plainPath = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

func metricsAPI(p *params) (made, bool) {
	address := p.withoutUser("url", p.or("url", "http.url", "http://"+openHost+"/"))
	if !strings.HasPrefix(address, "http") {
		address = "http://" + openHost + "/"
	}
	source := &v1alpha1.HTTPSource{URL: address}
	location := p.or("valueLocation", "http.jsonPath", "")
	switch format := p.or("format", "http", "json"); {
	case format == "prometheus":
		source.OpenMetrics = location
	case format != "json":
		p.note("format", NotMapped, "documents are JSON or OpenMetrics: of %s there is no source", format)
		return made{}, false
	case plainPath.MatchString(location):
		source.JSONPath = jsonPath(location)
	default:
		p.note("valueLocation", FillIn, "%q is no plain path: write it as a JSONPath in place of {.value}", location)
		source.JSONPath = "{.value}"
	}
	source.Auth, source.TLS = p.httpAuth("authMode", "token")
	return made{source: v1alpha1.Source{HTTP: source}, value: v1alpha1.ValueQuery, threshold: "targetValue"}, true
}

func jsonPath(location string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(location, ".") {
		switch {
		case strings.Trim(part, "0123456789") == "":
			b.WriteString("[" + part + "]")
		case strings.Contains(part, "-"):
			b.WriteString("['" + part + "']")
		default:
			b.WriteString("." + part)
		}
	}
	return "{" + b.String() + "}"
}

func natsJetStream(p *params) (made, bool) {
	monitoring := p.or("natsServerMonitoringEndpoint", "natsJetStream.servers", openHost+":8222")
	host := monitoring
	if i := strings.LastIndex(monitoring, ":"); i >= 0 {
		host = monitoring[:i]
	}
	p.note("natsServerMonitoringEndpoint", FillIn, "the server's own port is asked and not its monitoring endpoint: 4222 is assumed, and credentials where the server wants them")
	if account, ok := p.text("account", "natsJetStream.credentials"); ok && account != "$G" {
		p.note("account", FillIn, "the account follows from the credentials: give those of a user of %s", account)
	}
	p.unused("useHttps")
	stream, hasStream := p.text("stream", "natsJetStream.stream")
	consumer, hasConsumer := p.text("consumer", "natsJetStream.consumer")
	if !hasStream || !hasConsumer {
		p.note("consumer", NotMapped, "it needs stream and consumer")
		return made{}, false
	}
	return made{
		source: v1alpha1.Source{NATSJetStream: &v1alpha1.NATSJetStreamSource{
			Servers: []string{"nats://" + host + ":4222"}, Stream: stream, Consumer: consumer,
		}},
		value: v1alpha1.ValueDepth, threshold: "lagThreshold", otherwise: "10",
	}, true
}

// external makes the source of a scaler that speaks KEDA's protocol. It is told
// the old object's name, for what it keeps by it.
func external(push bool) converter {
	return func(p *params) (made, bool) {
		source := &v1alpha1.ExternalGRPCSource{
			Address:      joinPort(p.or("scalerAddress", "externalGRPC.address", openHost), "443"),
			TLS:          p.tls(false, "caCert", "tlsClientCert", "tlsClientKey"),
			ScaledObject: &v1alpha1.ScaledObjectName{Name: p.object.GetName()},
			Push:         &push,
			Metadata:     map[string]string{},
		}
		if p.has("tlsCertFile") {
			p.unused("tlsCertFile")
			p.note("tlsCertFile", FillIn, "it is a file of KEDA's own container: put the certificate into a Secret and name it in tls.ca")
		}
		for key, value := range p.metadata {
			switch {
			case p.taken[key] || strings.HasPrefix(strings.ToLower(key), "activation"):
			case strings.HasSuffix(key, "FromEnv"):
				// Noted below, in order.
			default:
				p.unused(key)
				source.Metadata[key] = value
			}
		}
		if name, ok := p.metadata["metricName"]; ok {
			source.Metadata["metricName"] = name // the scaler hears of it too
		}
		for _, key := range slices.Sorted(maps.Keys(p.metadata)) {
			if strings.HasSuffix(key, "FromEnv") && !p.taken[key] {
				p.unused(key)
				p.note(key, FillIn, "it is in variable %s of the workload's container: put it into a Secret and name it in externalGRPC.metadataFrom", p.metadata[key])
			}
		}
		return made{source: v1alpha1.Source{ExternalGRPC: source}, value: v1alpha1.ValueQuery}, true
	}
}

func beanstalkd(p *params) (made, bool) {
	source := &v1alpha1.BeanstalkdSource{
		Address: joinPort(p.or("server", "beanstalkd.address", openHost), "11300"),
		Tube:    p.or("tube", "beanstalkd.tube", "default"),
	}
	if p.flag("includeDelayed") {
		p.note("includeDelayed", Changed, "value Depth counts what is ready and reserved; value Delayed is served beside it")
	}
	return made{source: v1alpha1.Source{Beanstalkd: source}, value: v1alpha1.ValueDepth, threshold: "value", timeout: p.timeout(time.Second)}, true
}

// sqlTLS takes PostgreSQL's sslmode.
func (p *params) sqlTLS() *v1alpha1.TLS {
	switch mode := p.or("sslmode", "postgreSQL.tls", "disable"); mode {
	case "disable":
		return nil
	case "require":
		p.note("sslmode", Changed, "require checks no certificate, and neither does tls.insecureSkipVerify: name a CA in tls.ca in its place")
		return &v1alpha1.TLS{InsecureSkipVerify: true}
	case "verify-ca", "verify-full":
		p.note("sslmode", FillIn, "%s: name the CA in tls.ca where it is not one of the system's", mode)
		return &v1alpha1.TLS{}
	default:
		p.note("sslmode", Changed, "%s may go without TLS: the source has it or has it not, and was made without", mode)
		return nil
	}
}

func postgreSQL(p *params) (made, bool) {
	p.connection("connection", "postgreSQL.address, .database and .credentials")
	source := &v1alpha1.PostgreSQLSource{
		Address:   p.address("host", "5432", "postgreSQL.address"),
		Database:  p.or("dbName", "postgreSQL.database", "fill-in"),
		Statement: p.or("query", "postgreSQL.statement", "SELECT 1"),
		TLS:       p.sqlTLS(),
	}
	source.Credentials = p.needed("userName", "password")
	return made{source: v1alpha1.Source{PostgreSQL: source}, value: v1alpha1.ValueQuery, threshold: "targetQueryValue"}, true
}

func mySQL(p *params) (made, bool) {
	p.connection("connectionString", "mySQL.address, .database and .credentials")
	source := &v1alpha1.MySQLSource{
		Address:   p.address("host", "3306", "mySQL.address"),
		Database:  p.or("dbName", "mySQL.database", "fill-in"),
		Statement: p.or("query", "mySQL.statement", "SELECT 1"),
	}
	source.Credentials = p.needed("username", "password")
	return made{source: v1alpha1.Source{MySQL: source}, value: v1alpha1.ValueQuery, threshold: "queryValue"}, true
}

// connection takes a whole connection string, whose parts are fields here.
func (p *params) connection(name, fields string) {
	if !p.has(name) {
		return
	}
	p.unused(name, name+"FromEnv")
	p.note(name, FillIn, "a connection string is of many parts: write them into %s", fields)
}

// needed takes a user and a password that a source cannot be without.
func (p *params) needed(user, password string) v1alpha1.BasicAuth {
	if basic := p.basic(user, password); basic != nil {
		return *basic
	}
	return v1alpha1.BasicAuth{Username: *p.open(user, "there is none, and one is needed"), Password: *p.open(password, "there is none, and one is needed")}
}

// partitions reads "1,2,10-20".
func partitions(text string) ([]int32, error) {
	var out []int32
	for _, part := range list(text) {
		low, high, isRange := strings.Cut(part, "-")
		first, err := strconv.ParseInt(low, 10, 32)
		last := first
		if err == nil && isRange {
			last, err = strconv.ParseInt(high, 10, 32)
		}
		if err != nil || first < 0 || last < first || last-first > 1024 || len(out) > 1024 {
			return nil, fmt.Errorf("%q is no list of partitions", text)
		}
		for n := first; n <= last; n++ {
			out = append(out, int32(n)) //nolint:gosec // parsed as 32 bits
		}
	}
	return out, nil
}
