package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/metrics/pkg/apis/external_metrics"
	"k8s.io/metrics/pkg/apis/external_metrics/v1beta1"

	"github.com/quartet-autoscaling/quartet/internal/buildinfo"
)

// Reasons of errors. A NotFound is one that the peer gave.
const (
	ReasonNotFound    = "MetricNotFound"
	ReasonUnreachable = "PeerUnreachable"
	ReasonTimeout     = "PeerTimeout"
	ReasonRefused     = "PeerRefused"
	ReasonFailed      = "PeerFailed"
	ReasonBadReply    = "PeerBadReply"
	ReasonEmpty       = "PeerGaveNothing"
	ReasonStale       = "PeerStale"
	ReasonLeftAlone   = "PeerLeftAlone"
	ReasonBusy        = "PeerBusy"
)

const (
	groupPath = "/apis/" + external_metrics.GroupName + "/v1beta1"
	// maxBody is the size of an answer past which it is refused.
	maxBody = 8 << 20
	// maxMessage is how much of a peer's own message is told on.
	maxMessage = 512
)

// Error says why a peer gave no value.
type Error struct {
	// Peer names it for people.
	Peer    string
	Reason  string
	Message string
}

func (e *Error) Error() string { return e.Peer + ": " + e.Message }

// Peer is another adapter.
type Peer struct {
	Rule
	cfg     Config
	client  *client
	token   token
	breaker breaker
	slots   chan struct{}
	// waiting counts those that have a slot or wait for one.
	waiting atomic.Int32
	names   names
}

func newPeer(rule Rule, cfg Config) (*Peer, error) {
	p := &Peer{Rule: rule, cfg: cfg, client: newClient(rule, cfg), slots: make(chan struct{}, inFlight)}
	var err error
	if p.token, err = newToken(rule, cfg); err != nil {
		return nil, err
	}
	// What is wrong with the CA is said at the start, and not at each request.
	if _, err := p.client.get(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Peer) errorf(reason, format string, args ...any) *Error {
	return &Error{Peer: p.String(), Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Get asks the peer for a metric. Values and their times are the peer's own. An
// error is an *Error.
func (p *Peer) Get(ctx context.Context, namespace, metric, selector string) (*external_metrics.ExternalMetricValueList, error) {
	began := p.cfg.Clock.Now()
	list, err := p.get(ctx, namespace, metric, selector)
	result := "success"
	var failure *Error
	if errors.As(err, &failure) {
		result = failure.Reason
	}
	p.cfg.Observer.Asked(p.Name, result, p.cfg.Clock.Since(began))
	return list, err
}

func (p *Peer) get(ctx context.Context, namespace, metric, selector string) (*external_metrics.ExternalMetricValueList, error) {
	// Neither is ever the name of a metric or a namespace, and in a path they mean
	// another one.
	for _, name := range []string{namespace, metric} {
		if name == "." || name == ".." {
			return nil, p.errorf(ReasonNotFound, "%q is no name", name)
		}
	}
	if last := p.breaker.allow(p.cfg.Clock.Now()); last != nil {
		return nil, p.errorf(ReasonLeftAlone, "it is left alone for a moment after it did not answer: %v", last)
	}
	path := groupPath + "/namespaces/" + url.PathEscape(namespace) + "/" + url.PathEscape(metric)
	query := url.Values{}
	if selector != "" {
		query.Set("labelSelector", selector)
	}
	var reply values
	if err := p.ask(ctx, path, query, &reply); err != nil {
		return nil, err
	}
	if reply.Kind != "ExternalMetricValueList" {
		return nil, p.errorf(ReasonBadReply, "it answered with kind %q and not with a list of values", cut(reply.Kind))
	}
	if reply.missing {
		return nil, p.errorf(ReasonEmpty, "it answered with a sample of metric %s that has no value", metric)
	}
	return p.accept(metric, reply.ExternalMetricValueList)
}

// values is an answer that knows whether each of its samples has a value: without
// one it would read as 0.
type values struct {
	v1beta1.ExternalMetricValueList
	missing bool
}

// UnmarshalJSON decodes the answer.
func (v *values) UnmarshalJSON(raw []byte) error {
	var given struct {
		Items []struct {
			Value *resource.Quantity `json:"value"`
		} `json:"items"`
	}
	if err := json.Unmarshal(raw, &given); err != nil {
		return err
	}
	for _, item := range given.Items {
		v.missing = v.missing || item.Value == nil
	}
	return json.Unmarshal(raw, &v.ExternalMetricValueList)
}

// accept checks an answer. An empty one is not a zero.
func (p *Peer) accept(metric string, reply v1beta1.ExternalMetricValueList) (*external_metrics.ExternalMetricValueList, error) {
	if len(reply.Items) == 0 {
		return nil, p.errorf(ReasonEmpty, "it answered without a value of metric %s", metric)
	}
	now := p.cfg.Clock.Now()
	for _, item := range reply.Items {
		if age := now.Sub(item.Timestamp.Time); p.MaxAge > 0 && age > p.MaxAge {
			return nil, p.errorf(ReasonStale, "its sample of metric %s is of %s, which is older than max-age %s",
				metric, item.Timestamp.UTC().Format(time.RFC3339), p.MaxAge)
		}
	}
	out := &external_metrics.ExternalMetricValueList{}
	if err := v1beta1.Convert_v1beta1_ExternalMetricValueList_To_external_metrics_ExternalMetricValueList(&reply, out, nil); err != nil {
		return nil, p.errorf(ReasonBadReply, "its answer cannot be read: %v", err)
	}
	return out, nil
}

// ask does one request that the breaker allowed, and tells the breaker.
func (p *Peer) ask(ctx context.Context, path string, query url.Values, into any) error {
	// The secure port has room for so many requests; those for metrics of our own must
	// not be refused because a peer is slow.
	defer p.waiting.Add(-1)
	if p.waiting.Add(1) > maxWaiting {
		p.breaker.abandon()
		return p.errorf(ReasonBusy, "%d requests to it are under way or wait", maxWaiting)
	}
	asking, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	answered, err := p.fetch(asking, path, query, into)
	switch {
	case answered:
		p.breaker.done(p.cfg.Clock.Now(), nil)
	case ctx.Err() != nil:
		p.breaker.abandon()
	default:
		p.breaker.done(p.cfg.Clock.Now(), err)
	}
	return err
}

// fetch gives an answer, and whether there was one, be it a refusal.
func (p *Peer) fetch(ctx context.Context, path string, query url.Values, into any) (answered bool, err error) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return false, p.errorf(ReasonTimeout, "%d requests to it were under way for %s", inFlight, p.Timeout)
	}
	response, err := p.send(ctx, path, query)
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	switch {
	case err != nil:
		return false, p.failure(err)
	case len(body) > maxBody:
		return true, p.errorf(ReasonBadReply, "it answered with more than %d MiB", maxBody>>20)
	case response.StatusCode != http.StatusOK:
		return p.refusal(response.StatusCode, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return true, p.errorf(ReasonBadReply, "it answered with no JSON of the metrics API: %v", err)
	}
	return true, nil
}

// send makes a request of our own: nothing of a caller's is in it.
func (p *Peer) send(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	client, err := p.client.get()
	if err != nil {
		return nil, p.errorf(ReasonFailed, "%v", err)
	}
	token, err := p.token.get()
	if err != nil {
		return nil, p.errorf(ReasonFailed, "%v", err)
	}
	address := "https://" + net.JoinHostPort(p.host(), fmt.Sprint(p.Port)) + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, p.errorf(ReasonFailed, "the request cannot be made: %v", err)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("User-Agent", "quartet-metrics-adapter/"+buildinfo.Get().Version)
	response, err := client.Do(request)
	if err != nil {
		return nil, p.failure(err)
	}
	return response, nil
}

// failure says why there was no answer.
func (p *Peer) failure(err error) *Error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var network net.Error
	if errors.Is(err, context.DeadlineExceeded) || (errors.As(err, &network) && network.Timeout()) {
		return p.errorf(ReasonTimeout, "it did not answer within %s", p.Timeout)
	}
	return p.errorf(ReasonUnreachable, "it was not reached: %v", err)
}

// refusal is the error of an answer that is not 200. One that is a Status came
// from an adapter that lives; any other from something in its place.
func (p *Peer) refusal(code int, body []byte) (answered bool, err error) {
	var status metav1.Status
	said := json.Unmarshal(body, &status) == nil && status.Kind == "Status"
	switch {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		p.token.refused()
		return true, p.errorf(ReasonRefused, "it refused our ServiceAccount with status %d; does that have get and list on external.metrics.k8s.io?", code)
	case code == http.StatusNotFound && said:
		return true, p.errorf(ReasonNotFound, "%s", cut(status.Message))
	case said:
		return true, p.errorf(ReasonFailed, "it answered with status %d: %s", code, cut(status.Message))
	}
	return false, p.errorf(ReasonFailed, "it answered with status %d", code)
}

func cut(text string) string {
	if len(text) > maxMessage {
		return text[:maxMessage] + "..."
	}
	return text
}
