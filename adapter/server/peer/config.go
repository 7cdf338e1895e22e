// Package peer passes reads of external metrics on to other adapters of the
// cluster, by rules: one adapter per cluster is asked for external metrics, and
// so the one that is asked has to ask the others. A peer is called as this
// process's own ServiceAccount and by nobody's leave but that of the caller having
// been authorized here before; nothing of the caller's request but the metric's
// name, namespace and selector reaches it. It holds no metric of our own.
package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/clock"
)

const (
	defaultTimeout = 5 * time.Second
	maxTimeout     = 25 * time.Second
	httpsPort      = 443
)

// Rule is one peer and the metrics that it is asked for.
type Rule struct {
	// Name is the peer's in errors and metrics.
	Name string
	// Namespace, Service and Port say where it listens.
	Namespace, Service string
	Port               int
	// Metrics matches the names that are passed on.
	Metrics *regexp.Regexp
	// Namespaces that are passed on; empty: all.
	Namespaces []string
	// CAFile holds the PEM certificates that the peer's is verified by, as that of
	// <service>.<namespace>.svc.
	CAFile string
	// Insecure accepts any certificate. Whoever answers at the Service's address
	// then learns our token.
	Insecure bool
	// TokenFile holds the token that the peer is called with; empty: that of the
	// connection to the API server.
	TokenFile string
	// Timeout of one request.
	Timeout time.Duration
	// MaxAge is the age past which a peer's sample is refused; 0: never.
	MaxAge time.Duration
}

// host is the name that the Service has in the cluster's DNS.
func (r Rule) host() string { return r.Service + "." + r.Namespace + ".svc" }

// String names the peer for people.
func (r Rule) String() string {
	return fmt.Sprintf("peer %s (Service %s/%s)", r.Name, r.Namespace, r.Service)
}

// Covers tells whether the rule passes a metric of a namespace on.
func (r Rule) Covers(namespace, metric string) bool {
	return (len(r.Namespaces) == 0 || slices.Contains(r.Namespaces, namespace)) && r.Metrics.MatchString(metric)
}

// setters are the keys of a rule and what they set.
var setters = map[string]func(*Rule, string) error{
	"name":       func(r *Rule, v string) error { r.Name = v; return label(v) },
	"service":    (*Rule).setService,
	"metrics":    (*Rule).setMetrics,
	"namespaces": (*Rule).setNamespaces,
	"ca-file":    func(r *Rule, v string) error { r.CAFile = v; return nil },
	"token-file": func(r *Rule, v string) error { r.TokenFile = v; return nil },
	"insecure-skip-verify": func(r *Rule, v string) (err error) {
		r.Insecure, err = strconv.ParseBool(v)
		return err
	},
	"timeout": func(r *Rule, v string) (err error) { r.Timeout, err = time.ParseDuration(v); return err },
	"max-age": func(r *Rule, v string) (err error) { r.MaxAge, err = time.ParseDuration(v); return err },
}

// keyStart is where a comma begins another key; other commas are of the value.
var keyStart = regexp.MustCompile(`,([a-z-]+)=`)

// ParseRule reads a rule such as
// "name=keda,service=keda/keda-operator-metrics-apiserver:443,metrics=^s[0-9]+-,ca-file=/ca.crt".
// A comma belongs to a value unless a key and "=" follow it.
func ParseRule(text string) (Rule, error) {
	rule := Rule{Timeout: defaultTimeout}
	seen := map[string]bool{}
	for _, part := range split(text) {
		key, value, ok := strings.Cut(part, "=")
		set, known := setters[key]
		switch {
		case !ok || !known:
			return Rule{}, fmt.Errorf("%q is not one of name=, service=, metrics=, namespaces=, ca-file=, insecure-skip-verify=, token-file=, timeout=, max-age=", part)
		case seen[key]:
			return Rule{}, fmt.Errorf("%s is given twice", key)
		case value == "":
			return Rule{}, fmt.Errorf("%s has no value", key)
		}
		seen[key] = true
		if err := set(&rule, value); err != nil {
			return Rule{}, fmt.Errorf("%s=%s: %w", key, value, err)
		}
	}
	return rule, rule.validate()
}

func split(text string) []string {
	var parts []string
	begin := 0
	for _, at := range keyStart.FindAllStringIndex(text, -1) {
		parts = append(parts, text[begin:at[0]])
		begin = at[0] + 1
	}
	return append(parts, text[begin:])
}

func label(v string) error {
	if problems := validation.IsDNS1123Label(v); len(problems) > 0 {
		return errors.New(problems[0])
	}
	return nil
}

func (r *Rule) setService(v string) error {
	address, port, hasPort := strings.Cut(v, ":")
	r.Port = httpsPort
	if hasPort {
		var err error
		if r.Port, err = strconv.Atoi(port); err != nil || r.Port < 1 || r.Port > 65535 {
			return fmt.Errorf("%q is no port", port)
		}
	}
	var ok bool
	if r.Namespace, r.Service, ok = strings.Cut(address, "/"); !ok {
		return errors.New("it is to be namespace/name:port")
	}
	return errors.Join(label(r.Namespace), label(r.Service))
}

func (r *Rule) setMetrics(v string) (err error) {
	r.Metrics, err = regexp.Compile(v)
	return err
}

func (r *Rule) setNamespaces(v string) error {
	r.Namespaces = strings.Split(v, ",")
	for _, n := range r.Namespaces {
		if err := label(n); err != nil {
			return fmt.Errorf("%q: %w", n, err)
		}
	}
	return nil
}

func (r Rule) validate() error {
	switch {
	case r.Name == "":
		return errors.New("name is required")
	case r.Service == "":
		return errors.New("service is required: namespace/name:port of the peer's Service")
	case r.Metrics == nil:
		return errors.New("metrics is required: a regular expression of the names to pass on, such as ^s[0-9]+-")
	case r.CAFile == "" && !r.Insecure:
		return errors.New("ca-file is required, to verify the peer by; insecure-skip-verify=true accepts any certificate")
	case r.CAFile != "" && r.Insecure:
		return errors.New("ca-file has no meaning with insecure-skip-verify=true")
	case r.Timeout <= 0 || r.Timeout > maxTimeout:
		return fmt.Errorf("timeout is to be above 0 and at most %s", maxTimeout)
	case r.MaxAge < 0:
		return errors.New("max-age is to be 0 or above")
	}
	for key, path := range map[string]string{"ca-file": r.CAFile, "token-file": r.TokenFile} {
		if path == "" {
			continue
		}
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

// Observer hears of requests, for metrics. Result is "success", "notFound" or a
// reason.
type Observer interface {
	Asked(peer, result string, took time.Duration)
}

// Config is what a peer is called by.
type Config struct {
	// Token is that of the connection to the API server, or TokenFile its file,
	// which is read again as it changes. Rules may have one of their own.
	Token, TokenFile string
	Clock            clock.Clock
	Observer         Observer
	// Dial takes the place of the cluster's DNS, for tests; nil uses it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}
