package redis

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// server is what a reply to INFO tells of who answered.
type server struct {
	// run is made anew at each start of the server.
	run    string
	master bool
}

// parseServer reads the sections server and replication of INFO.
func parseServer(sections ...any) (server, error) {
	fields := map[string]string{}
	for _, section := range sections {
		text, ok := section.(string)
		if !ok {
			return server{}, errReply
		}
		for line := range strings.Lines(text) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				fields[name] = value
			}
		}
	}
	if fields["role"] == "" {
		return server{}, errReply
	}
	return server{run: fields["run_id"], master: fields["role"] == "master"}, nil
}

// parseTime reads a reply to TIME: seconds and microseconds.
func parseTime(reply any) (time.Time, error) {
	parts, ok := reply.([]any)
	if !ok || len(parts) != 2 {
		return time.Time{}, errReply
	}
	seconds, good := number(parts[0])
	micros, fine := number(parts[1])
	if !good || !fine || seconds > math.MaxInt32*1000 || micros >= 1e6 {
		return time.Time{}, errReply
	}
	return time.Unix(int64(seconds), int64(micros)*1000).UTC(), nil
}

// number reads a number that is not negative, as an integer or as text.
func number(v any) (uint64, bool) {
	switch n := v.(type) {
	case int64:
		return uint64(n), n >= 0 //nolint:gosec // used only where it is not negative
	case string:
		got, err := strconv.ParseUint(n, 10, 64)
		return got, err == nil
	}
	return 0, false
}

// entryID is the name of an entry of a stream: the milliseconds of Unix time of
// the server that took it, unless the sender gave another, and a number.
type entryID struct{ ms, seq uint64 }

func (a entryID) after(b entryID) bool { return a.ms > b.ms || (a.ms == b.ms && a.seq > b.seq) }

func (a entryID) String() string { return fmt.Sprintf("%d-%d", a.ms, a.seq) }

// age is the time between the entry's and another, never negative.
func (a entryID) age(now time.Time) time.Duration {
	if a.ms > math.MaxInt64/1000 {
		return 0
	}
	return max(0, now.Sub(time.UnixMilli(int64(a.ms)))) //nolint:gosec // bounded above
}

func parseID(v any) (entryID, error) {
	text, ok := v.(string)
	if !ok {
		return entryID{}, errReply
	}
	before, after, ok := strings.Cut(text, "-")
	ms, err := strconv.ParseUint(before, 10, 64)
	seq, bad := strconv.ParseUint(after, 10, 64)
	if !ok || err != nil || bad != nil {
		return entryID{}, errReply
	}
	return entryID{ms, seq}, nil
}

// fieldsOf reads a list of names and values.
func fieldsOf(v any) (map[string]any, error) {
	list, ok := v.([]any)
	if !ok || len(list)%2 != 0 {
		return nil, errReply
	}
	fields := make(map[string]any, len(list)/2)
	for i := 0; i < len(list); i += 2 {
		name, ok := list[i].(string)
		if !ok {
			return nil, errReply
		}
		fields[name] = list[i+1]
	}
	return fields, nil
}

// stream is the part of a reply to XINFO STREAM that readings are made of.
type stream struct {
	length uint64
	// added counts all entries that ever came; nil before Redis 7.
	added *uint64
}

func parseStream(reply any) (stream, error) {
	fields, err := fieldsOf(reply)
	if err != nil {
		return stream{}, err
	}
	length, ok := number(fields["length"])
	if !ok {
		return stream{}, errReply
	}
	return stream{length: length, added: optional(fields["entries-added"])}, nil
}

// optional is a number that may not be there, or be nil, or be senseless: then
// it is not known.
func optional(v any) *uint64 {
	if n, ok := number(v); ok {
		return &n
	}
	return nil
}

// group is the part of a reply to XINFO GROUPS that readings are made of.
type group struct {
	// pending is the number of entries delivered and not acknowledged.
	pending uint64
	// delivered is the last entry that was handed to a consumer.
	delivered entryID
	// read counts all entries that were ever handed out, deleted ones included;
	// lag those not yet. Both are nil where the server cannot tell.
	read, lag *uint64
}

// parseGroup finds one group in a reply to XINFO GROUPS; false where the stream
// does not have it.
func parseGroup(reply any, name string) (group, bool, error) {
	list, ok := reply.([]any)
	if !ok {
		return group{}, false, errReply
	}
	for _, entry := range list {
		fields, err := fieldsOf(entry)
		if err != nil {
			return group{}, false, err
		}
		if fields["name"] != name {
			continue
		}
		pending, ok := number(fields["pending"])
		delivered, err := parseID(fields["last-delivered-id"])
		if !ok || err != nil {
			return group{}, false, errReply
		}
		return group{
			pending: pending, delivered: delivered,
			read: optional(fields["entries-read"]), lag: optional(fields["lag"]),
		}, true, nil
	}
	return group{}, false, nil
}

// parseOldestPending reads the first identifier of a reply to XPENDING; false
// where nothing is pending.
func parseOldestPending(reply any) (entryID, bool, error) {
	parts, ok := reply.([]any)
	if !ok || len(parts) < 3 {
		return entryID{}, false, errReply
	}
	count, ok := number(parts[0])
	switch {
	case !ok:
		return entryID{}, false, errReply
	case count == 0:
		return entryID{}, false, nil
	}
	id, err := parseID(parts[1])
	return id, err == nil, err
}

// parseIDs reads the identifiers of a reply to XRANGE or XREVRANGE.
func parseIDs(reply any) ([]entryID, error) {
	list, ok := reply.([]any)
	if !ok {
		return nil, errReply
	}
	ids := make([]entryID, 0, len(list))
	for _, entry := range list {
		parts, ok := entry.([]any)
		if !ok || len(parts) == 0 {
			return nil, errReply
		}
		id, err := parseID(parts[0])
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// firstError is the first of a transaction's replies that is an error, or nil.
func firstError(replies []any) error {
	for _, reply := range replies {
		if err, ok := reply.(goredis.Error); ok {
			return err
		}
	}
	return nil
}
