package httpsource

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/adapter/source/httpapi"
)

// breaking is an extractor that a document breaks.
type breaking struct{}

func (breaking) accept() string { return "*/*" }
func (breaking) String() string { return "breaking" }
func (breaking) extract(string, httpapi.Document) (sample, error) {
	panic("a document that nobody thought of")
}

// alone is one pod.
type alone struct{ ip string }

func (a alone) Ready(context.Context, string, labels.Selector) ([]Pod, error) {
	return []Pod{{Name: "a", IP: a.ip}}, nil
}

// TestADocumentThatBreaksTheReader is read in a goroutine of its own, whose panic
// would end the process.
func TestADocumentThatBreaksTheReader(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		t.Fatal(err)
	}
	p := &podsPoller{
		documents: documents{client: httpapi.New(httpapi.Auth{}, access.TLS{}), extractor: breaking{}},
		group:     &group{pods: alone{at.Hostname()}, scheme: "http", path: "/", aggregate: sum, port: intstr.FromInt(port), selector: labels.Everything()},
	}
	_, err = p.Poll(t.Context())
	if reason, _ := source.ReasonOf(err); err == nil || reason != reasonNotReached {
		t.Errorf("the poll ended with %v", err)
	}
}
