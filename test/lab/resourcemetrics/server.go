package resourcemetrics

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// Config is what a Server is made of.
type Config struct {
	// Listener takes its connections, and is closed by Close.
	Listener net.Listener
	// Certificate and Key are the server's own, as PEM.
	Certificate, Key []byte
	// ClientCA is the PEM of the authority whose clients may ask: the front proxy's.
	ClientCA []byte
}

// Requests counts what was asked since the start.
type Requests struct {
	Lists, Gets int64
}

// Server is an aggregated API server. Its methods may be called from several
// goroutines.
type Server struct {
	store       store
	http        *http.Server
	lists, gets atomic.Int64
}

// Serve starts a Server.
func Serve(c Config) (*Server, error) {
	pair, err := tls.X509KeyPair(c.Certificate, c.Key)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate of the metrics API: %w", err)
	}
	clients := x509.NewCertPool()
	if !clients.AppendCertsFromPEM(c.ClientCA) {
		return nil, errors.New("reading the authority of the metrics API's clients: no certificate")
	}
	s := &Server{store: store{namespaces: map[string]*space{}}}
	s.http = &http.Server{
		Handler: s, ReadHeaderTimeout: time.Minute,
		ErrorLog: log.New(io.Discard, "", 0), // Who shows no certificate is told so himself.
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13,
			ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert,
		},
	}
	go func() { _ = s.http.ServeTLS(c.Listener, "", "") }()
	return s, nil
}

// Close ends the server at once.
func (s *Server) Close() error { return s.http.Close() }

// Add serves the pods too; a pod of a name that is there replaces it.
func (s *Server) Add(pods ...Pod) { s.store.add(pods) }

// SetUsage is what each pod of the selection uses from now on; an empty namespace
// means all.
func (s *Server) SetUsage(namespace string, selector labels.Selector, u Usage) {
	s.store.setUsage(namespace, selector, u)
}

// Requests counts what was asked.
func (s *Server) Requests() Requests { return Requests{Lists: s.lists.Load(), Gets: s.gets.Load()} }

// groupPath is where the API group version is served.
var groupPath = "/apis/" + metricsapi.SchemeGroupVersion.String()

// ServeHTTP answers as an aggregated API server does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, found := strings.CutPrefix(r.URL.Path, groupPath)
	if !found || r.Method != http.MethodGet {
		http.NotFound(w, r)
		return
	}
	switch parts := strings.Split(strings.Trim(path, "/"), "/"); {
	case path == "" || path == "/":
		answer(w, r, http.StatusOK, resources())
	case len(parts) == 1 && parts[0] == resourcePods:
		s.list(w, r, "")
	case len(parts) == 3 && parts[0] == "namespaces" && parts[2] == resourcePods:
		s.list(w, r, parts[1])
	case len(parts) == 4 && parts[0] == "namespaces" && parts[2] == resourcePods:
		s.get(w, r, parts[1], parts[3])
	default:
		http.NotFound(w, r)
	}
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, namespace string) {
	s.lists.Add(1)
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		refuse(w, r, apierrors.NewBadRequest(err.Error()))
		return
	}
	answer(w, r, http.StatusOK, &metricsapi.PodMetricsList{
		TypeMeta: metav1.TypeMeta{Kind: "PodMetricsList", APIVersion: metricsapi.SchemeGroupVersion.String()},
		Items:    s.store.list(namespace, selector, time.Now()),
	})
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, namespace, name string) {
	s.gets.Add(1)
	sample, found := s.store.get(namespace, name, time.Now())
	if !found {
		refuse(w, r, apierrors.NewNotFound(metricsapi.Resource(resourcePods), namespace+"/"+name))
		return
	}
	sample.TypeMeta = metav1.TypeMeta{Kind: "PodMetrics", APIVersion: metricsapi.SchemeGroupVersion.String()}
	answer(w, r, http.StatusOK, &sample)
}

const resourcePods = "pods"

func resources() *metav1.APIResourceList {
	return &metav1.APIResourceList{
		TypeMeta:     metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"},
		GroupVersion: metricsapi.SchemeGroupVersion.String(),
		APIResources: []metav1.APIResource{{
			Name: resourcePods, Kind: "PodMetrics", Namespaced: true, Verbs: metav1.Verbs{"get", "list"},
		}},
	}
}

func refuse(w http.ResponseWriter, r *http.Request, err *apierrors.StatusError) {
	status := err.ErrStatus
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	answer(w, r, int(status.Code), &status)
}

// Listen makes a listener for a Server on a loopback port.
func Listen(ctx context.Context, port int) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, fmt.Errorf("listening for the metrics API: %w", err)
	}
	return listener, nil
}
