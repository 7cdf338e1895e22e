package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
)

const (
	// quietLimit is how long nothing may come before the server is asked whether
	// it is still there, and the same time again before it is taken for lost. It is
	// also how soon a new master is found.
	quietLimit = 5 * time.Second
	// subscribeLimit bounds the beginning of a watch.
	subscribeLimit = 10 * time.Second
)

// pusher is a poller of a server that tells of changes.
type pusher struct{ *poller }

var _ source.Pusher = (*pusher)(nil)

// Watch subscribes to the key's events at the server that has it, and calls
// changed once when it listens, and for each event.
func (p *pusher) Watch(ctx context.Context, changed func()) (err error) {
	// The client takes the form of what is published for granted.
	defer func() {
		if broken := recover(); broken != nil {
			err = source.Errorf(source.ReasonBadReply, "the server's events are not what Redis sends")
		}
	}()
	start, cancel := context.WithTimeout(ctx, subscribeLimit)
	defer cancel()
	address, err := p.servers.place(start, p.query.subject.key)
	if err != nil {
		return err
	}
	client, err := p.servers.client(address)
	if err != nil {
		return p.servers.failure(address, err)
	}
	if err := p.sendsEvents(start, client, address); err != nil {
		return err
	}
	channel := fmt.Sprintf("__keyspace@%d__:%s", p.query.link.database, p.query.subject.key)
	events := client.Subscribe(start)
	defer func() { _ = events.Close() }() // it was only listened to
	// Closing ends a wait for an event when the watch is ended.
	stop := context.AfterFunc(ctx, func() { _ = events.Close() })
	defer stop()
	if err := events.Subscribe(start, channel); err != nil {
		return p.servers.failure(address, err)
	}
	return p.listen(ctx, listening{events, address, channel}, changed)
}

// listening is a subscription at a server.
type listening struct {
	events           *goredis.PubSub
	address, channel string
}

// listen hears events until the server is lost, or another has the key.
func (p *pusher) listen(ctx context.Context, l listening, changed func()) error {
	asked := false
	for {
		event, err := l.events.ReceiveTimeout(ctx, quietLimit)
		switch {
		case ctx.Err() != nil:
			return source.Errorf(source.ReasonUnreachable, "the watch was ended")
		case err != nil && access.IsTimeout(err) && !asked:
			if err := p.stillThere(ctx, l); err != nil {
				return err
			}
			asked = true
		case err != nil:
			return p.servers.failure(l.address, err)
		default:
			asked = false
			hear(event, l.channel, changed)
		}
	}
}

// hear passes on what is about the key; the answer to a subscription counts,
// since before it nothing was heard.
func hear(event any, channel string, changed func()) {
	switch e := event.(type) {
	case *goredis.Subscription:
		changed()
	case *goredis.Message:
		if e.Channel == channel {
			changed()
		}
	}
}

// stillThere asks the server for a sign of life, and where the key is now.
func (p *pusher) stillThere(ctx context.Context, l listening) error {
	if err := l.events.Ping(ctx); err != nil {
		return p.servers.failure(l.address, err)
	}
	ctx, cancel := context.WithTimeout(ctx, subscribeLimit)
	defer cancel()
	address, err := p.servers.place(ctx, p.query.subject.key)
	if err != nil {
		return err
	}
	if address != l.address {
		return source.Errorf(reasonNotMaster, "%s has the key now, and no longer %s", address, l.address)
	}
	return nil
}

// sendsEvents asks whether the server is set to send the events. A server that
// does not let itself be asked may send them.
func (p *pusher) sendsEvents(ctx context.Context, client *goredis.Client, address string) error {
	setting, err := client.ConfigGet(ctx, "notify-keyspace-events").Result()
	var refusal goredis.Error
	switch {
	case errors.As(err, &refusal):
		return nil
	case err != nil:
		return p.servers.failure(address, err)
	}
	flags, ok := setting["notify-keyspace-events"]
	class := "t"
	if p.query.subject.isList() {
		class = "l"
	}
	if ok && !(strings.Contains(flags, "K") && strings.ContainsAny(flags, "A"+class)) {
		return source.Errorf(reasonNoEvents,
			"%s sends no such events: its notify-keyspace-events is %q and must have K and %s; the polls go on", address, flags, class)
	}
	return nil
}
