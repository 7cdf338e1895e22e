package redis

import (
	"errors"
	"fmt"
	"net"
)

// Bounds of what a server may send. The client makes room for what a reply says
// that it will hold, before it comes: without bounds one rogue server that one
// object names could end the adapter for all.
const (
	// maxReplyBytes of one whole reply.
	maxReplyBytes = 16 << 20
	// maxElements of one list of a reply.
	maxElements = 1 << 16
	// maxDepth of lists within lists.
	maxDepth = 8
	// maxHeader is the length of a line that says how long something is.
	maxHeader = 24
)

// errGuard is what a reply beyond the bounds, or that is none, fails with.
var errGuard = errors.New("the reply is beyond what Redis answers")

// guard is a connection that gives its reader nothing beyond the bounds.
type guard struct {
	net.Conn
	frames frames
}

// Read gives what was read and is within bounds.
func (g *guard) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if bad := g.frames.feed(b[:n]); bad != nil {
		_ = g.Close() // the reply is refused whatever closing says
		return 0, bad
	}
	return n, err
}

// frames follows the protocol's frames (RESP 2) without keeping them.
type frames struct {
	// open has, for each list that is not complete, the elements still to come.
	open []int
	// skip is the number of bytes of a text still to come, its line end included.
	skip int
	// kind is the type of the line being read, 0 before its first byte.
	kind byte
	// header collects the digits of a length.
	header []byte
	// size is the number of bytes of the reply so far.
	size int
}

// feed takes the next bytes, or says that they are beyond the bounds.
func (f *frames) feed(b []byte) error {
	for i := 0; i < len(b); {
		if f.size++; f.size > maxReplyBytes {
			return fmt.Errorf("%w: over %d bytes", errGuard, maxReplyBytes)
		}
		if f.skip > 0 {
			step := min(f.skip, len(b)-i)
			f.size += step - 1
			i, f.skip = i+step, f.skip-step
			if f.skip == 0 {
				f.done()
			}
			continue
		}
		if err := f.next(b[i]); err != nil {
			return err
		}
		i++
	}
	return nil
}

// next takes one byte of a line.
func (f *frames) next(c byte) error {
	switch {
	case f.kind == 0:
		if !isType(c) {
			return fmt.Errorf("%w: no reply begins so", errGuard)
		}
		f.kind, f.header = c, f.header[:0]
	case c == '\n':
		return f.line()
	case c != '\r' && hasLength(f.kind):
		if len(f.header) == maxHeader {
			return fmt.Errorf("%w: a length is too long", errGuard)
		}
		f.header = append(f.header, c)
	}
	return nil
}

// isType tells whether a reply can begin so. Connections are made with version 2
// of the protocol, which has these five and no other.
func isType(c byte) bool { return c == '+' || c == '-' || c == ':' || hasLength(c) }

// hasLength tells whether a line of this type says the length of what follows.
func hasLength(c byte) bool { return c == '$' || c == '*' }

// line ends a line.
func (f *frames) line() error {
	kind := f.kind
	f.kind = 0
	if !hasLength(kind) {
		f.done()
		return nil
	}
	n, ok := length(f.header)
	switch {
	case !ok:
		return fmt.Errorf("%w: a length is no number", errGuard)
	case n < 0: // nothing
		f.done()
		return nil
	case kind == '$':
		if n > maxReplyBytes {
			return fmt.Errorf("%w: over %d bytes", errGuard, maxReplyBytes)
		}
		f.skip = n + len("\r\n")
		return nil
	case n > maxElements || len(f.open) == maxDepth:
		return fmt.Errorf("%w: too many elements", errGuard)
	case n == 0:
		f.done()
	default:
		f.open = append(f.open, n)
	}
	return nil
}

// length reads the number of a header: -1, or digits.
func length(b []byte) (int, bool) {
	if string(b) == "-1" {
		return -1, true
	}
	if len(b) == 0 || len(b) > len("999999999") {
		return 0, false
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

// done ends one element, and every list that it completes.
func (f *frames) done() {
	for len(f.open) > 0 {
		last := len(f.open) - 1
		if f.open[last]--; f.open[last] > 0 {
			return
		}
		f.open = f.open[:last]
	}
	f.size = 0
}
