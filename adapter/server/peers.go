package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"k8s.io/metrics/pkg/apis/external_metrics"
	"k8s.io/utils/clock"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/quartet-autoscaling/quartet/adapter/server/peer"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// peerFlag is the name of the flag of rules.
const peerFlag = "external-metrics-peer"

// peerOptions are the adapters that reads of external metrics are passed on to.
type peerOptions struct {
	texts []string
	rules []peer.Rule
}

var _ runtimeflags.Options = (*peerOptions)(nil)

// AddFlags registers the flag.
func (o *peerOptions) AddFlags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&o.texts, peerFlag, nil, "Another adapter, to pass reads of external metrics on to that no object serves; may be given several times, the first that covers a metric is asked. "+
		"Keys: name=, service=NAMESPACE/NAME:PORT, metrics=REGEXP, ca-file= (or insecure-skip-verify=true); and, if wanted, namespaces=A,B, token-file=, timeout=5s, max-age=. "+
		"Example: name=keda,service=keda/keda-operator-metrics-apiserver:443,metrics=^s[0-9]+-,ca-file=/etc/quartet/peers/keda.crt.")
}

// Validate reads the rules.
func (o *peerOptions) Validate() error {
	o.rules = nil
	for _, text := range o.texts {
		rule, err := peer.ParseRule(text)
		if err != nil {
			return runtimeflags.Invalid(peerFlag, "%v", err)
		}
		if slices.ContainsFunc(o.rules, func(other peer.Rule) bool { return other.Name == rule.Name }) {
			return runtimeflags.Invalid(peerFlag, "two peers have the name %s", rule.Name)
		}
		o.rules = append(o.rules, rule)
	}
	return nil
}

// newPeers makes the peers of the rules. They are called with the token of the
// connection, which is that of our ServiceAccount.
func newPeers(o *peerOptions, connection *rest.Config) (*peer.Set, error) {
	observer := newPeerMetrics()
	if err := errors.Join(telemetry.Registry.Register(observer.requests), telemetry.Registry.Register(observer.took)); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	set, err := peer.NewSet(o.rules, peer.Config{
		Token: connection.BearerToken, TokenFile: connection.BearerTokenFile, Clock: clock.RealClock{}, Observer: observer,
	})
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", peerFlag, err)
	}
	return set, nil
}

// refuseSelf keeps reads from going round in a circle.
func (o *peerOptions) refuseSelf(namespace string) error {
	for _, rule := range o.rules {
		if rule.Namespace == namespace && rule.Service == Name {
			return fmt.Errorf("--%s: %s is this adapter itself", peerFlag, rule)
		}
	}
	return nil
}

// passOn asks the peer that covers a metric, or gives false where none does.
func (p *externalProvider) passOn(ctx context.Context, namespace, metric string, selector labels.Selector,
) (list *external_metrics.ExternalMetricValueList, covered bool, err error) {
	to := p.peers.Find(namespace, metric)
	if to == nil {
		return nil, false, nil
	}
	text := ""
	if selector != nil {
		text = selector.String()
	}
	list, err = to.Get(ctx, namespace, metric, text)
	var failure *peer.Error
	switch {
	case err == nil:
		p.observer.Read("passedOn")
		return list, true, nil
	case errors.As(err, &failure) && failure.Reason == peer.ReasonNotFound:
		p.observer.Read("notFound")
		return nil, true, notFound(metric, failure.Error())
	case errors.As(err, &failure):
		p.observer.Read(failure.Reason)
		return nil, true, unavailable(metric, decision.Fault{Source: failure.Peer, Reason: failure.Reason, Message: failure.Message})
	}
	return nil, true, err
}

// merged adds the names that peers list to sorted ones of our own.
func (p *externalProvider) merged(own []string) []string {
	listed := p.peers.Names()
	if len(listed) == 0 {
		return own
	}
	all := slices.Concat(own, listed)
	slices.Sort(all)
	return slices.Compact(all)
}

// infos are names as discovery lists them.
func infos(names []string) []provider.ExternalMetricInfo {
	out := make([]provider.ExternalMetricInfo, 0, len(names))
	for _, name := range names {
		out = append(out, provider.ExternalMetricInfo{Metric: name})
	}
	return out
}

// peerMetrics tell of requests to peers. The peers are those of the flags.
type peerMetrics struct {
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
}

var _ peer.Observer = (*peerMetrics)(nil)

func newPeerMetrics() *peerMetrics {
	return &peerMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quartet_adapter_peer_reads_total",
			Help: "Reads of external metrics passed on to other adapters, by peer and result: success, or why not.",
		}, []string{"peer", "result"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "quartet_adapter_peer_read_duration_seconds",
			Help:    "Time that reads passed on to other adapters took, by peer, failed ones included.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"peer"}),
	}
}

// Asked counts a read.
func (m *peerMetrics) Asked(name, result string, took time.Duration) {
	m.requests.WithLabelValues(name, result).Inc()
	m.took.WithLabelValues(name).Observe(took.Seconds())
}
