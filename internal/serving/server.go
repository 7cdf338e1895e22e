package serving

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/compatibility"
	"k8s.io/kube-openapi/pkg/common"

	"github.com/quartet-autoscaling/quartet/internal/health"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// Config is what a Server is made of. Name and Options are required.
type Config struct {
	// Name is the binary's, for the log.
	Name    string
	Options *Options
	// Kubeconfig is the path by which authentication and authorization are
	// delegated; empty uses the pod's service account.
	Kubeconfig string
	// Codecs encode what the server itself answers, discovery and errors. Nil
	// means the plain ones; an API library that brings its own passes them here.
	Codecs *serializer.CodecFactory
	// Live and Ready are the checks of /livez and /readyz. Both may be nil.
	Live, Ready []health.Check
	// Streams are answered for as long as their clients stay, by path, to those whom
	// the cluster authenticates and who may get the path. They must end by
	// themselves when the process does.
	Streams map[string]http.Handler
	// Metrics answers /metrics; nil serves all registries of the process.
	Metrics http.Handler
	// ShutdownDelay is how long the server still answers after it has become
	// unready, so that those who route to it notice.
	ShutdownDelay time.Duration
	// Listener takes the place of the options' address and port. For tests.
	Listener net.Listener
}

func (c Config) validate() error {
	switch {
	case c.Name == "":
		return errors.New("serving: Name is required")
	case c.Options == nil:
		return errors.New("serving: Options are required")
	}
	if c.Listener != nil {
		return nil
	}
	return c.Options.Validate()
}

// Server serves one secure port.
type Server struct {
	generic     *genericapiserver.GenericAPIServer
	live, ready *health.Checks
	stopping    chan struct{}
}

// Generic is the generic API server's configuration with everything that the
// suite wants of it, for an API library that builds its own server from one
// (custom-metrics-apiserver does). Hand what it built to Wrap.
type Generic struct {
	*genericapiserver.Config
	name        string
	metrics     http.Handler
	streams     map[string]http.Handler
	live, ready *health.Checks
	stopping    chan struct{}
}

// Build opens the port and prepares the configuration. The port is open from
// here on and answers from Run on.
func Build(c Config) (*Generic, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	g := &Generic{
		name:     c.Name,
		metrics:  c.Metrics,
		streams:  c.Streams,
		live:     &health.Checks{},
		ready:    &health.Checks{},
		stopping: make(chan struct{}),
	}
	if g.metrics == nil {
		g.metrics = telemetry.MetricsHandler()
	}
	if err := errors.Join(g.live.Add(c.Live...), g.ready.Add(c.Ready...), g.ready.Add(g.shutdownCheck())); err != nil {
		return nil, err
	}
	codecs := c.Codecs
	if codecs == nil {
		plain := plainCodecs()
		codecs = &plain
	}
	g.Config = genericapiserver.NewConfig(*codecs)
	g.EffectiveVersion = compatibility.DefaultBuildEffectiveVersion()
	// Metrics and health are our own; profiling and the index stay off.
	g.EnableMetrics, g.EnableProfiling, g.EnableIndex = false, false, false
	g.SkipOpenAPIInstallation, g.OpenAPIV3Config = true, withoutSchemas()
	g.ShutdownDelayDuration = c.ShutdownDelay
	g.RequestTimeout = 30 * time.Second
	g.BuildHandlerChainFunc = g.handlerChain
	others := g.LongRunningFunc
	g.LongRunningFunc = func(r *http.Request, info *apirequest.RequestInfo) bool {
		return c.Streams[r.URL.Path] != nil || others(r, info)
	}
	if err := c.Options.secure(g.Config, c.Listener); err != nil {
		return nil, err
	}
	if err := delegate(g.Config, c.Kubeconfig); err != nil {
		return nil, errors.Join(err, g.SecureServing.Listener.Close())
	}
	return g, nil
}

// plainCodecs encode the types of discovery and errors, and no group's own.
func plainCodecs() serializer.CodecFactory {
	scheme := runtime.NewScheme()
	unversioned := schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(scheme, unversioned)
	scheme.AddUnversionedTypes(unversioned,
		&metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
	return serializer.NewCodecFactory(scheme)
}

// withoutSchemas satisfies the generic server, which asks for schemas so as to
// apply objects: what the suite serves is read only.
func withoutSchemas() *common.OpenAPIV3Config {
	none := func(common.ReferenceCallback) map[string]common.OpenAPIDefinition { return nil }
	config := genericapiserver.DefaultOpenAPIV3Config(none, openapi.NewDefinitionNamer(runtime.NewScheme()))
	config.IgnorePrefixes = []string{genericapiserver.APIGroupPrefix}
	return config
}

// handlerChain puts the health endpoints before everything else: they need no
// identity, work while the cluster's API server is away, and give details that
// the generic server's would withhold.
func (g *Generic) handlerChain(api http.Handler, c *genericapiserver.Config) http.Handler {
	chain := genericapiserver.DefaultBuildHandlerChain(api, c)
	livez, readyz := g.live.Handler("/livez"), g.ready.Handler("/readyz")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case below(r.URL.Path, "/livez"):
			livez.ServeHTTP(w, r)
		case below(r.URL.Path, "/readyz"):
			readyz.ServeHTTP(w, r)
		default:
			chain.ServeHTTP(w, r)
		}
	})
}

func below(path, endpoint string) bool {
	rest, ok := strings.CutPrefix(path, endpoint)
	return ok && (rest == "" || rest[0] == '/')
}

// shutdownCheck makes the process unready as soon as it is told to end.
func (g *Generic) shutdownCheck() health.Check {
	return health.Check{Name: "shutdown", Func: func(context.Context) (string, error) {
		select {
		case <-g.stopping:
			return "", errors.New("the process is shutting down")
		default:
			return "", nil
		}
	}}
}

// Wrap makes a Server of the generic one that was built from the configuration.
func (g *Generic) Wrap(generic *genericapiserver.GenericAPIServer) *Server {
	generic.Handler.NonGoRestfulMux.Handle("/metrics", g.metrics)
	for path, handler := range g.streams {
		generic.Handler.NonGoRestfulMux.Handle(path, handler)
	}
	return &Server{generic: generic, live: g.live, ready: g.ready, stopping: g.stopping}
}

// New makes a Server. API groups are installed on it before Run.
func New(c Config) (*Server, error) {
	g, err := Build(c)
	if err != nil {
		return nil, err
	}
	generic, err := g.Complete(nil).New(g.name, genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set up the secure port: %w", err), g.SecureServing.Listener.Close())
	}
	return g.Wrap(generic), nil
}

// InstallAPIGroup serves a group below /apis.
func (s *Server) InstallAPIGroup(group *genericapiserver.APIGroupInfo) error {
	return s.generic.InstallAPIGroup(group)
}

// AddReadyChecks adds to the checks of /readyz. It may be called while serving.
func (s *Server) AddReadyChecks(checks ...health.Check) error { return s.ready.Add(checks...) }

// AddLiveChecks adds to the checks of /livez. It may be called while serving.
func (s *Server) AddLiveChecks(checks ...health.Check) error { return s.live.Add(checks...) }

// Handler answers requests as the secure port does, without a network: the whole
// chain of authentication, authorization and limits. For benchmarks.
func (s *Server) Handler() http.Handler { return s.generic.Handler }

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.generic.SecureServingInfo.Listener.Addr() }

// Run serves until the context ends, then becomes unready, waits the shutdown
// delay, lets running requests finish, and returns nil.
func (s *Server) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { close(s.stopping) })()
	if err := s.generic.PrepareRun().RunWithContext(ctx); err != nil {
		return fmt.Errorf("serve %s: %w", s.Addr(), err)
	}
	return nil
}
