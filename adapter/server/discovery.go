package server

import (
	"net/http"
	"slices"
	"sync"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	"k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	"k8s.io/klog/v2"
	custommetricsv1beta1 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta1"
	custommetricsv1beta2 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	externalmetricsv1beta1 "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"
)

// liveDiscovery answers aggregated discovery, which the aggregation layer asks
// for first, with what the providers list at that moment. Custom-metrics-apiserver
// answers the older form only, beside an aggregated document without any group:
// with that alone the cluster lists the API as one without resources.
type liveDiscovery struct {
	aggregated.ResourceManager

	mu     sync.Mutex
	groups []*liveGroup
}

// liveGroup is one API group whose resources change, in all of its versions.
type liveGroup struct {
	lister   discovery.APIResourceLister
	versions []schema.GroupVersion
	// listed is what the document was last made of.
	listed []metav1.APIResource
}

func newLiveDiscovery(p providers) *liveDiscovery {
	return &liveDiscovery{ResourceManager: aggregated.NewResourceManager("apis"), groups: []*liveGroup{
		{lister: provider.NewExternalMetricResourceLister(p.external), versions: []schema.GroupVersion{externalmetricsv1beta1.SchemeGroupVersion}},
		{
			lister:   provider.NewCustomMetricResourceLister(p.custom),
			versions: []schema.GroupVersion{custommetricsv1beta2.SchemeGroupVersion, custommetricsv1beta1.SchemeGroupVersion},
		},
	}}
}

// ServeHTTP brings the document up to date and serves it.
func (d *liveDiscovery) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	for _, group := range d.groups {
		d.refresh(group)
	}
	d.mu.Unlock()
	d.ResourceManager.ServeHTTP(w, r)
}

func (d *liveDiscovery) refresh(group *liveGroup) {
	listed := group.lister.ListAPIResources()
	if group.listed != nil && slices.EqualFunc(listed, group.listed, sameResource) {
		return
	}
	resources, err := endpoints.ConvertGroupVersionIntoToDiscovery(listed)
	if err != nil {
		klog.ErrorS(err, "Could not describe the metrics for discovery", "group", group.versions[0].Group)
		return
	}
	for _, v := range group.versions {
		d.AddGroupVersion(v.Group, apidiscoveryv2.APIVersionDiscovery{
			Version: v.Version, Resources: resources, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent,
		})
	}
	group.listed = listed
}

// sameResource compares what differs between the metrics of one group.
func sameResource(a, b metav1.APIResource) bool {
	return a.Name == b.Name && a.Namespaced == b.Namespaced && a.Kind == b.Kind
}
