package kafka

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// poller reads one group.
type poller struct {
	query  *kafkaQuery
	client *sharedClient
	once   sync.Once
	// topics are those of the last poll, for while the group rebalances: it then
	// tells of no member's topics.
	topics []string
}

func (p *poller) Close() { p.once.Do(p.client.release) }

// Poll reads the group. A broker that is not reached may be one of several: the
// client asks another the next time, so each is given its chance.
func (p *poller) Poll(ctx context.Context) (query.Reading, error) {
	for attempt := 1; ; attempt++ {
		r, err := p.read(ctx)
		if err == nil || attempt > len(p.query.link.brokers) || ctx.Err() != nil || !isUnreachable(err) {
			return r, err
		}
	}
}

func isUnreachable(err error) bool {
	reason, _ := source.ReasonOf(err)
	return reason == source.ReasonUnreachable
}

// read reads the group's offsets, and then the ends of its partitions: in this
// order nothing that came in between makes a lag look smaller than none.
func (p *poller) read(ctx context.Context) (query.Reading, error) {
	client, err := p.client.get()
	if err != nil {
		return query.Reading{}, err
	}
	asked := source.Now()
	a := asking{ctx: ctx, client: client, shared: p.client, group: p.query.group}
	topics, committed, err := p.ofGroup(a)
	if err != nil {
		return query.Reading{}, err
	}
	partitions, err := a.partitions(topics)
	if err != nil {
		return query.Reading{}, err
	}
	if err := a.offsets(partitions, topics, committed); err != nil {
		return query.Reading{}, err
	}
	source.Record(ctx, p.query.link.name(), func() []byte { return record(partitions, p.query.group) })
	r := reading(partitions, p.query.group, asked)
	if p.query.oldest {
		if r.Gauges[query.OldestAge], err = a.oldestAge(partitions); err != nil {
			return query.Reading{}, err
		}
	}
	return r, nil
}

// asking is one poll under way.
type asking struct {
	ctx    context.Context //nolint:containedctx // lives for one poll
	client *kgo.Client
	shared *sharedClient
	group  group
}

func (a asking) failed(what string, err error) error { return a.shared.failureOf(what, err) }

// ofGroup gives the topics to read, and what the group committed. Without topics
// in the object they are those that it committed offsets of, and those that its
// members read.
func (p *poller) ofGroup(a asking) ([]string, kadm.OffsetResponses, error) {
	admin := kadm.NewClient(a.client)
	what := "group " + a.group.name
	described, err := admin.DescribeGroups(a.ctx, a.group.name)
	if err != nil {
		return nil, nil, a.failed(what, err)
	}
	about := described[a.group.name]
	missing := about.State == "Dead" || isError(about.Err, kerr.GroupIDNotFound)
	if about.Err != nil && !missing {
		return nil, nil, a.failed(what, about.Err)
	}
	committed, err := admin.FetchOffsets(a.ctx, a.group.name)
	switch {
	case isError(err, kerr.GroupIDNotFound) || (err == nil && missing && len(committed) == 0):
		// A group of the newer protocol is not described, and has its offsets.
		return nil, nil, source.Errorf(reasonNoGroup, "group %s does not exist at %s", a.group.name, a.shared.link.name())
	case err != nil:
		return nil, nil, a.failed("the offsets of "+what, err)
	}
	if len(a.group.topics) > 0 {
		return a.group.topics, committed, nil
	}
	topics := topicsOf(about, committed)
	if about.State == "PreparingRebalance" || about.State == "CompletingRebalance" {
		topics = append(topics, p.topics...)
	}
	slices.Sort(topics)
	p.topics = slices.Compact(topics)
	return p.topics, committed, nil
}

// topicsOf are the topics of a group's offsets and of its members.
func topicsOf(about kadm.DescribedGroup, committed kadm.OffsetResponses) []string {
	var topics []string
	for topic := range committed {
		topics = append(topics, topic)
	}
	for _, member := range about.Members {
		if assigned, ok := member.Assigned.AsConsumer(); ok {
			for _, t := range assigned.Topics {
				topics = append(topics, t.Topic)
			}
		}
		if wanted, ok := member.Join.AsConsumer(); ok {
			topics = append(topics, wanted.Topics...)
		}
	}
	return topics
}

// isError tells whether an error is one of Kafka's own.
func isError(err error, want *kerr.Error) bool { return err != nil && err.Error() == want.Error() }

// partitions lists those of the topics, sorted, with their leaders. One without a
// leader is a failure.
func (a asking) partitions(topics []string) ([]partition, error) {
	if len(topics) == 0 {
		return nil, nil
	}
	request := kmsg.NewPtrMetadataRequest()
	for _, topic := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(topic)
		request.Topics = append(request.Topics, t)
	}
	reply, err := request.RequestWith(a.ctx, a.client)
	if err != nil {
		return nil, a.failed("the partitions of its topics", err)
	}
	var found []partition
	answered := map[string]bool{}
	for _, topic := range reply.Topics {
		if topic.Topic == nil || !slices.Contains(topics, *topic.Topic) {
			return nil, source.Errorf(source.ReasonBadReply, "%s answers about a topic that it was not asked for", a.shared.link.name())
		}
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
			return nil, a.failed("topic "+*topic.Topic, err)
		}
		of, err := a.chosen(topic)
		if err != nil {
			return nil, err
		}
		found = append(found, of...)
		answered[*topic.Topic] = len(topic.Partitions) > 0
	}
	for _, topic := range topics {
		if !answered[topic] {
			// The lag of the others is not the lag.
			return nil, source.Errorf(source.ReasonBadReply, "%s tells of no partition of topic %s", a.shared.link.name(), topic)
		}
	}
	return sorted(found), nil
}

// chosen are the partitions of a topic that the object wants.
func (a asking) chosen(topic kmsg.MetadataResponseTopic) ([]partition, error) {
	var found []partition
	for _, p := range topic.Partitions {
		if len(a.group.partitions) > 0 && !slices.Contains(a.group.partitions, p.Partition) {
			continue
		}
		if p.Leader < 0 {
			return nil, source.Errorf(reasonNoLeader, "partition %d of topic %s has no leader: its end is not known", p.Partition, *topic.Topic)
		}
		found = append(found, partition{topic: *topic.Topic, topicID: topic.TopicID, number: p.Partition, leader: p.Leader, committed: -1})
	}
	for _, number := range a.group.partitions {
		if !slices.ContainsFunc(found, func(p partition) bool { return p.number == number }) {
			return nil, source.Errorf(reasonNoPartition, "topic %s has no partition %d", *topic.Topic, number)
		}
	}
	return found, nil
}

// offsets fills in what the group committed, and the start and end of each
// partition.
func (a asking) offsets(partitions []partition, topics []string, committed kadm.OffsetResponses) error {
	if len(partitions) == 0 {
		return nil
	}
	admin := kadm.NewClient(a.client)
	starts, err := admin.ListStartOffsets(a.ctx, topics...)
	if err != nil {
		return a.failed("the starts of partitions", err)
	}
	ends, err := admin.ListEndOffsets(a.ctx, topics...)
	if err != nil {
		return a.failed("the ends of partitions", err)
	}
	for i := range partitions {
		p := &partitions[i]
		if p.start, err = a.offset(starts, *p); err != nil {
			return err
		}
		if p.end, err = a.offset(ends, *p); err != nil {
			return err
		}
		at, ok := committed.Lookup(p.topic, p.number)
		if !ok {
			continue
		}
		if at.Err != nil {
			return a.failed(fmt.Sprintf("the group's offset of partition %d of topic %s", p.number, p.topic), at.Err)
		}
		p.committed = at.At
	}
	return nil
}

// offset is the one of a partition, which must be known.
func (a asking) offset(listed kadm.ListedOffsets, p partition) (int64, error) {
	what := fmt.Sprintf("partition %d of topic %s", p.number, p.topic)
	at, ok := listed.Lookup(p.topic, p.number)
	switch {
	case !ok:
		return 0, source.Errorf(reasonNoLeader, "%s gives no offsets of %s", a.shared.link.name(), what)
	case at.Err != nil:
		return 0, a.failed(what, at.Err)
	case at.Offset < 0:
		return 0, source.Errorf(source.ReasonBadReply, "%s gives a negative offset of %s", a.shared.link.name(), what)
	}
	return at.Offset, nil
}

// record writes down for people what was read. Kafka answers in no text.
func record(partitions []partition, g group) []byte {
	var text bytes.Buffer
	for _, p := range partitions {
		fmt.Fprintf(&text, "%s/%d: start %d, committed %d, end %d, lag %d\n", p.topic, p.number, p.start, p.committed, p.end, p.lag(g.latest))
	}
	return text.Bytes()
}
