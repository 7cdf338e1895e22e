package redis

import (
	"errors"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
)

// Reasons that only this source has.
const (
	reasonNoStream  = "StreamNotFound"
	reasonNoGroup   = "GroupNotFound"
	reasonWrongType = "WrongType"
	// reasonNoMaster: the sentinels or the cluster name no master for the key.
	reasonNoMaster = "MasterNotFound"
	// reasonNotMaster: the server is a replica, whose data may be old.
	reasonNotMaster = "NotMaster"
	// reasonNoEvents: the server does not send the events that are asked for.
	reasonNoEvents = "KeyspaceEventsOff"
)

// refusals are the first words of a server's errors, and what they mean.
var refusals = map[string]struct{ reason, text string }{
	"WRONGPASS":   {source.ReasonUnauthorized, "refused the credentials"},
	"NOAUTH":      {source.ReasonUnauthorized, "wants credentials"},
	"DENIED":      {source.ReasonUnauthorized, "accepts local connections only (protected mode)"},
	"WRONGTYPE":   {reasonWrongType, "has the key with another type than the one asked for"},
	"NOGROUP":     {reasonNoGroup, "does not have the consumer group"},
	"LOADING":     {source.ReasonUnreachable, "is loading its data"},
	"MASTERDOWN":  {source.ReasonUnreachable, "has no connection to its master"},
	"CLUSTERDOWN": {source.ReasonUnreachable, "says that the cluster is down"},
	"TRYAGAIN":    {source.ReasonUnreachable, "is moving the key to another node"},
	"BUSY":        {source.ReasonUnreachable, "is busy with a script"},
	"MOVED":       {reasonNotMaster, "says that another node has the key"},
	"ASK":         {reasonNotMaster, "says that another node takes the key over"},
}

// failureOf says in our words why a server gave no reply, or refused.
func failureOf(server string, err error, secrets ...access.Secret) *source.Error {
	var already *source.Error
	var refusal goredis.Error
	switch {
	case errors.As(err, &already):
		return already
	case errors.Is(err, errGuard) || errors.Is(err, goredis.Nil) || strings.Contains(err.Error(), "redis: invalid") || strings.Contains(err.Error(), "redis: can't parse"):
		return source.Errorf(source.ReasonBadReply, "%s does not answer as Redis does", server)
	case errors.As(err, &refusal):
		return refused(server, access.Scrub(refusal.Error(), secrets...))
	}
	return access.Failure(server, err, secrets...)
}

// refused says what a server's error means.
func refused(server, text string) *source.Error {
	word, rest, _ := strings.Cut(text, " ")
	if known, ok := refusals[word]; ok {
		return source.Errorf(known.reason, "%s %s", server, known.text)
	}
	switch {
	case word == "NOPERM":
		return source.Errorf(source.ReasonUnauthorized, "%s does not allow the request: %s", server, rest)
	case strings.Contains(text, "no such key"):
		return source.Errorf(reasonNoStream, "%s does not have the stream", server)
	case strings.Contains(text, "AUTH") || strings.Contains(text, "invalid password"):
		return source.Errorf(source.ReasonUnauthorized, "%s refused the credentials", server)
	case strings.Contains(text, "max number of clients"):
		return source.Errorf(source.ReasonUnreachable, "%s accepts no more connections", server)
	}
	return source.Errorf(source.ReasonFailed, "%s refused the request: %s", server, text)
}

// isPlace tells whether a failure says that the key is elsewhere.
func isPlace(err error) bool {
	reason, _ := source.ReasonOf(err)
	return reason == reasonNotMaster
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
