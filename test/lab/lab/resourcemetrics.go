package lab

import (
	"context"
	"fmt"

	"github.com/quartet-autoscaling/quartet/test/lab/resourcemetrics"
)

const resourceMetricsName = "resource-metrics"

// ResourceMetrics returns the server of metrics.k8s.io that the option of that name asks for, or nil. It knows the
// pods that it is told of, and no others.
func (l *Lab) ResourceMetrics() *resourcemetrics.Server { return l.metrics }

// serveResourceMetrics serves metrics.k8s.io in this process and registers it.
func (l *Lab) serveResourceMetrics(ctx context.Context) error {
	port, err := l.ports.take()
	if err != nil {
		return err
	}
	pair, err := l.authority.main.Serving(resourceMetricsName, resourceMetricsName+".kube-system.svc")
	if err != nil {
		return err
	}
	listener, err := resourcemetrics.Listen(ctx, port)
	if err != nil {
		return fmt.Errorf("%w: %w", errPortTaken, err)
	}
	l.metrics, err = resourcemetrics.Serve(resourcemetrics.Config{
		Listener: listener, Certificate: pair.Certificate, Key: pair.Key, ClientCA: l.authority.frontProxy.Certificate(),
	})
	if err != nil {
		return err
	}
	return l.registerMetricsAPI(ctx, resourceMetricsName, port)
}
