package natsjetstream

import (
	"errors"
	"testing"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// goodInfo is a server's reply, shortened.
const goodInfo = `{"type":"io.nats.jetstream.api.v1.consumer_info_response","stream_name":"ORDERS","name":"workers",
"created":"2026-03-01T12:00:00Z","config":{"filter_subject":"orders.a"},"delivered":{"consumer_seq":7,"stream_seq":9},
"ack_floor":{"consumer_seq":5,"stream_seq":6},"num_ack_pending":2,"num_redelivered":1,"num_waiting":0,"num_pending":3,"ts":"2026-03-01T12:00:05Z"}`

// FuzzInfo feeds any reply: it is refused with a reason, or it has all counts.
func FuzzInfo(f *testing.F) {
	for _, seed := range []string{goodInfo, `{}`, `null`, `{"error":{"code":404,"err_code":10059}}`, `{"error":{}}`, `[]`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		info, err := parseInfo(raw, "ORDERS", "workers")
		if err != nil {
			var ours *source.Error
			if !errors.As(err, &ours) || ours.Reason == "" || ours.Message == "" {
				t.Fatalf("an error without reason or message: %v", err)
			}
			return
		}
		sent := time.Date(2026, 3, 1, 12, 0, 4, 0, time.UTC)
		received := sent.Add(2 * time.Second)
		r := info.reading(sent, received)
		if r.At.Before(sent) || r.At.After(received) {
			t.Fatalf("measured at %s, outside of the poll", r.At)
		}
		for _, kind := range []query.Kind{query.Pending, query.AckPending, query.Redelivered} {
			if g := r.Gauges[kind]; g.Presence != query.Number || g.Value < 0 {
				t.Fatalf("%s is %+v", kind, g)
			}
		}
		if len(info.subjects()) == 0 {
			t.Fatal("no subject to look for the oldest message in")
		}
	})
}

// FuzzMessage feeds any reply to the request for the oldest message.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{
		`{"message":{"subject":"orders.a","seq":3,"data":"eA==","time":"2026-03-01T12:00:00Z"}}`,
		`{"error":{"code":404,"err_code":10037}}`, `{"message":{}}`, `{}`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parseMessage(raw, "ORDERS", "workers")
		if err == nil && m != nil && m.Message.Time.IsZero() {
			t.Fatal("a message without a time was taken")
		}
	})
}
