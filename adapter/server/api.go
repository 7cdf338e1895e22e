package server

import (
	"errors"
	"fmt"
	"net/http"

	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	openapicommon "k8s.io/kube-openapi/pkg/common"
	"k8s.io/utils/clock"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver"
	generatedcore "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/core"
	generatedcustom "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/custommetrics"
	generatedexternal "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/externalmetrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/quartet-autoscaling/quartet/adapter/server/peer"
	"github.com/quartet-autoscaling/quartet/internal/buildinfo"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi"
	"github.com/quartet-autoscaling/quartet/internal/serving"
)

// apiComponent names the group of the last decisions.
const apiComponent = "adapter"

// providers answer the reads of the metrics APIs.
type providers struct {
	external provider.ExternalMetricsProvider
	custom   provider.CustomMetricsProvider
	// chain is what reads go through, withReads; nil leaves them to the generic
	// server's.
	chain func(api, generic http.Handler, c *genericapiserver.Config) http.Handler
}

// providersOf answers from memory, and asks peers for what is not there.
func providersOf(held memory, objects Inventory, peers *peer.Set) providers {
	return providers{
		chain:    withReads,
		external: &externalProvider{table: held.table, clock: clock.RealClock{}, observer: held.metrics, peers: peers},
		custom:   &customProvider{table: held.table, objects: objects, clock: clock.RealClock{}, observer: held.metrics},
	}
}

// newAPI opens the secure port and serves the metrics APIs on it, the last
// decisions, and what is served beside those.
func newAPI(c serving.Config, p providers, last *decisionapi.Store, beside ...decisionapi.Beside) (*serving.Server, error) {
	c.Codecs = &apiserver.Codecs
	generic, err := serving.Build(c)
	if err != nil {
		return nil, err
	}
	describeAPI(generic.Config)
	generic.AggregatedDiscoveryGroupManager = newLiveDiscovery(p)
	chain := generic.BuildHandlerChainFunc
	generic.BuildHandlerChainFunc = func(api http.Handler, c *genericapiserver.Config) http.Handler {
		checked := checkSelectors(api)
		generic := chain(checked, c)
		if p.chain == nil {
			return generic
		}
		return p.chain(checked, generic, c)
	}
	config := apiserver.Config{GenericConfig: generic.Config}
	built, err := config.Complete(nil).New(Name, p.custom, p.external)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("install the metrics APIs: %w", err), generic.SecureServing.Listener.Close())
	}
	if err := decisionapi.InstallGroup(built.GenericAPIServer, decisionapi.GroupName(apiComponent), last, beside...); err != nil {
		return nil, errors.Join(err, generic.SecureServing.Listener.Close())
	}
	return generic.Wrap(built.GenericAPIServer), nil
}

// describeAPI has the server publish OpenAPI, which the aggregation layer and
// kubectl explain read.
func describeAPI(c *genericapiserver.Config) {
	definitions := func(ref openapicommon.ReferenceCallback) map[string]openapicommon.OpenAPIDefinition {
		all := map[string]openapicommon.OpenAPIDefinition{}
		for _, get := range []openapicommon.GetOpenAPIDefinitions{
			generatedcore.GetOpenAPIDefinitions, generatedcustom.GetOpenAPIDefinitions, generatedexternal.GetOpenAPIDefinitions,
		} {
			for name, definition := range get(ref) {
				all[name] = definition
			}
		}
		return all
	}
	namer := openapinamer.NewDefinitionNamer(apiserver.Scheme)
	c.SkipOpenAPIInstallation = false
	c.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, namer)
	c.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
	// Decisions are read only and publish no schema, in no component.
	decisions := []string{genericapiserver.APIGroupPrefix + "/" + decisionapi.GroupName(apiComponent)}
	c.OpenAPIConfig.IgnorePrefixes, c.OpenAPIV3Config.IgnorePrefixes = decisions, decisions
	c.OpenAPIConfig.Info.Title, c.OpenAPIV3Config.Info.Title = Name, Name
	c.OpenAPIConfig.Info.Version, c.OpenAPIV3Config.Info.Version = buildinfo.Get().Version, buildinfo.Get().Version
}
