package kafka

import (
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
)

const (
	// fetchBytes is about the most that one reply may hold. A broker gives at
	// least one whole batch of records, whatever its size.
	fetchBytes = 4 << 20
	// batchBytes is what is asked of one partition: the least, which is one batch.
	batchBytes = 1
)

// oldestAge is the age of the oldest record that the group has not committed: of
// the first ones of the partitions that lag. A record's time is its producer's,
// or the broker's, as the topic is set. With nothing to read there is none: Empty.
//
// It is the time at the head of the batch that the record came in, so a record in
// the middle of a batch is as old as the batch. So nothing is unpacked.
func (a asking) oldestAge(partitions []partition) (query.Gauge, error) {
	byLeader := map[int32][]want{}
	var leaders []int32
	for _, p := range partitions {
		if p.lag(a.group.latest) == 0 {
			continue
		}
		if byLeader[p.leader] == nil {
			leaders = append(leaders, p.leader)
		}
		byLeader[p.leader] = append(byLeader[p.leader], want{partition: p, offset: p.position(a.group.latest)})
	}
	var oldest time.Time
	for _, leader := range leaders {
		first, err := a.firstTime(leader, byLeader[leader])
		if err != nil {
			return query.Gauge{}, err
		}
		if !first.IsZero() && (oldest.IsZero() || first.Before(oldest)) {
			oldest = first
		}
	}
	if oldest.IsZero() {
		return query.Gauge{Presence: query.Empty}, nil
	}
	return query.NumberOf(max(0, source.Now().Sub(oldest).Seconds())), nil
}

// want is a partition whose first record from an offset on is wanted.
type want struct {
	partition
	offset int64
}

// firstTime is the earliest time of the first records of partitions that one
// broker leads; zero where none has a record. A reply has room for some of them,
// so those that it left out are asked for again.
func (a asking) firstTime(leader int32, wanted []want) (time.Time, error) {
	var first time.Time
	for len(wanted) > 0 {
		reply, err := a.fetch(leader, wanted)
		if err != nil {
			return time.Time{}, err
		}
		left, progress := wanted[:0:0], false
		for _, w := range wanted {
			got, err := a.firstRecord(reply, w)
			if err != nil {
				return time.Time{}, err
			}
			progress = progress || got.answered
			switch {
			case got.found && (first.IsZero() || got.at.Before(first)):
				first = got.at
			case !got.found && (!got.answered || got.next < w.end):
				w.offset = max(w.offset, got.next)
				left = append(left, w)
			}
		}
		if !progress {
			break // what is left holds nothing that a reader is given
		}
		wanted = left
	}
	return first, nil
}

// fetch asks one broker for the first batch of each partition.
func (a asking) fetch(leader int32, wanted []want) (*kmsg.FetchResponse, error) {
	request := kmsg.NewPtrFetchRequest()
	request.MaxWaitMillis, request.MinBytes, request.MaxBytes = 0, 0, fetchBytes
	request.SessionEpoch = -1 // no session: nothing is kept for us
	for _, w := range wanted {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = w.number, w.offset, batchBytes
		if n := len(request.Topics); n > 0 && request.Topics[n-1].Topic == w.topic {
			request.Topics[n-1].Partitions = append(request.Topics[n-1].Partitions, p)
			continue
		}
		t := kmsg.NewFetchRequestTopic()
		t.Topic, t.TopicID = w.topic, w.topicID
		t.Partitions = append(t.Partitions, p)
		request.Topics = append(request.Topics, t)
	}
	reply, err := a.client.Broker(int(leader)).Request(a.ctx, request)
	if err != nil {
		return nil, a.failed("the oldest records", err)
	}
	fetched, ok := reply.(*kmsg.FetchResponse)
	if !ok {
		return nil, source.Errorf(source.ReasonBadReply, "%s answers with something else than records", a.shared.link.name())
	}
	return fetched, a.fetchFailure(fetched)
}

func (a asking) fetchFailure(reply *kmsg.FetchResponse) error {
	if err := kerr.ErrorForCode(reply.ErrorCode); err != nil {
		return a.failed("the oldest records", err)
	}
	return nil
}

// got is what a reply says of one partition.
type got struct {
	found bool
	at    time.Time
	// answered tells whether the reply has anything of the partition, and next
	// where to go on from.
	answered bool
	next     int64
}

// firstRecord finds the first record of a partition in a reply. A partition whose
// records were removed meanwhile has none.
func (a asking) firstRecord(reply *kmsg.FetchResponse, w want) (got, error) {
	for t := range reply.Topics {
		topic := &reply.Topics[t]
		if topic.Topic != w.topic && (topic.TopicID == [16]byte{} || topic.TopicID != w.topicID) {
			continue
		}
		i := slices.IndexFunc(topic.Partitions, func(p kmsg.FetchResponseTopicPartition) bool { return p.Partition == w.number })
		if i < 0 {
			continue
		}
		part := &topic.Partitions[i]
		err := kerr.ErrorForCode(part.ErrorCode)
		switch {
		case isError(err, kerr.OffsetOutOfRange):
			return got{answered: true, next: w.end}, nil
		case err != nil:
			return got{}, a.failed(fmt.Sprintf("the oldest record of partition %d of topic %s", w.number, w.topic), err)
		case len(part.RecordBatches) == 0:
			return got{}, nil
		}
		return firstBatch(part.RecordBatches, w.offset), nil
	}
	return got{}, nil
}
