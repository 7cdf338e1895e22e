package server

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/adapter/builtin"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/formula"
	httpsource "github.com/quartet-autoscaling/quartet/adapter/source/http"
	"github.com/quartet-autoscaling/quartet/adapter/source/prometheus"
)

// builders are the kinds of sources that are served. One that needs nothing but
// its object and Secrets is listed in adapter/builtin, for kubectl-quartet too.
//
// Objects is the cache that others look things up in, kinds knows the cluster's
// kinds of objects, and served is what formulas read.
func builders(objects client.Reader, kinds meta.RESTMapper, served inputs) []source.Builder {
	return append(builtin.Builders(prometheus.ClusterKinds{Mapper: kinds}),
		httpsource.NewBuilder(httpsource.CachedPods{Reader: objects}),
		formula.NewBuilder(served),
	)
}

// cacheOptions are those of the cache that builders look things up in. It watches
// a kind of object from when it is first asked for one. The options name no kind,
// since a cache with such options asks the API server about it when it is made.
func cacheOptions(scheme *runtime.Scheme) cache.Options {
	strip := cache.TransformStripManagedFields()
	return cache.Options{Scheme: scheme, DefaultTransform: func(object any) (any, error) {
		if _, isPod := object.(*corev1.Pod); isPod {
			return httpsource.ReadinessOnly(object)
		}
		return strip(object)
	}}
}
