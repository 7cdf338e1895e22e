package server

import (
	"net/http"
	"slices"
	"sync"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	"k8s.io/apiserver/pkg/endpoints"
	"k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	"k8s.io/klog/v2"
	"k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"
)

// liveDiscovery answers aggregated discovery, which the aggregation layer asks
// for first, with what the provider lists at that moment. Custom-metrics-apiserver
// answers the older form only, beside an aggregated document without any group:
// with that alone the cluster lists the API as one without resources.
type liveDiscovery struct {
	aggregated.ResourceManager
	provider provider.ExternalMetricsProvider

	mu     sync.Mutex
	listed []provider.ExternalMetricInfo
}

func newLiveDiscovery(p provider.ExternalMetricsProvider) *liveDiscovery {
	return &liveDiscovery{ResourceManager: aggregated.NewResourceManager("apis"), provider: p}
}

// ServeHTTP brings the document up to date and serves it.
func (d *liveDiscovery) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.refresh()
	d.ResourceManager.ServeHTTP(w, r)
}

func (d *liveDiscovery) refresh() {
	d.mu.Lock()
	defer d.mu.Unlock()
	listed := d.provider.ListAllExternalMetrics()
	if d.listed != nil && slices.Equal(listed, d.listed) {
		return
	}
	resources, err := endpoints.ConvertGroupVersionIntoToDiscovery(provider.NewExternalMetricResourceLister(d.provider).ListAPIResources())
	if err != nil {
		klog.ErrorS(err, "Could not describe the external metrics for discovery")
		return
	}
	d.AddGroupVersion(v1beta1.SchemeGroupVersion.Group, apidiscoveryv2.APIVersionDiscovery{
		Version: v1beta1.SchemeGroupVersion.Version, Resources: resources,
		Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent,
	})
	d.listed = listed
}
