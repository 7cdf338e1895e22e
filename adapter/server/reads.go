package server

import (
	"net/http"
	"strings"

	genericapifilters "k8s.io/apiserver/pkg/endpoints/filters"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericfilters "k8s.io/apiserver/pkg/server/filters"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"k8s.io/metrics/pkg/apis/external_metrics"
	"k8s.io/utils/clock"
)

// readPaths begin the paths of the metrics APIs.
var readPaths = []string{
	genericapiserver.APIGroupPrefix + "/" + external_metrics.GroupName + "/",
	genericapiserver.APIGroupPrefix + "/" + custom_metrics.GroupName + "/",
}

// impersonates begins the headers by which a caller asks to be taken for another.
const impersonates = "Impersonate-"

// withReads answers the reads of metrics by a chain of their own, and everything
// else by the generic server's.
//
// Reads come by the thousand and are answered from memory. The generic chain spends
// more on each than the answer takes: a goroutine whose stack grows for a time limit
// that memory does not need (the deadline stays, for what is passed on to peers),
// spans that nobody collects, an audit that is not configured. Who asks and what
// they may is settled by the same filters in both, and a caller who impersonates
// goes the generic way.
func withReads(api, generic http.Handler, c *genericapiserver.Config) http.Handler {
	reads := readChain(api, c)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isRead(r) {
			reads.ServeHTTP(w, r)
			return
		}
		generic.ServeHTTP(w, r)
	})
}

func isRead(r *http.Request) bool {
	if r.Method != http.MethodGet || (!strings.HasPrefix(r.URL.Path, readPaths[0]) && !strings.HasPrefix(r.URL.Path, readPaths[1])) {
		return false
	}
	for name := range r.Header {
		if strings.HasPrefix(name, impersonates) {
			return false
		}
	}
	return true
}

// readChain is the generic server's chain without what reads do not need, in the
// same order.
func readChain(api http.Handler, c *genericapiserver.Config) http.Handler {
	authenticate := newKnownCallers(c.Authentication.Authenticator, c.Authentication.RequestHeaderConfig, clock.RealClock{})
	authorize := newWideGrants(c.Authorization.Authorizer, clock.RealClock{})

	handler := genericapifilters.WithAuthorization(api, authorize, c.Serializer)
	handler = genericfilters.WithMaxInFlightLimit(handler, c.MaxRequestsInFlight, c.MaxMutatingRequestsInFlight, c.LongRunningFunc)
	handler = genericapifilters.WithAuthentication(handler, authenticate, genericapifilters.Unauthorized(c.Serializer),
		c.Authentication.APIAudiences, c.Authentication.RequestHeaderConfig)
	handler = genericapifilters.WithWarningRecorder(handler)
	handler = genericapifilters.WithRequestDeadline(handler, c.AuditBackend, c.AuditPolicyRuleEvaluator, c.LongRunningFunc, c.Serializer, c.RequestTimeout)
	handler = genericfilters.WithWaitGroup(handler, c.LongRunningFunc, c.NonLongRunningRequestWaitGroup)
	handler = genericapifilters.WithCacheControl(handler)
	handler = genericapifilters.WithRequestInfo(handler, c.RequestInfoResolver)
	handler = genericapifilters.WithRequestReceivedTimestamp(handler)
	return genericfilters.WithPanicRecovery(handler, c.RequestInfoResolver)
}
