package natsjetstream

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Bounds of what a server may send. The client makes room for a message of any size
// that a server announces, and ends the process where there is no such room: without
// bounds one rogue server that one object names could end the adapter for all.
const (
	// maxReplyBytes of one message.
	maxReplyBytes = 16 << 20
	// maxLine of the protocol: the longest is what a server says of itself.
	maxLine = 64 << 10
	// maxWebHead is the length of the answer to the request for a WebSocket.
	maxWebHead = 16 << 10
)

// errGuard is what a connection fails with whose server does not keep to the
// protocol, or goes beyond the bounds.
var errGuard = errors.New("the server does not speak NATS as it should")

// guard is a connection that gives its reader nothing beyond the bounds.
type guard struct {
	net.Conn
	// first was read already and is yet to be given.
	first []byte
	feed  func([]byte) error
}

// Read gives what was read and is within bounds.
func (g *guard) Read(b []byte) (int, error) {
	var n int
	var err error
	if len(g.first) > 0 {
		n = copy(b, g.first)
		g.first = g.first[n:]
	} else {
		n, err = g.Conn.Read(b)
	}
	if bad := g.feed(b[:n]); bad != nil {
		_ = g.Close() // the reply is refused whatever closing says
		return 0, bad
	}
	return n, err
}

// frames follows the protocol's lines and messages without keeping them. It takes
// nothing that the client could read in another way.
type frames struct {
	line []byte
	// skip is the number of bytes of a message still to come, and end what is left of
	// the line end behind it.
	skip int
	end  string
}

// feed takes the next bytes, or says what is wrong with them.
func (f *frames) feed(b []byte) error {
	for len(b) > 0 {
		switch {
		case f.skip > 0:
			step := min(f.skip, len(b))
			b, f.skip = b[step:], f.skip-step
		case f.end != "":
			if b[0] != f.end[0] {
				return fmt.Errorf("%w: a message is longer than it says", errGuard)
			}
			b, f.end = b[1:], f.end[1:]
		default:
			line, rest, ended := bytes.Cut(b, []byte("\n"))
			if len(f.line)+len(line) > maxLine {
				return fmt.Errorf("%w: a line is too long", errGuard)
			}
			f.line, b = append(f.line, line...), rest
			if !ended {
				return nil
			}
			if err := f.ended(strings.TrimSuffix(string(f.line), "\r")); err != nil {
				return err
			}
			f.line = f.line[:0]
		}
	}
	return nil
}

// ended takes a whole line.
func (f *frames) ended(line string) error {
	word, arguments, _ := strings.Cut(line, " ")
	switch word {
	case "INFO", "PING", "PONG", "+OK", "-ERR":
		return nil
	case "MSG", "HMSG":
	default:
		return fmt.Errorf("%w: no line begins so", errGuard)
	}
	if strings.ContainsFunc(arguments, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Errorf("%w: a message's line has other characters", errGuard)
	}
	fields := strings.Fields(arguments)
	if len(fields) < 3 {
		return fmt.Errorf("%w: a message has no size", errGuard)
	}
	size, err := strconv.ParseUint(fields[len(fields)-1], 10, 32)
	if err != nil || size > maxReplyBytes {
		return fmt.Errorf("%w: a message is over %d bytes", errGuard, maxReplyBytes)
	}
	f.skip, f.end = int(size), "\r\n" //nolint:gosec // bounded above
	return nil
}

// webFrames follows a WebSocket: the answer to the request for it, and then frames
// that carry the protocol.
type webFrames struct {
	within frames
	// head is the end of the answer so far, headSize its length; open tells that all
	// of it came.
	head     string
	headSize int
	open     bool
	// header collects that of a frame.
	header []byte
	// left is the number of bytes of a frame still to come, of which data are the
	// protocol's.
	left uint64
	data bool
}

func (w *webFrames) feed(b []byte) error {
	for len(b) > 0 {
		switch {
		case !w.open:
			if err := w.answer(b[0]); err != nil {
				return err
			}
			b = b[1:]
		case w.left > 0:
			step := min(w.left, uint64(len(b)))
			if w.data {
				if err := w.within.feed(b[:step]); err != nil {
					return err
				}
			}
			b, w.left = b[step:], w.left-step
		default:
			w.header, b = append(w.header, b[0]), b[1:]
			if err := w.begin(); err != nil {
				return err
			}
		}
	}
	return nil
}

// answer takes a byte of the answer's head, whose lines all end in one way.
func (w *webFrames) answer(c byte) error {
	const end = "\r\n\r\n"
	if w.headSize++; w.headSize > maxWebHead || (c == '\n' && !strings.HasSuffix(w.head, "\r")) {
		return fmt.Errorf("%w: it answers with no WebSocket", errGuard)
	}
	if w.head += string(rune(c)); len(w.head) > 2*len(end) {
		w.head = w.head[len(w.head)-len(end):]
	}
	w.open = strings.HasSuffix(w.head, end)
	return nil
}

// begin begins a frame once its header is whole. Packed frames were not agreed on,
// and a server masks none.
func (w *webFrames) begin() error {
	const reserved, masked, control = 0x70, 0x80, 0x08
	h := w.header
	if h[0]&reserved != 0 || (len(h) > 1 && h[1]&masked != 0) {
		return fmt.Errorf("%w: a frame is of no kind that was agreed on", errGuard)
	}
	if len(h) < 2 {
		return nil
	}
	size, from := uint64(h[1]), 2
	switch size {
	case 126:
		from = 4
	case 127:
		from = 10
	}
	if len(h) < from {
		return nil
	}
	if from > 2 {
		size = 0
		for _, c := range h[2:] {
			size = size<<8 | uint64(c)
		}
	}
	if size > maxReplyBytes {
		return fmt.Errorf("%w: a frame is over %d bytes", errGuard, maxReplyBytes)
	}
	w.left, w.data, w.header = size, h[0]&control == 0, h[:0]
	return nil
}
