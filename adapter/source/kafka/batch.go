package kafka

import (
	"encoding/binary"
	"time"
)

// The places of a batch's head, in bytes, as Kafka writes them since 0.11.
const (
	batchLengthAt    = 8
	batchFormatAt    = 16
	batchFlagsAt     = 21
	batchLastAt      = 23
	batchFirstTimeAt = 27
	batchMaxTimeAt   = 35
	batchCountAt     = 57
	batchHead        = 61

	// maxOffset is beyond what any partition reaches, and far from overflowing.
	maxOffset = 1 << 62
	// batchFormat is the only one with such a head.
	batchFormat = 2
	// appendTime tells that the time is the broker's, and control that the batch
	// is of Kafka's own.
	appendTime = 1 << 3
	control    = 1 << 5
)

// firstBatch finds the first batch with records at or after an offset. A broker
// gives whole batches, the first of which may begin before the offset, and cuts
// the last one off.
func firstBatch(raw []byte, offset int64) got {
	answer := got{next: offset}
	for len(raw) >= batchHead {
		base := int64(binary.BigEndian.Uint64(raw))                          //nolint:gosec // Kafka's are signed
		length := int64(int32(binary.BigEndian.Uint32(raw[batchLengthAt:]))) //nolint:gosec // Kafka's are signed
		size := length + batchLengthAt + 4
		last := base + int64(int32(binary.BigEndian.Uint32(raw[batchLastAt:]))) //nolint:gosec // Kafka's are signed
		if raw[batchFormatAt] != batchFormat || size < batchHead || base < 0 || base > maxOffset || last < base {
			break
		}
		flags := binary.BigEndian.Uint16(raw[batchFlagsAt:])
		count := int32(binary.BigEndian.Uint32(raw[batchCountAt:])) //nolint:gosec // Kafka's are signed
		if last >= offset {
			answer.answered, answer.next = true, last+1
			if at, ok := batchTime(raw, flags); ok && flags&control == 0 && count > 0 {
				answer.found, answer.at = true, at
				return answer
			}
		}
		if size > int64(len(raw)) {
			break
		}
		raw = raw[size:]
	}
	return answer
}

// batchTime is the time of a batch's first record; false where it has none.
func batchTime(raw []byte, flags uint16) (time.Time, bool) {
	at := batchFirstTimeAt
	if flags&appendTime != 0 {
		at = batchMaxTimeAt
	}
	ms := int64(binary.BigEndian.Uint64(raw[at:])) //nolint:gosec // Kafka's are signed
	return time.UnixMilli(ms), ms >= 0
}
