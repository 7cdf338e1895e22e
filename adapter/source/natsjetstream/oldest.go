package natsjetstream

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// messageRequest asks for the first message of a subject from a sequence on.
type messageRequest struct {
	Seq     uint64 `json:"seq"`
	Subject string `json:"next_by_subj"`
}

// messageReply is the part of the reply that an age is read from.
type messageReply struct {
	Error   *apiError `json:"error"`
	Message *struct {
		Seq  uint64    `json:"seq"`
		Time time.Time `json:"time"`
	} `json:"message"`
}

// oldest is the age of the oldest message not done with: the first of the
// consumer's subjects after the acknowledged floor. Both times are the server's,
// so that no other clock comes in. An empty queue has none: Empty.
func (p *poller) oldest(ctx context.Context, nc *nats.Conn, info *consumerInfo) (query.Gauge, error) {
	if *info.NumPending+*info.NumAckPending == 0 {
		return query.Gauge{Presence: query.Empty}, nil
	}
	if info.Time.IsZero() {
		// Servers before 2.10 do not tell their time: then no age is known.
		return query.Gauge{Presence: query.Absent}, nil
	}
	var first *messageReply
	for _, subject := range info.subjects() {
		m, err := p.messageFrom(ctx, nc, messageRequest{Seq: info.AckFloor.Stream + 1, Subject: subject})
		if err != nil {
			return query.Gauge{}, err
		}
		if m != nil && (first == nil || m.Message.Seq < first.Message.Seq) {
			first = m
		}
	}
	if first == nil {
		// What was in the queue was done with between the two requests.
		return query.Gauge{Presence: query.Empty}, nil
	}
	return query.NumberOf(max(0, info.Time.Sub(first.Message.Time).Seconds())), nil
}

// subjects are those that the consumer takes; without a filter all.
func (i *consumerInfo) subjects() []string {
	switch {
	case len(i.Config.FilterSubjects) > 0:
		return i.Config.FilterSubjects
	case i.Config.FilterSubject != "":
		return []string{i.Config.FilterSubject}
	}
	return []string{">"}
}

// messageFrom gives the first message that the request finds, nil where there
// is none.
func (p *poller) messageFrom(ctx context.Context, nc *nats.Conn, r messageRequest) (*messageReply, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, source.Errorf(source.ReasonFailed, "the request for the oldest message cannot be written")
	}
	raw, err := p.ask(ctx, nc, "STREAM.MSG.GET."+p.query.stream, body)
	if err != nil {
		return nil, err
	}
	return parseMessage(raw, p.query.stream, p.query.consumer)
}

func parseMessage(raw []byte, stream, consumer string) (*messageReply, error) {
	var reply messageReply
	if err := json.Unmarshal(raw, &reply); err != nil {
		return nil, source.Errorf(source.ReasonBadReply, "the server's reply is no message")
	}
	switch {
	case reply.Error != nil && reply.Error.ErrCode == jetstream.JSErrCodeMessageNotFound:
		return nil, nil
	case reply.Error != nil:
		return nil, refusal(*reply.Error, stream, consumer)
	case reply.Message == nil || reply.Message.Time.IsZero():
		return nil, source.Errorf(source.ReasonBadReply, "the server's reply holds no message with a time")
	}
	return &reply, nil
}
