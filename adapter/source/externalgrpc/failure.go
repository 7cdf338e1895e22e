package externalgrpc

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// failure says in our words why a method had no answer. What a scaler says in an
// error is not repeated, since it may hold the metadata that it was given, or
// credentials of its own; its code is.
func failure(address, method string, err error) *source.Error {
	said := status.Convert(err)
	switch said.Code() {
	case codes.Unavailable:
		return unavailable(address, said.Message())
	case codes.DeadlineExceeded:
		return source.Errorf(source.ReasonTimeout, "%s did not answer %s in time", address, method)
	case codes.Unauthenticated, codes.PermissionDenied:
		return source.Errorf(source.ReasonUnauthorized, "%s refused the credentials (%s of %s)", address, said.Code(), method)
	case codes.Unimplemented:
		return source.Errorf(reasonNoScaler, "%s does not serve externalscaler.ExternalScaler/%s: it is no external scaler of KEDA's", address, method)
	case codes.Canceled:
		return source.Errorf(source.ReasonUnreachable, "the connection to %s was closed", address)
	}
	// These are the client's own words for a reply that it could not read; whether
	// a scaler can say the same is no matter.
	if text := said.Message(); strings.HasPrefix(text, "grpc:") || strings.HasPrefix(text, "unexpected HTTP status") ||
		strings.Contains(text, "malformed header") || text == "unexpected EOF" {
		return source.Errorf(source.ReasonBadReply, "%s answered %s with what is no reply of the protocol", address, method)
	}
	return source.Errorf(reasonRefused, "%s answered %s with the error %s; the scaler's own log says more", address, method, said.Code())
}

// connecting begins the client's words about a connection that was not made. They
// hold nothing that would have been sent over it.
const connecting = "connection error: desc = "

// unavailable tells apart why there is no connection.
func unavailable(address, message string) *source.Error {
	reason, ours := strings.CutPrefix(message, connecting)
	reason = strings.Trim(reason, `"`)
	switch {
	case !ours:
		// The connection was lost under the request or as it was made (so it can look
		// where a server does not like the client's certificate), or the scaler says
		// so itself.
		return source.Errorf(source.ReasonUnreachable, "the connection to %s was lost, or what is behind it is not available", address)
	case strings.Contains(reason, "tls: ") || strings.Contains(reason, "x509: ") || strings.Contains(reason, "handshake failed"):
		return source.Errorf(source.ReasonTLS, "the connection to %s could not be secured: %s", address, reason)
	case strings.Contains(reason, "http2: "):
		return source.Errorf(source.ReasonBadReply, "%s does not speak gRPC, or only over TLS", address)
	}
	return source.Errorf(source.ReasonUnreachable, "the connection to %s failed: %s", address, reason)
}
