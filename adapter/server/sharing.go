package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"

	"github.com/spf13/pflag"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/collector"
	"github.com/quartet-autoscaling/quartet/adapter/sharing"
	"github.com/quartet-autoscaling/quartet/internal/health"
	"github.com/quartet-autoscaling/quartet/internal/leader"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

const (
	flagShare   = "share-polls"
	flagShareCA = "share-polls-ca-file"
	// podIP is where the chart tells a replica its address.
	podIP = "POD_IP"
	// securePortName is the secure port's in the Service.
	securePortName = "https"
)

// sharingOptions are the flags of sharing polls between replicas.
type sharingOptions struct {
	share  bool
	caFile string
}

// AddFlags registers the flags with their present values as defaults.
func (o *sharingOptions) AddFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.share, flagShare, o.share,
		"Share polls out between the replicas behind the Service metrics-adapter, so that a source is asked once whatever their number. Needs the pod's address in POD_IP.")
	flags.StringVar(&o.caFile, flagShareCA, o.caFile,
		"File of the CA, PEM, that the serving certificates of the other replicas are verified with, for the name metrics-adapter.NAMESPACE.svc. Where it is not there, nothing is shared.")
}

// Validate returns the first flag that cannot be used.
func (o *sharingOptions) Validate() error {
	switch {
	case o.share && o.caFile == "":
		return runtimeflags.Invalid(flagShareCA, "is required with --%s", flagShare)
	case o.share && net.ParseIP(os.Getenv(podIP)) == nil:
		return runtimeflags.Invalid(flagShare, "the environment's %s is %q, which is not the pod's IP address", podIP, os.Getenv(podIP))
	}
	return nil
}

// sharedPolls shares polls with other replicas. Its methods but those of
// collector.Sharing may be called on nil, where nothing is shared.
type sharedPolls struct {
	*sharing.Hub
	*sharing.Peers
	// receiver takes what others polled.
	receiver atomic.Pointer[receiver]
}

// receiver is the part of the controller that shares.
type receiver interface {
	Deliver(key string, s collector.Shared)
	Reassign()
}

var _ collector.Sharing = (*sharedPolls)(nil)

// newSharedPolls finds the other replicas by the Service of this namespace; nil
// where nothing is shared.
func newSharedPolls(o *sharingOptions, connection *rest.Config, flags *runtimeflags.Flags, port int) (*sharedPolls, error) {
	if !o.share {
		return nil, nil
	}
	if _, err := os.Stat(o.caFile); errors.Is(err, fs.ErrNotExist) {
		// A serving certificate that somebody else made may come without its CA. Sharing
		// spares sources polls; it is no reason not to serve.
		slog.Warn("Polls are not shared: the CA of the other replicas is not there", "file", o.caFile)
		return nil, nil
	}
	namespace := flags.LeaderElectResourceNamespace
	if namespace == "" {
		var err error
		if namespace, err = leader.PodNamespace(); err != nil {
			return nil, err
		}
	}
	api, err := kubernetes.NewForConfig(connection)
	if err != nil {
		return nil, fmt.Errorf("set up the client of EndpointSlices: %w", err)
	}
	// Our own ServiceAccount's token, and nothing else of the way to the API server.
	client, err := rest.HTTPClientFor(&rest.Config{
		BearerToken: connection.BearerToken, BearerTokenFile: connection.BearerTokenFile,
		TLSClientConfig: rest.TLSClientConfig{CAFile: o.caFile, ServerName: Name + "." + namespace + ".svc"},
		// A replica is asked directly.
		Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
	})
	if err != nil {
		return nil, fmt.Errorf("set up the client of other replicas: %w", err)
	}
	s := &sharedPolls{Hub: sharing.NewHub(clock.RealClock{})}
	s.Peers, err = sharing.NewPeers(sharing.Config{
		Self:   net.JoinHostPort(os.Getenv(podIP), strconv.Itoa(port)),
		Client: client, Clock: clock.RealClock{}, Log: slog.Default(),
		Discover: func(ctx context.Context) ([]string, error) {
			slices, err := api.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{
				LabelSelector: discoveryv1.LabelServiceName + "=" + Name, ResourceVersion: "0",
			})
			if err != nil {
				return nil, fmt.Errorf("list the EndpointSlices of %s: %w", Name, err)
			}
			return addresses(slices.Items, os.Getenv(podIP)), nil
		},
		Deliver: func(key string, shared collector.Shared) {
			if r := s.receiver.Load(); r != nil {
				(*r).Deliver(key, shared)
			}
		},
		Changed: func() {
			if r := s.receiver.Load(); r != nil {
				(*r).Reassign()
			}
		},
	})
	return s, err
}

// addresses are those of all replicas, whether they are ready or not: one that
// says something is there. Where the Service is of both families only those of our
// own address's are meant: each replica is there once, and this one is itself.
func addresses(slices []discoveryv1.EndpointSlice, self string) []string {
	own := net.ParseIP(self).To4() != nil
	var out []string
	for _, slice := range slices {
		port := 0
		for _, p := range slice.Ports {
			if p.Port != nil && (port == 0 || (p.Name != nil && *p.Name == securePortName)) {
				port = int(*p.Port)
			}
		}
		if port == 0 {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			for _, address := range endpoint.Addresses {
				if (net.ParseIP(address).To4() != nil) != own {
					continue
				}
				out = append(out, net.JoinHostPort(address, strconv.Itoa(port)))
			}
		}
	}
	return out
}

// streams are what the secure port serves to other replicas.
func (s *sharedPolls) streams() map[string]http.Handler {
	if s == nil {
		return nil
	}
	return map[string]http.Handler{sharing.Path: s.Hub}
}

// sharing is what the collector shares by.
func (s *sharedPolls) sharing() collector.Sharing {
	if s == nil {
		return nil
	}
	return s
}

// feeds hands what others polled to the receiver from now on.
func (s *sharedPolls) feeds(r receiver) {
	if s != nil {
		s.receiver.Store(&r)
	}
}

// run hears the other replicas until the context ends, and then ends what they
// hear from here.
func (s *sharedPolls) run(ctx context.Context) error {
	if s == nil {
		<-ctx.Done()
		return nil
	}
	defer s.Close()
	return s.Run(ctx)
}

// check is readiness' detail. A replica that hears no other polls everything, and
// is ready.
func (s *sharedPolls) check() health.Check {
	return health.Check{Name: "replicas", Func: func(context.Context) (string, error) {
		if s == nil {
			return "polls are not shared", nil
		}
		if n := len(s.Members()); n > 1 {
			return fmt.Sprintf("polls are shared between %d replicas", n), nil
		}
		return "no other replica is heard: everything is polled here", nil
	}}
}
