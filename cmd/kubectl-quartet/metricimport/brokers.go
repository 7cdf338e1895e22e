package metricimport

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

func rabbitMQ(p *params) (made, bool) {
	queue, ok := p.text("queueName", "rabbitMQ.queue")
	if !ok {
		p.note("queueName", NotMapped, "there is none")
		return made{}, false
	}
	mode := p.or("mode", "metrics[].value", "QueueLength")
	regex, ready := p.flag("useRegex"), p.flag("excludeUnacknowledged")
	source := &v1alpha1.RabbitMQSource{}
	p.rabbitURL(source, mode == "MessageRate" || regex || ready)
	overHTTP := strings.HasPrefix(source.URL, "http")
	if vhost, ok := p.text("vhostName", "rabbitMQ.vhost"); ok {
		source.VHost = vhost
	}
	source.Credentials = p.basic("username", "password")
	secure := p.or("tls", "rabbitMQ.tls", "disable") == "enable"
	if source.TLS = p.tls(secure, "ca", "cert", "key"); source.TLS != nil && !strings.HasPrefix(source.URL, "amqps:") && !strings.HasPrefix(source.URL, "https:") {
		source.TLS = nil
		p.note("tls", NotMapped, "the address is not of a secured connection: write amqps:// or https:// into rabbitMQ.url, and tls beside it")
	}
	m := made{source: v1alpha1.Source{RabbitMQ: source}, value: v1alpha1.ValueDepth, threshold: "value", otherwise: "20"}
	if p.has("queueLength") && !p.has("value") {
		m.threshold = "queueLength"
	}
	switch {
	case mode == "MessageRate":
		m.value = v1alpha1.ValueArrivalRate
	case mode != "QueueLength":
		p.note("mode", NotMapped, "%q is neither QueueLength nor MessageRate", mode)
		return made{}, false
	case ready:
		m.value = v1alpha1.ValuePending
	case !overHTTP:
		m.value = v1alpha1.ValuePending
		p.note("protocol", Changed, "over AMQP a broker tells what is ready and not what is being worked on: give the management API's address in rabbitMQ.url for Depth")
	}
	if regex {
		source.QueuePattern = wholeNames(queue)
		if operation := p.or("operation", "operation", "sum"); operation != "sum" {
			p.note("operation", NotMapped, "queues of a pattern are summed up: %s is not served", operation)
		}
	} else {
		source.Queue = queue
		p.unused("operation")
	}
	p.unused("pageSize")
	m.timeout = p.timeout(time.Millisecond)
	return m, true
}

// wholeNames makes an expression that matches anywhere in a name one that matches
// whole names.
func wholeNames(expression string) string {
	begins, ends := strings.HasPrefix(expression, "^"), strings.HasSuffix(expression, "$") && !strings.HasSuffix(expression, `\$`)
	if strings.Contains(expression, "|") {
		begins, ends = false, false
	}
	before, after := ".*", ".*"
	if begins {
		before, expression = "", expression[1:]
	}
	if ends {
		after, expression = "", expression[:len(expression)-1]
	}
	if strings.Contains(expression, "|") {
		expression = "(?:" + expression + ")"
	}
	if strings.HasPrefix(expression, ".*") {
		before = ""
	}
	if strings.HasSuffix(expression, ".*") {
		after = ""
	}
	return before + expression + after
}

// rabbitURL takes host, of which the path's last part is the virtual host.
func (p *params) rabbitURL(source *v1alpha1.RabbitMQSource, http bool) {
	protocol := p.or("protocol", "rabbitMQ.url", "auto")
	text, ok := p.text("host", "rabbitMQ.url, and its last part into rabbitMQ.vhost")
	if !ok {
		if !p.has("host") {
			p.note("host", FillIn, "there is none: write it into rabbitMQ.url")
		}
		source.URL = "http://" + openHost + ":15672"
		if protocol == "amqp" && !http {
			source.URL = "amqp://" + openHost + ":5672"
		}
		return
	}
	u, err := url.Parse(p.withoutUser("host", text))
	if err != nil || !slices.Contains([]string{"amqp", "amqps", "http", "https"}, u.Scheme) || u.Host == "" {
		p.note("host", FillIn, "it is no address of a broker: write one into rabbitMQ.url")
		source.URL = "http://" + openHost + ":15672"
		return
	}
	path := u.EscapedPath()
	i := strings.LastIndex(path, "/")
	if i >= 0 {
		if vhost, err := url.PathUnescape(path[i+1:]); err == nil && vhost != "" {
			source.VHost = vhost
		}
		path = path[:i]
	}
	if u.RawQuery != "" {
		p.note("host", NotMapped, "what stands behind ? in it is left out")
	}
	source.URL = u.Scheme + "://" + u.Host
	if strings.HasPrefix(u.Scheme, "http") {
		source.URL += path
	} else if http {
		p.note("host", FillIn, "this needs the management API: write its address into rabbitMQ.url")
		source.URL = "http://" + u.Hostname() + ":15672"
	}
}

// mechanisms are KEDA's names of those that are served.
var mechanisms = map[string]string{"plaintext": "PLAIN", "scram_sha256": "SCRAM-SHA-256", "scram_sha512": "SCRAM-SHA-512"}

func kafka(p *params) (made, bool) {
	source := &v1alpha1.KafkaSource{Group: p.or("consumerGroup", "kafka.group", "")}
	if source.Group == "" {
		source.Group = p.or("group", "kafka.group", "fill-in")
	}
	for _, broker := range list(p.or("bootstrapServers", "kafka.brokers", openHost+":9092")) {
		source.Brokers = append(source.Brokers, joinPort(broker, "9092"))
	}
	source.Topics = list(p.or("topic", "kafka.topics", ""))
	source.OffsetReset = "Latest"
	if p.or("offsetResetPolicy", "kafka.offsetReset", "latest") == "earliest" {
		source.OffsetReset = "Earliest"
	}
	p.kafkaPartitions(source)
	p.kafkaSecurity(source)
	for _, name := range []string{"scaleToZeroOnInvalidOffset", "excludePersistentLag"} {
		if p.flag(name) {
			p.note(name, NotMapped, "there is no counterpart")
		}
	}
	p.unused("version") // agreed upon with the brokers
	return made{source: v1alpha1.Source{Kafka: source}, value: v1alpha1.ValueDepth, threshold: "lagThreshold", otherwise: "5"}, true
}

func (p *params) kafkaPartitions(source *v1alpha1.KafkaSource) {
	if text, ok := p.text("partitionLimitation", "kafka.partitions"); ok {
		numbers, err := partitions(text)
		switch {
		case err != nil:
			p.note("partitionLimitation", NotMapped, "%v", err)
		case len(source.Topics) != 1:
			p.note("partitionLimitation", NotMapped, "partitions are numbers within one topic, and %d are named", len(source.Topics))
		default:
			source.Partitions = numbers
		}
	}
	withLag, idle := p.flag("limitToPartitionsWithLag"), p.flag("allowIdleConsumers")
	if idle && !withLag {
		return
	}
	each, err := strconv.ParseInt(p.or("lagThreshold", "the HPA's target", "5"), 10, 32)
	if err != nil || each < 1 {
		p.note("lagThreshold", NotMapped, "it is no whole number above 0, so limitToPartitions was left out")
		return
	}
	source.LimitToPartitions = &v1alpha1.KafkaPartitionLimit{MessagesPerWorker: int32(each)} //nolint:gosec // parsed as 32 bits
	if !withLag {
		p.note("allowIdleConsumers", Changed, "limitToPartitions counts no more than %d messages of each partition, so that replicas are as many as partitions have work for; before, they were as many as there are partitions", each)
	}
}

func (p *params) kafkaSecurity(source *v1alpha1.KafkaSource) {
	secure := p.or("tls", "kafka.tls", "disable") == "enable"
	source.TLS = p.tls(secure, "ca", "cert", "key")
	if source.TLS != nil && !secure {
		p.note("tls", Changed, "a certificate is given, so the connection was made to have TLS")
	}
	mechanism, known := p.text("sasl", "kafka.sasl.mechanism")
	if known && mechanism == "none" {
		return
	}
	if known && mechanisms[mechanism] == "" {
		p.note("sasl", NotMapped, "of SASL there are PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512, and not %s", mechanism)
		return
	}
	basic := p.basic("username", "password")
	switch {
	case basic == nil && !known:
		return
	case basic == nil:
		open := p.needed("username", "password")
		basic = &open
	case !known:
		mechanism = "plaintext"
		p.note("sasl", FillIn, "the mechanism is not known: PLAIN is assumed in kafka.sasl.mechanism")
	}
	source.SASL = &v1alpha1.KafkaSASL{Mechanism: mechanisms[mechanism], BasicAuth: *basic}
}

// redis takes what every trigger of Redis has.
func (p *params) redis(topology string) *v1alpha1.RedisSource {
	source := &v1alpha1.RedisSource{Topology: topology}
	if topology == "Single" {
		source.Addresses = []string{p.address("address", "6379", "redis.addresses")}
	} else {
		source.Addresses = p.redisAddresses()
	}
	if number, ok := p.text("databaseIndex", "redis.database"); ok {
		index, err := strconv.ParseInt(number, 10, 32)
		if err != nil || index < 0 {
			p.note("databaseIndex", NotMapped, "%q is no number of a database", number)
		} else if topology != "Cluster" {
			source.Database = int32(index)
		}
	}
	source.Credentials = p.basic("username", "password")
	if topology == "Sentinel" {
		source.SentinelMaster = p.or("sentinelMaster", "redis.sentinelMaster", "fill-in")
		source.SentinelCredentials = p.basic("sentinelUsername", "sentinelPassword")
	}
	secure := p.flag("enableTLS") || p.or("tls", "redis.tls", "disable") == "enable"
	source.TLS = p.tls(secure, "ca", "cert", "key")
	return source
}

func (p *params) redisAddresses() []string {
	if addresses := list(p.or("addresses", "redis.addresses", "")); len(addresses) > 0 {
		p.unused("hosts", "ports")
		return addresses
	}
	hosts, ports := list(p.or("hosts", "redis.addresses", openHost)), strings.Split(p.or("ports", "redis.addresses", "6379"), ",")
	for i, host := range hosts {
		hosts[i] = joinPort(host, strings.TrimSpace(ports[min(i, len(ports)-1)]))
	}
	if hosts[0] == openHost+":6379" && !p.has("hosts") && !p.has("addresses") {
		p.note("addresses", FillIn, "there are none: write them into redis.addresses")
	}
	return hosts
}

func redisList(topology string) converter {
	return func(p *params) (made, bool) {
		source := p.redis(topology)
		source.List = p.or("listName", "redis.list", "fill-in")
		return made{source: v1alpha1.Source{Redis: source}, value: v1alpha1.ValueDepth, threshold: "listLength", otherwise: "5"}, true
	}
}

func redisStream(topology string) converter {
	return func(p *params) (made, bool) {
		source := p.redis(topology)
		group, ok := p.text("consumerGroup", "redis.stream.group")
		if !ok {
			p.note("consumerGroup", NotMapped, "a stream is read as a consumer group sees it, and there is none")
			return made{}, false
		}
		source.Stream = &v1alpha1.RedisStream{Key: p.or("stream", "redis.stream.key", "fill-in"), Group: group}
		m := made{source: v1alpha1.Source{Redis: source}, value: v1alpha1.ValueAckPending, threshold: "pendingEntriesCount", otherwise: "5"}
		switch {
		case p.has("pendingEntriesCount"):
		case p.has("lagCount"):
			m.value, m.threshold = v1alpha1.ValuePending, "lagCount"
		case p.has("streamLength"):
			p.note("streamLength", NotMapped, "the length of a stream counts what was worked on long ago: choose Depth of the group")
			return made{}, false
		}
		return m, true
	}
}
