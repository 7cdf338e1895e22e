package kafka

import (
	"errors"
	"io"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
)

// Reasons that only this source has.
const (
	reasonNoGroup     = "GroupNotFound"
	reasonNoTopic     = "TopicNotFound"
	reasonNoPartition = "PartitionNotFound"
	// reasonNoLeader: a partition has no leader, so that nobody knows its end.
	reasonNoLeader = "LeaderNotAvailable"
)

// refusals are Kafka's own errors, and what they mean.
var refusals = []struct {
	reason string
	errs   []*kerr.Error
}{
	{source.ReasonUnauthorized, []*kerr.Error{
		kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState,
		kerr.GroupAuthorizationFailed, kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed,
	}},
	{reasonNoTopic, []*kerr.Error{kerr.UnknownTopicOrPartition, kerr.UnknownTopicID}},
	{reasonNoGroup, []*kerr.Error{kerr.GroupIDNotFound}},
	{reasonNoLeader, []*kerr.Error{
		kerr.LeaderNotAvailable, kerr.NotLeaderForPartition, kerr.ReplicaNotAvailable, kerr.KafkaStorageError,
		kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch, kerr.OffsetNotAvailable,
	}},
	{source.ReasonUnreachable, []*kerr.Error{
		kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.BrokerNotAvailable,
	}},
	{source.ReasonTimeout, []*kerr.Error{kerr.RequestTimedOut}},
}

// failureOf says in our words why something could not be read.
func (c *sharedClient) failureOf(what string, err error) error {
	secrets := []access.Secret{c.link.basic.Password, c.link.basic.User}
	var already *source.Error
	var auth *kadm.AuthError
	var shards *kadm.ShardErrors
	var refusal *kerr.Error
	var cut *kgo.ErrFirstReadEOF
	switch {
	case errors.As(err, &already):
		return already
	case errors.As(err, &auth):
		return c.failureOf(what, auth.Err)
	case errors.As(err, &shards) && len(shards.Errs) > 0:
		return c.failureOf(what, shards.Errs[0].Err)
	case errors.As(err, &refusal):
		return c.refused(what, refusal)
	case access.IsTimeout(err):
		return source.Errorf(source.ReasonTimeout, "%s did not answer in time, asked for %s", c.link.name(), what)
	case isGarbage(err):
		return source.Errorf(source.ReasonBadReply, "%s does not answer as Kafka does", c.link.name())
	case errors.As(err, &cut) || errors.Is(err, io.EOF):
		return source.Errorf(source.ReasonUnreachable,
			"%s closed the connection: it may have stopped, or want tls or sasl, or refuse what it is given", c.link.name())
	}
	return access.Failure(c.link.name(), err, secrets...)
}

// refused says what an error of Kafka's own means. Its description is a fixed
// text of the protocol.
func (c *sharedClient) refused(what string, refusal *kerr.Error) error {
	for _, r := range refusals {
		for _, known := range r.errs {
			if refusal.Code == known.Code {
				return source.Errorf(r.reason, "%s answers, asked for %s: %s", c.link.name(), what, refusal.Message)
			}
		}
	}
	return source.Errorf(source.ReasonFailed, "%s answers, asked for %s: %s", c.link.name(), what, refusal.Message)
}

// isGarbage tells whether a reply was not what the protocol says. The client has
// no types for most of these.
func isGarbage(err error) bool {
	text := err.Error()
	for _, sign := range []string{"response size", "short response", "not enough data", "correlation ID", "appears to be a tls alert"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return errors.Is(err, io.ErrUnexpectedEOF)
}
