package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"github.com/quartet-autoscaling/quartet/adapter/source"
)

// Failure says in our words why a server was not reached or did not answer, with
// a reason that any source can have. Server names it for people. An error that
// is a *source.Error already is given as it is; of any other only what cannot
// hold a credential is repeated, or its text without the secrets.
func Failure(server string, err error, secrets ...Secret) *source.Error {
	var already *source.Error
	switch {
	case errors.As(err, &already):
		return already
	case IsTimeout(err):
		return source.Errorf(source.ReasonTimeout, "%s did not answer in time", server)
	case IsTLS(err):
		return source.Errorf(source.ReasonTLS, "the connection to %s could not be secured: %s", server, Scrub(err.Error(), secrets...))
	}
	return source.Errorf(source.ReasonUnreachable, "the connection to %s failed: %s", server, Scrub(err.Error(), secrets...))
}

// IsTimeout tells whether an error is that of a time that ran out.
func IsTimeout(err error) bool {
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || (errors.As(err, &network) && network.Timeout())
}

// IsTLS tells whether an error is that of a connection that could not be secured.
func IsTLS(err error) bool {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &unknown) || errors.As(err, &host) || errors.As(err, &invalid) ||
		errors.As(err, &verify) || errors.As(err, &record) || errors.As(err, &alert) ||
		strings.Contains(err.Error(), "tls: ")
}
