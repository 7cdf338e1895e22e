package externalgrpc

import (
	"context"
	"sync"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/externalgrpc/externalscaler"
)

// Reasons that only this source has.
const (
	// reasonNoScaler: the server does not serve the protocol.
	reasonNoScaler = "NotAnExternalScaler"
	// reasonNoMetric: the server lists no metric.
	reasonNoMetric = "NoMetricListed"
	// reasonRefused: the scaler answered with an error of its own.
	reasonRefused = "ScalerFailed"
	// reasonAmbiguous: the reply holds several values that could be the one.
	reasonAmbiguous = "AmbiguousReply"
)

// poller asks one server for one metric.
type poller struct {
	query  *grpcQuery
	conn   *sharedConn
	client externalscaler.ExternalScalerClient
	once   sync.Once
	// listed is the first metric of those that the server listed, kept until a
	// poll fails. Polls do not overlap.
	listed string
}

func (p *poller) Close() { p.once.Do(p.conn.release) }

// Poll asks for what the object's metrics need. The protocol carries no time: the
// earliest that a server can have measured is when it was asked.
func (p *poller) Poll(ctx context.Context) (query.Reading, error) {
	reading := query.Reading{At: source.Now(), Gauges: map[query.Kind]query.Gauge{}}
	ref := p.query.ref()
	if p.query.active {
		gauge, err := p.askActive(ctx, ref)
		if err != nil {
			return query.Reading{}, err
		}
		reading.Gauges[Active] = gauge
	}
	if p.query.value {
		gauge, err := p.askValue(ctx, ref)
		if err != nil {
			p.listed = ""
			return query.Reading{}, err
		}
		reading.Gauges[query.Value] = gauge
	}
	return reading, nil
}

func (p *poller) askActive(ctx context.Context, ref *externalscaler.ScaledObjectRef) (query.Gauge, error) {
	reply, err := p.client.IsActive(ctx, ref)
	switch {
	case err != nil:
		return query.Gauge{}, failure(p.query.link.address, "IsActive", err)
	case reply.GetResult():
		return query.NumberOf(1), nil
	}
	return query.NumberOf(0), nil
}

func (p *poller) askValue(ctx context.Context, ref *externalscaler.ScaledObjectRef) (query.Gauge, error) {
	metric, err := p.metric(ctx, ref)
	if err != nil {
		return query.Gauge{}, err
	}
	reply, err := p.client.GetMetrics(ctx, &externalscaler.GetMetricsRequest{ScaledObjectRef: ref, MetricName: metric})
	if err != nil {
		return query.Gauge{}, failure(p.query.link.address, "GetMetrics", err)
	}
	return gaugeOf(reply.GetMetricValues(), metric)
}

// metric is the name to ask for: the object's, or else the first that the server
// lists.
func (p *poller) metric(ctx context.Context, ref *externalscaler.ScaledObjectRef) (string, error) {
	switch {
	case p.query.metric != "":
		return p.query.metric, nil
	case p.listed != "":
		return p.listed, nil
	}
	reply, err := p.client.GetMetricSpec(ctx, ref)
	if err != nil {
		return "", failure(p.query.link.address, "GetMetricSpec", err)
	}
	for _, spec := range reply.GetMetricSpecs() {
		if spec.GetMetricName() != "" {
			p.listed = spec.GetMetricName()
			return p.listed, nil
		}
	}
	return "", source.Errorf(reasonNoMetric, "%s lists no metric (GetMetricSpec): give metricName", p.query.link.address)
}

// gaugeOf finds a metric's value in a reply. Scalers need not name the values:
// a value that is alone is the one that was asked for.
func gaugeOf(values []*externalscaler.MetricValue, metric string) (query.Gauge, error) {
	var named []*externalscaler.MetricValue
	for _, v := range values {
		if v.GetMetricName() == metric {
			named = append(named, v)
		}
	}
	if len(named) == 0 {
		named = values
	}
	switch len(named) {
	case 0:
		return query.Gauge{Presence: query.Empty}, nil
	case 1:
		return numberOf(named[0]), nil
	}
	return query.Gauge{}, source.Errorf(reasonAmbiguous, "the reply holds %d values that could be that of metric %q", len(named), metric)
}

// numberOf takes the float where it is set, and otherwise the integer, which is
// all that older scalers fill. A zero looks like nothing in either.
func numberOf(v *externalscaler.MetricValue) query.Gauge {
	if f := v.GetMetricValueFloat(); f != 0 {
		return query.NumberOf(f)
	}
	return query.NumberOf(float64(v.GetMetricValue()))
}
