package sqlconn

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"github.com/quartet-autoscaling/quartet/adapter/source/access"
)

// MaxReply bounds what a server answers to one command, in bytes: one row with one
// number is far smaller. Clients keep what a server tells of itself, and would keep
// any amount.
const MaxReply = 256 << 10

// ErrTooLong is an answer that was cut off.
var ErrTooLong = errors.New("the server's answer is too long")

// Bounded is a connection that reads MaxReply bytes at the most after each write.
type Bounded struct {
	*net.TCPConn
	left    atomic.Int64
	tooLong atomic.Bool
}

// DialBounded makes one.
func DialBounded(ctx context.Context, network, address string) (*Bounded, error) {
	made, err := access.Dialer(0).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	tcp, ok := made.(*net.TCPConn)
	if !ok {
		return nil, errors.Join(errors.New("no TCP connection"), made.Close())
	}
	b := &Bounded{TCPConn: tcp}
	b.left.Store(MaxReply)
	return b, nil
}

// TooLong tells whether an answer was cut off.
func (b *Bounded) TooLong() bool { return b.tooLong.Load() }

func (b *Bounded) Write(p []byte) (int, error) {
	b.left.Store(MaxReply)
	return b.TCPConn.Write(p)
}

func (b *Bounded) Read(p []byte) (int, error) {
	if b.left.Load() <= 0 {
		b.tooLong.Store(true)
		return 0, ErrTooLong
	}
	n, err := b.TCPConn.Read(p)
	b.left.Add(-int64(n))
	return n, err
}
