package externalgrpc

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// pusher is a poller that the server tells of changes. It is a source.Pusher.
type pusher struct{ *poller }

// Watch listens to StreamIsActive. What the server says there is a boolean, which
// is not the value: so each message only has a poll follow. A server that does
// not serve the stream is left alone until the connection to it was lost, since
// another version may be behind the next one.
func (p *pusher) Watch(ctx context.Context, changed func()) error {
	// Ends the stream however this returns.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := p.client.StreamIsActive(ctx, p.query.ref())
	for err == nil {
		if _, err = stream.Recv(); err == nil {
			changed()
		}
	}
	switch {
	case ctx.Err() != nil || errors.Is(err, io.EOF):
		return nil
	case status.Code(err) == codes.Unimplemented:
		p.conn.lost(ctx)
		return nil
	}
	return failure(p.query.link.address, "StreamIsActive", err)
}
