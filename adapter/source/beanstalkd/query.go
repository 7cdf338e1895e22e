package beanstalkd

import (
	"cmp"
	"context"
	"net"
	"regexp"
	"strconv"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// Kind is this system's name in spec.source.
const Kind = "beanstalkd"

const (
	field       = "spec.source.beanstalkd"
	defaultTube = "default"
	maxTube     = 200
)

// tubeName is what the protocol allows. Anything else could be another command.
var tubeName = regexp.MustCompile(`^[A-Za-z0-9+/;.$_()][A-Za-z0-9+/;.$_()-]*$`)

// Builder builds queries that share connections to one server. It is a
// source.Builder.
type Builder struct{ servers *servers }

// NewBuilder makes a Builder without any connection.
func NewBuilder() *Builder { return &Builder{servers: &servers{held: map[string]*server{}}} }

// Kind is this system's name.
func (b *Builder) Kind() string { return Kind }

// Describe names the tube.
func (b *Builder) Describe(s v1alpha1.Source) (string, bool) {
	if s.Beanstalkd == nil {
		return "", false
	}
	return Kind + " " + tubeOf(*s.Beanstalkd), true
}

func tubeOf(spec v1alpha1.BeanstalkdSource) string { return cmp.Or(spec.Tube, defaultTube) }

// Build checks the object.
func (b *Builder) Build(_ context.Context, r source.Request) (source.Query, error) {
	spec := r.Source.Beanstalkd
	if spec == nil {
		return nil, source.Errorf(source.ReasonInvalid, "%s is not set", field)
	}
	tube := tubeOf(*spec)
	host, port, err := net.SplitHostPort(spec.Address)
	number, badPort := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || host == "" || badPort != nil || number == 0:
		return nil, source.Errorf(source.ReasonInvalid, "%s.address must be host:port", field)
	case len(tube) > maxTube || !tubeName.MatchString(tube):
		return nil, source.Errorf(source.ReasonInvalid, "%s.tube is no name of a tube", field)
	}
	return &tubeQuery{servers: b.servers, address: spec.Address, tube: tube, key: access.Digest(spec.Address, tube)}, nil
}

// tubeQuery is one tube of one server.
type tubeQuery struct {
	servers       *servers
	address, tube string
	key           string
}

func (q *tubeQuery) Kind() string    { return Kind }
func (q *tubeQuery) Key() string     { return q.key }
func (q *tubeQuery) Subject() string { return q.key }
func (q *tubeQuery) String() string  { return Kind + " " + q.tube + " at " + q.address }
func (q *tubeQuery) Server() string  { return q.address }

// Open makes the poller. The connection is made by the first poll.
func (q *tubeQuery) Open() (source.Poller, error) {
	return &poller{query: q, server: q.servers.acquire(q.address)}, nil
}
