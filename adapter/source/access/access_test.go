package access_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/brokers/brokertest"
)

const secret = "correct-horse-battery"

func key(name string) *v1alpha1.SecretKey { return &v1alpha1.SecretKey{Name: "s", Key: name} }

// TestSecretsPrintAsNothing prints credentials in every way, by themselves and in
// fields that package fmt may not look into.
func TestSecretsPrintAsNothing(t *testing.T) {
	authority := brokertest.NewAuthority(t, t.TempDir())
	pair := authority.Client(t, "someone")
	secrets := brokertest.Secrets{"s/password": secret, "s/ca": authority.CA, "s/crt": pair.Certificate, "s/key": pair.Key}
	r := access.NewReader(t.Context(), secrets)
	password := r.Text(key("password"))
	basic := r.Basic(&v1alpha1.BasicAuth{Username: *key("password"), Password: *key("password")})
	secured := r.TLS(&v1alpha1.TLS{CA: key("ca"), ClientCertificate: key("crt"), ClientKey: key("key")})
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	type hides struct {
		password access.Secret
		basic    access.Basic
		list     []access.Secret
		tls      access.TLS
	}
	type shows struct {
		Password access.Secret
		Basic    access.Basic
		TLS      access.TLS
	}
	// The beginning of the key, as text and as the numbers that bytes print as.
	clear := []string{secret, strings.TrimSpace(pair.Key)[30:60], strings.Trim(fmt.Sprint([]byte(pair.Key)[30:50]), "[]")}
	for name, value := range map[string]any{
		"secret": password, "its pointer": &password, "basic": basic, "TLS": secured, "list": []access.Secret{password},
		"map": map[string]access.Secret{"a": password}, "exported": shows{password, basic, secured},
		"unexported": hides{password, basic, []access.Secret{password}, secured}, "its pointer too": &hides{password: password, tls: secured},
	} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			text := fmt.Sprintf(format, value)
			for _, c := range append(clear, fmt.Sprintf("%x", secret)) {
				if strings.Contains(text, c) {
					t.Errorf("%s shows a credential of %s: %.200s", format, name, text)
				}
			}
		}
		encoded, err := json.Marshal(value)
		if err != nil || strings.Contains(string(encoded), secret) {
			t.Errorf("as JSON %s is %s (%v)", name, encoded, err)
		}
		if text := fmt.Sprint(errors.Join(fmt.Errorf("with %v", value))); strings.Contains(text, secret) {
			t.Errorf("an error shows %s: %s", name, text)
		}
	}
	if password.Reveal() != secret || password.Empty() || !(access.Secret{}).Empty() || !access.NewSecret("").Empty() || (access.Secret{}).Reveal() != "" {
		t.Error("a credential is not what it was made of")
	}
}

func TestReader(t *testing.T) {
	secrets := brokertest.Secrets{"s/user": " reader\n", "s/password": "a b\n", "s/bytes": "\x00 x\n"}
	r := access.NewReader(t.Context(), secrets)
	basic := r.Basic(&v1alpha1.BasicAuth{Username: *key("user"), Password: *key("password")})
	got := []string{basic.User.Reveal(), basic.Password.Reveal(), string(r.Bytes(key("bytes"))), string(r.Bytes(nil)), r.Basic(nil).User.Reveal()}
	if diff := cmp.Diff([]string{"reader", "a b", "\x00 x\n", "", ""}, got); diff != "" || r.Err() != nil {
		t.Errorf("error %v (-want +got):\n%s", r.Err(), diff)
	}
	r.Text(&v1alpha1.SecretKey{Name: "gone", Key: "a"})
	first := r.Err()
	if reason, _ := source.ReasonOf(first); reason != "SecretNotFound" {
		t.Fatalf("the error is %v", first)
	}
	if r.Text(&v1alpha1.SecretKey{Name: "also", Key: "a"}); !r.Text(key("user")).Empty() || r.Err() != first {
		t.Errorf("after an error it reads on: %v", r.Err())
	}
}

func TestDigest(t *testing.T) {
	a, b := access.NewSecret("a"), access.NewSecret("b")
	one := access.Digest("x", 1, []string{"y"}, a, access.Basic{User: a, Password: b}, access.TLS{Set: true})
	if one != access.Digest("x", 1, []string{"y"}, access.NewSecret("a"), access.Basic{User: a, Password: b}, access.TLS{Set: true}) {
		t.Error("equal parts have two digests")
	}
	for name, other := range map[string]string{
		"a text":         access.Digest("z", 1, []string{"y"}, a, access.Basic{User: a, Password: b}, access.TLS{Set: true}),
		"a secret":       access.Digest("x", 1, []string{"y"}, b, access.Basic{User: a, Password: b}, access.TLS{Set: true}),
		"a password":     access.Digest("x", 1, []string{"y"}, a, access.Basic{User: a, Password: a}, access.TLS{Set: true}),
		"no TLS":         access.Digest("x", 1, []string{"y"}, a, access.Basic{User: a, Password: b}, access.TLS{}),
		"other borders":  access.Digest("x1", []string{"y"}, a, access.Basic{User: a, Password: b}, access.TLS{Set: true}),
		"no credentials": access.Digest("x", 1, []string{"y"}, access.Secret{}, access.Basic{}, access.TLS{Set: true}),
	} {
		if other == one {
			t.Errorf("%s makes no difference", name)
		}
	}
	if strings.Contains(access.Digest(access.NewSecret(secret)), secret) || access.Digest("ab", "c") == access.Digest("a", "bc") {
		t.Error("a digest shows its parts, or joins them")
	}
}

func TestScrub(t *testing.T) {
	got := access.Scrub("user reader, password "+secret+", "+secret, access.NewSecret(secret), access.NewSecret("a"), access.Secret{}, access.NewSecret("reader"))
	if got != "user ***, password ***, ***" {
		t.Errorf("got %q", got)
	}
}

// timeout is a network's error of a time that ran out.
type timeout struct{ error }

func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

func TestFailure(t *testing.T) {
	ours := source.Errorf("QueueNotFound", "no such queue")
	for name, test := range map[string]struct {
		err    error
		reason string
	}{
		"ours":              {fmt.Errorf("poll: %w", ours), "QueueNotFound"},
		"deadline":          {fmt.Errorf("read: %w", context.DeadlineExceeded), source.ReasonTimeout},
		"network's timeout": {&url.Error{Op: "Get", URL: "u", Err: timeout{io.EOF}}, source.ReasonTimeout},
		"unknown authority": {fmt.Errorf("dial: %w", x509.UnknownAuthorityError{}), source.ReasonTLS},
		"server's name":     {x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"}, source.ReasonTLS},
		"verification":      {&tls.CertificateVerificationError{Err: errors.New("x")}, source.ReasonTLS},
		"alert":             {tls.AlertError(42), source.ReasonTLS},
		"no TLS there":      {tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, source.ReasonTLS},
		"text only":         {errors.New("remote error: tls: bad certificate"), source.ReasonTLS},
		"refused":           {&net.OpError{Op: "dial", Err: errors.New("connection refused")}, source.ReasonUnreachable},
		"end":               {io.EOF, source.ReasonUnreachable},
		"with a password":   {errors.New("cannot use password " + secret), source.ReasonUnreachable},
		"TLS and password":  {errors.New("tls: password " + secret), source.ReasonTLS},
	} {
		t.Run(name, func(t *testing.T) {
			got := access.Failure("broker:1", test.err, access.NewSecret(secret))
			if got.Reason != test.reason || strings.Contains(got.Message, secret) {
				t.Errorf("got %s: %s, want %s", got.Reason, got.Message, test.reason)
			}
			if test.reason != "QueueNotFound" && !strings.Contains(got.Message, "broker:1") {
				t.Errorf("the message names no server: %s", got.Message)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	authority := brokertest.NewAuthority(t, t.TempDir())
	pair, other := authority.Client(t, "someone"), authority.Client(t, "another")
	secrets := brokertest.Secrets{
		"s/ca": authority.CA, "s/crt": pair.Certificate, "s/key": pair.Key, "s/other": other.Key, "s/none": secret,
	}
	for name, test := range map[string]struct {
		tls  *v1alpha1.TLS
		want string
	}{
		"none":            {nil, ""},
		"the system's":    {&v1alpha1.TLS{}, ""},
		"mutual":          {&v1alpha1.TLS{CA: key("ca"), ClientCertificate: key("crt"), ClientKey: key("key"), ServerName: "elsewhere"}, ""},
		"a CA of none":    {&v1alpha1.TLS{CA: key("none")}, "holds no PEM certificate"},
		"another's key":   {&v1alpha1.TLS{ClientCertificate: key("crt"), ClientKey: key("other")}, "no PEM pair"},
		"a key of none":   {&v1alpha1.TLS{ClientCertificate: key("crt"), ClientKey: key("none")}, "no PEM pair"},
		"a missing key":   {&v1alpha1.TLS{CA: key("gone")}, "does not exist"},
		"a key and no CA": {&v1alpha1.TLS{ClientCertificate: key("crt"), ClientKey: key("key")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := access.NewReader(t.Context(), secrets)
			got := r.TLS(test.tls)
			if test.want != "" {
				if r.Err() == nil || !strings.Contains(r.Err().Error(), test.want) || strings.Contains(r.Err().Error(), secret) {
					t.Fatalf("got error %v, want one with %q", r.Err(), test.want)
				}
				return
			}
			if r.Err() != nil || got.Set != (test.tls != nil) {
				t.Fatalf("set is %t with error %v", got.Set, r.Err())
			}
			config := got.Config()
			if config.MinVersion < tls.VersionTLS12 || config.InsecureSkipVerify {
				t.Error("the connection is weaker than asked for")
			}
			if test.tls == nil {
				return
			}
			if (config.RootCAs != nil) != (test.tls.CA != nil) || (len(config.Certificates) == 1) != (test.tls.ClientKey != nil) || config.ServerName != test.tls.ServerName {
				t.Errorf("the configuration is not the object's")
			}
		})
	}
	r := access.NewReader(t.Context(), secrets)
	if !r.TLS(&v1alpha1.TLS{InsecureSkipVerify: true}).Config().InsecureSkipVerify {
		t.Error("what was asked for is not done")
	}
}
