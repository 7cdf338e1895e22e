package server

import (
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver"
)

// metricSelector is the parameter that chooses among the series of one metric and
// object.
const metricSelector = "metricLabelSelector"

// checkSelectors refuses a selector that is none as what it is, a bad request:
// custom-metrics-apiserver answers 500 to it.
func checkSelectors(api http.Handler) http.Handler {
	prefix := genericapiserver.APIGroupPrefix + "/" + custom_metrics.GroupName + "/"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, prefix) {
			if _, err := labels.Parse(r.URL.Query().Get(metricSelector)); err != nil {
				bad := apierrors.NewBadRequest(fmt.Sprintf("%s: %v", metricSelector, err))
				responsewriters.ErrorNegotiated(bad, apiserver.Codecs, schema.GroupVersion{Version: "v1"}, w, r)
				return
			}
		}
		api.ServeHTTP(w, r)
	})
}
