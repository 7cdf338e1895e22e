// Package ledger records the turns of a loop in a file and replays them. A
// ledger holds what every decision was made from, as changes between keyframes,
// beside the decision and its outcome, so that the same rules can be run again
// on the same input and compared to the last field. It knows the loop's entries
// and nothing of any component; it holds projections only, never objects of the
// API, and nothing that a component has not put into its snapshot.
//
// Format version 0, one record a line: eight hexadecimal digits of CRC-32C
// (Castagnoli) of the JSON, a space, the JSON, a newline. The first line is the
// Header. A keyframe holds a unit's whole input, state and decision; a record
// after it holds JSON merge patches (RFC 7396) against the record before it of
// the same unit. A file begins with a keyframe for each unit, so each file can
// be replayed alone.
package ledger

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
)

// Version is the format that this build writes.
const Version = 0

// Extension ends the name of every ledger file.
const Extension = ".ledger"

// Header is a file's first line.
type Header struct {
	Format    int       `json:"format"`
	Component string    `json:"component"`
	Build     string    `json:"build"`
	Started   time.Time `json:"started"`
}

// record is one line after the header.
type record struct {
	// Number stands for the unit within this file; Unit is written once, in the
	// keyframes.
	Number   int              `json:"n"`
	Unit     *decision.Unit   `json:"unit,omitempty"`
	Input    json.RawMessage  `json:"in,omitempty"`
	State    json.RawMessage  `json:"state,omitempty"`
	Decision json.RawMessage  `json:"d,omitempty"`
	Outcome  decision.Outcome `json:"o"`
}

func (r record) keyframe() bool { return r.Unit != nil }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sumDigits = 8

func encodeLine(v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	line := fmt.Appendf(make([]byte, 0, len(body)+sumDigits+2), "%08x ", crc32.Checksum(body, castagnoli))
	line = append(line, body...)
	return append(line, '\n'), nil
}

func decodeLine(line []byte, into any) error {
	if len(line) < sumDigits+2 || line[sumDigits] != ' ' || line[len(line)-1] != '\n' {
		return fmt.Errorf("the line is cut short or has no checksum")
	}
	body := line[sumDigits+1 : len(line)-1]
	if have := fmt.Sprintf("%08x", crc32.Checksum(body, castagnoli)); have != string(line[:sumDigits]) {
		return fmt.Errorf("the checksum is %s, the content's is %s", line[:sumDigits], have)
	}
	return json.Unmarshal(body, into)
}

// CorruptError tells where a ledger stops being readable. Everything before the
// offset was read.
type CorruptError struct {
	// Offset is the first byte, counted from 0, of the line that cannot be read.
	Offset int64
	Err    error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("ledger is unreadable from byte %d: %v", e.Offset, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }
