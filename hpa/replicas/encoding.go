package replicas

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/quartet-autoscaling/quartet/hpa/behavior"
)

// stateVersion is AppendState's form, and begins what it writes. DecodeState
// reads no other.
const stateVersion = 1

// The flags of an encoded state.
const (
	flagSeeded = 1 << iota
	// flagRest: what has no form of its own follows at the end, as JSON.
	flagRest
	// flagPlain: all of the state is in the rest.
	flagPlain
)

// AppendState appends the state in a compact form. What every object has is in
// varints, times as nanoseconds since the one before; what few have is JSON.
func AppendState(out []byte, s State) ([]byte, error) {
	rest := s
	flags := byte(0)
	if fits(s) {
		rest.Seeded, rest.Recommendations, rest.Ups, rest.Downs = false, nil, nil, nil
		rest.LastUp, rest.LastDown, rest.ActedAt = time.Time{}, time.Time{}, time.Time{}
		if s.Seeded {
			flags |= flagSeeded
		}
	} else {
		flags |= flagPlain
	}
	text, err := json.Marshal(rest)
	if err != nil {
		return nil, fmt.Errorf("encode a state: %w", err)
	}
	if string(text) != "{}" {
		flags |= flagRest
	}
	out = append(out, stateVersion, flags)
	if flags&flagPlain == 0 {
		w := stateWriter{out: out}
		w.state(s)
		out = w.out
	}
	if flags&flagRest != 0 {
		out = append(out, text...)
	}
	return out, nil
}

// fits tells whether every time of the state is in the range of nanoseconds.
func fits(s State) bool {
	ok := inRange(s.LastUp) && inRange(s.LastDown) && inRange(s.ActedAt)
	for _, r := range s.Recommendations {
		ok = ok && inRange(r.At)
	}
	for _, e := range s.Ups {
		ok = ok && inRange(e.At)
	}
	for _, e := range s.Downs {
		ok = ok && inRange(e.At)
	}
	return ok
}

// The years whose differences in nanoseconds fit an int64.
const firstYear, lastYear = 1970, 2100

func inRange(at time.Time) bool {
	return at.IsZero() || at.Year() > firstYear && at.Year() < lastYear
}

type stateWriter struct {
	out []byte
	// last is the time before, in nanoseconds since 1970.
	last int64
}

func (w *stateWriter) state(s State) {
	w.time(s.ActedAt)
	w.time(s.LastUp)
	w.time(s.LastDown)
	w.out = binary.AppendUvarint(w.out, uint64(len(s.Recommendations)))
	for _, r := range s.Recommendations {
		w.time(r.At)
		w.out = binary.AppendVarint(w.out, int64(r.Replicas))
	}
	w.events(s.Ups)
	w.events(s.Downs)
}

// events writes the change in the upper bits, whether it is outdated in the
// lowest.
func (w *stateWriter) events(events []behavior.Event) {
	w.out = binary.AppendUvarint(w.out, uint64(len(events)))
	for _, e := range events {
		w.time(e.At)
		change := int64(e.Change) << 1
		if e.Outdated {
			change |= 1
		}
		w.out = binary.AppendVarint(w.out, change)
	}
}

// time writes 0 for none, and otherwise one more than the zigzag of the
// difference to the time before.
func (w *stateWriter) time(at time.Time) {
	if at.IsZero() {
		w.out = append(w.out, 0)
		return
	}
	now := at.UnixNano()
	d := now - w.last
	w.last = now
	w.out = binary.AppendUvarint(w.out, uint64(d)<<1^uint64(d>>63)+1)
}

var errStateForm = errors.New("decode a state: it is cut short or no state")

// DecodeState reads what AppendState wrote. Any bytes give a state or an error;
// what it takes to read them is in proportion to their number.
func DecodeState(data []byte) (State, error) {
	if len(data) < 2 {
		return State{}, errStateForm
	}
	if data[0] != stateVersion {
		return State{}, fmt.Errorf("decode a state: its form is %d, this build knows %d", data[0], stateVersion)
	}
	flags := data[1]
	r := stateReader{in: data[2:]}
	var s State
	if flags&flagPlain == 0 {
		s = r.state()
		s.Seeded = flags&flagSeeded != 0
	}
	switch {
	case r.bad || flags&^(flagSeeded|flagRest|flagPlain) != 0:
		return State{}, errStateForm
	case flags&flagRest == 0 && len(r.in) != 0:
		return State{}, errStateForm
	case flags&flagRest != 0:
		// The rest lacks what was read already, and so leaves it as it is.
		if err := json.Unmarshal(r.in, &s); err != nil {
			return State{}, fmt.Errorf("decode a state: %w", err)
		}
	}
	return s, nil
}

type stateReader struct {
	in   []byte
	last int64
	bad  bool
}

func (r *stateReader) state() State {
	s := State{ActedAt: r.time(), LastUp: r.time(), LastDown: r.time()}
	if n := r.count(); n > 0 {
		s.Recommendations = make([]behavior.Recommendation, n)
		for i := range s.Recommendations {
			s.Recommendations[i] = behavior.Recommendation{At: r.time(), Replicas: r.number()}
		}
	}
	s.Ups, s.Downs = r.events(), r.events()
	return s
}

func (r *stateReader) events() []behavior.Event {
	n := r.count()
	if n == 0 {
		return nil
	}
	out := make([]behavior.Event, n)
	for i := range out {
		at := r.time()
		v := r.varint()
		out[i] = behavior.Event{At: at, Change: r.narrow(v >> 1), Outdated: v&1 != 0}
	}
	return out
}

// count is a number of entries. Each takes two bytes at the least, so that more
// than these are no count.
func (r *stateReader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.in)/2) {
		r.bad = true
	}
	if r.bad {
		return 0
	}
	return int(n)
}

func (r *stateReader) time() time.Time {
	v := r.uvarint()
	if v == 0 {
		return time.Time{}
	}
	v--
	r.last += int64(v>>1) ^ -int64(v&1)
	return time.Unix(0, r.last).UTC()
}

func (r *stateReader) number() int32 { return r.narrow(r.varint()) }

func (r *stateReader) narrow(v int64) int32 {
	if int64(int32(v)) != v {
		r.bad = true
	}
	return int32(v)
}

func (r *stateReader) varint() int64 {
	v, n := binary.Varint(r.in)
	r.skip(n)
	return v
}

func (r *stateReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.in)
	r.skip(n)
	return v
}

func (r *stateReader) skip(n int) {
	if n <= 0 {
		r.bad, r.in = true, nil
		return
	}
	r.in = r.in[n:]
}
