// Package servingtest stands in for the cluster that a secure port delegates
// authentication and authorization to, so that a test runs the real delegation
// against known identities. It is for tests only, and no API server: it answers
// the three requests that delegation makes.
package servingtest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/internal/serving"
)

// Cluster answers for a cluster's API server.
type Cluster struct {
	// Kubeconfig is the path of a kubeconfig for the cluster.
	Kubeconfig string
	users      map[string]User
	stopped    chan struct{}
}

// User is an identity, and what it may do.
type User struct {
	Name string
	// May is asked for each request that is not for a health endpoint.
	May func(authorizationv1.SubjectAccessReviewSpec) bool
}

// Start runs a cluster that knows the users by their bearer tokens, until the
// test ends.
func Start(t testing.TB, users map[string]User) *Cluster {
	t.Helper()
	c := &Cluster{users: users, stopped: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication", c.configMap)
	mux.HandleFunc("/api/v1/namespaces/kube-system/configmaps", c.configMaps)
	mux.HandleFunc("/apis/authentication.k8s.io/v1/tokenreviews", c.tokenReview)
	mux.HandleFunc("/apis/authorization.k8s.io/v1/subjectaccessreviews", c.accessReview)
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		close(c.stopped)
		server.Close()
	})
	c.Kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	content := "apiVersion: v1\nkind: Config\ncurrent-context: test\n" +
		"contexts: [{name: test, context: {cluster: test}}]\n" +
		"clusters: [{name: test, cluster: {server: '" + server.URL + "'}}]\n"
	if err := os.WriteFile(c.Kubeconfig, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

func authenticationConfig() *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "extension-apiserver-authentication", ResourceVersion: "1"},
	}
}

func (c *Cluster) configMap(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, authenticationConfig())
}

// configMaps lists the one config map, and holds watches open: it never changes.
func (c *Cluster) configMaps(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("watch") != "" {
		if r.URL.Query().Get("sendInitialEvents") != "" {
			answer(w, http.StatusUnprocessableEntity, &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonInvalid, Code: http.StatusUnprocessableEntity})
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-c.stopped:
		}
		return
	}
	answer(w, http.StatusOK, &corev1.ConfigMapList{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMapList"},
		ListMeta: metav1.ListMeta{ResourceVersion: "1"},
		Items:    []corev1.ConfigMap{*authenticationConfig()},
	})
}

func (c *Cluster) tokenReview(w http.ResponseWriter, r *http.Request) {
	var review authenticationv1.TokenReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if user, ok := c.users[review.Spec.Token]; ok {
		review.Status.Authenticated = true
		review.Status.User.Username = user.Name
	}
	answer(w, http.StatusCreated, &review)
}

func (c *Cluster) accessReview(w http.ResponseWriter, r *http.Request) {
	var review authorizationv1.SubjectAccessReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, user := range c.users {
		if user.Name == review.Spec.User {
			review.Status.Allowed = user.May(review.Spec)
		}
	}
	answer(w, http.StatusCreated, &review)
}

func answer(w http.ResponseWriter, code int, object any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(object)
}

// Running is a server that a test runs on a free port.
type Running struct {
	// URL has no slash at its end.
	URL    string
	Server *serving.Server
	// Stop ends the server and returns Run's error.
	Stop   func() error
	client *http.Client
}

// Run builds the server on a free port of the loopback, hands it to prepare,
// and serves until the test ends or Stop.
func Run(t testing.TB, cfg serving.Config, prepare func(*serving.Server) error) *Running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listener = listener
	server, err := serving.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		if err := prepare(server); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	r := &Running{URL: "https://" + listener.Addr().String(), Server: server}
	var result error
	stopped := false
	r.Stop = func() error {
		if !stopped {
			stopped = true
			cancel()
			result = <-ended
		}
		return result
	}
	// A connection for each request: a kept one would hold up the shutdown.
	r.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
	}}
	t.Cleanup(func() { _ = r.Stop() })
	Eventually(t, "the server answers", func() bool {
		response, err := r.client.Get(r.URL + "/livez")
		if err != nil {
			return false
		}
		return response.Body.Close() == nil
	})
	return r
}

// Get asks for the path with a bearer token, which may be empty, and headers as
// "Name: value".
func (r *Running) Get(t testing.TB, path, token string, headers ...string) (code int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Set(name, value)
	}
	response, err := r.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

// Eventually fails the test where the condition does not hold within a minute.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute in vain until %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
