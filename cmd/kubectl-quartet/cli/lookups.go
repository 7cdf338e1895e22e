package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	externalv1beta1 "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// clusterReader reads objects of the cluster, and connects when it is first asked.
type clusterReader struct{ config clientcmd.ClientConfig }

func (c clusterReader) connect() (client.Client, error) {
	config, err := c.config.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errNoConnection
	}
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// Get reads one object.
func (c clusterReader) Get(ctx context.Context, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
	connected, err := c.connect()
	if err != nil {
		return err
	}
	return connected.Get(ctx, key, into, options...)
}

// List reads objects.
func (c clusterReader) List(ctx context.Context, into client.ObjectList, options ...client.ListOption) error {
	connected, err := c.connect()
	if err != nil {
		return err
	}
	return connected.List(ctx, into, options...)
}

// readTimeout bounds one read of a metric.
const readTimeout = 10 * time.Second

// clusterMetrics are the external metrics that the cluster serves, whoever does.
type clusterMetrics struct{ config clientcmd.ClientConfig }

// Value reads a metric as an HPA would.
func (c clusterMetrics) Value(namespace, metric string) (float64, time.Time, *decision.Fault) {
	fault := func(reason string, err error) (float64, time.Time, *decision.Fault) {
		return 0, time.Time{}, &decision.Fault{Source: "the cluster", Reason: reason, Message: err.Error()}
	}
	asker, err := newAsker(c.config)
	if err != nil {
		return fault("NotReadable", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	raw, err := asker.get(ctx, "/apis", externalv1beta1.SchemeGroupVersion.Group, externalv1beta1.SchemeGroupVersion.Version, "namespaces", namespace, metric)
	switch {
	case apierrors.IsNotFound(err):
		return fault("MetricNotFound", err)
	case err != nil:
		return fault("NotReadable", err)
	}
	var list externalv1beta1.ExternalMetricValueList
	if err := json.Unmarshal(raw, &list); err != nil {
		return fault("NotReadable", err)
	}
	if len(list.Items) != 1 {
		return fault("NotReadable", fmt.Errorf("the answer holds %d values", len(list.Items)))
	}
	return list.Items[0].Value.AsApproximateFloat64(), list.Items[0].Timestamp.UTC(), nil
}

// Watch tells of no change: a trial polls.
func (c clusterMetrics) Watch(string, string, func()) (stop func()) { return func() {} }
