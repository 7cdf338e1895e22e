package natsjetstream

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// Reasons that only this source has.
const (
	reasonNoStream    = "StreamNotFound"
	reasonNoConsumer  = "ConsumerNotFound"
	reasonNoJetStream = "JetStreamNotAvailable"
)

// poller reads one consumer.
type poller struct {
	query *jsQuery
	conn  *sharedConn
	once  sync.Once
}

func (p *poller) Close() { p.once.Do(p.conn.release) }

// Poll asks the server for the consumer's information.
func (p *poller) Poll(ctx context.Context) (query.Reading, error) {
	nc, err := p.conn.get(ctx)
	if err != nil {
		return query.Reading{}, err
	}
	sent := source.Now()
	raw, err := p.ask(ctx, nc, "CONSUMER.INFO."+p.query.stream+"."+p.query.consumer, nil)
	if err != nil {
		return query.Reading{}, err
	}
	received := source.Now()
	info, err := parseInfo(raw, p.query.stream, p.query.consumer)
	if err != nil {
		return query.Reading{}, err
	}
	reading := info.reading(sent, received)
	if p.query.oldest {
		age, err := p.oldest(ctx, nc, info)
		if err != nil {
			return query.Reading{}, err
		}
		reading.Gauges[query.OldestAge] = age
	}
	return reading, nil
}

// ask sends one request to the JetStream API.
func (p *poller) ask(ctx context.Context, nc *nats.Conn, subject string, body []byte) ([]byte, error) {
	began := time.Now()
	reply, err := nc.RequestWithContext(ctx, p.prefix()+subject, body)
	if err == nil {
		source.Record(ctx, p.prefix()+subject, func() []byte { return reply.Data })
		return reply.Data, nil
	}
	servers := strings.Join(p.query.link.servers, ",")
	if denied, ok := p.conn.deniedSince(began); ok {
		return nil, source.Errorf(source.ReasonUnauthorized, "%s does not allow the request: %s", servers, denied)
	}
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, source.Errorf(reasonNoJetStream, "JetStream does not answer at %s: it is not enabled, or has no leader", servers)
	case isTimeout(err):
		return nil, source.Errorf(source.ReasonTimeout, "%s did not answer in time", servers)
	case isAuth(err):
		return nil, source.Errorf(source.ReasonUnauthorized, "%s refused the credentials", servers)
	}
	return nil, source.Errorf(source.ReasonUnreachable, "the connection to %s failed: %s",
		servers, p.query.link.credentials.scrub(err.Error()))
}

func (p *poller) prefix() string {
	if p.query.domain == "" {
		return "$JS.API."
	}
	return "$JS." + p.query.domain + ".API."
}

// apiError is how the JetStream API says no.
type apiError struct {
	Code        int                 `json:"code"`
	ErrCode     jetstream.ErrorCode `json:"err_code"`
	Description string              `json:"description"`
}

// consumerInfo is the part of the API's reply that readings are made of. Counts
// are pointers, so that one that is missing is not taken for 0.
type consumerInfo struct {
	Error         *apiError `json:"error"`
	Stream        string    `json:"stream_name"`
	Name          string    `json:"name"`
	Created       time.Time `json:"created"`
	Time          time.Time `json:"ts"`
	NumPending    *uint64   `json:"num_pending"`
	NumAckPending *uint64   `json:"num_ack_pending"`
	Redelivered   *uint64   `json:"num_redelivered"`
	Delivered     *sequence `json:"delivered"`
	AckFloor      *sequence `json:"ack_floor"`
	Config        struct {
		FilterSubject  string   `json:"filter_subject"`
		FilterSubjects []string `json:"filter_subjects"`
	} `json:"config"`
}

type sequence struct {
	Consumer uint64 `json:"consumer_seq"`
	Stream   uint64 `json:"stream_seq"`
}

// parseInfo reads the reply to a CONSUMER.INFO request, or says what is wrong
// with it.
func parseInfo(raw []byte, stream, consumer string) (*consumerInfo, error) {
	var info consumerInfo
	if err := json.Unmarshal(raw, &info); err != nil {
		return nil, source.Errorf(source.ReasonBadReply, "the server's reply is no consumer information")
	}
	if info.Error != nil {
		return nil, refusal(*info.Error, stream, consumer)
	}
	switch {
	case info.Stream != stream || info.Name != consumer:
		return nil, source.Errorf(source.ReasonBadReply, "the server's reply is not about consumer %s of stream %s", consumer, stream)
	case info.NumPending == nil || info.NumAckPending == nil || info.Redelivered == nil ||
		info.Delivered == nil || info.AckFloor == nil:
		return nil, source.Errorf(source.ReasonBadReply, "the server's reply lacks counts of consumer %s of stream %s", consumer, stream)
	}
	return &info, nil
}

func refusal(e apiError, stream, consumer string) error {
	switch e.ErrCode {
	case jetstream.JSErrCodeStreamNotFound:
		return source.Errorf(reasonNoStream, "stream %s does not exist", stream)
	case jetstream.JSErrCodeConsumerNotFound, jetstream.JSErrCodeConsumerDoesNotExist:
		return source.Errorf(reasonNoConsumer, "stream %s has no consumer %s", stream, consumer)
	case jetstream.JSErrCodeJetStreamNotEnabled, jetstream.JSErrCodeJetStreamNotEnabledForAccount:
		return source.Errorf(reasonNoJetStream, "JetStream is not enabled for this account")
	}
	return source.Errorf(source.ReasonFailed, "the server refused the request with code %d, error %d", e.Code, e.ErrCode)
}

// reading turns the reply into a reading.
//
// Two counters bound the messages delivered for the first time. The consumer's
// own sequence grows by one at each delivery, redeliveries included. The
// stream's sequence does not count redeliveries, but jumps over messages that
// were removed, and over those of other subjects.
func (i *consumerInfo) reading(sent, received time.Time) query.Reading {
	at, skew := query.SampleTime(i.Time.UTC(), sent, received)
	return query.Reading{
		At:   at,
		Skew: skew,
		Gauges: map[query.Kind]query.Gauge{
			query.Pending:     query.NumberOf(float64(*i.NumPending)),
			query.AckPending:  query.NumberOf(float64(*i.NumAckPending)),
			query.Redelivered: query.NumberOf(float64(*i.Redelivered)),
		},
		// A consumer that was deleted and made again counts from the beginning.
		Epoch:     strconv.FormatInt(i.Created.UnixNano(), 36),
		Delivered: []uint64{i.Delivered.Consumer, i.Delivered.Stream},
	}
}
