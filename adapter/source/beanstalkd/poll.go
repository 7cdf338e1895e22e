package beanstalkd

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
)

// reasonNoTube is only this source's.
const reasonNoTube = "TubeNotFound"

// The values that this source adds.
const (
	// Delayed jobs become ready after a while.
	Delayed query.Kind = "Delayed"
	// Buried jobs wait for somebody to kick or delete them.
	Buried query.Kind = "Buried"
)

// poller reads one tube.
type poller struct {
	query  *tubeQuery
	server *server
	once   sync.Once
	lives  lives
}

// Close gives the connections back.
func (p *poller) Close() { p.once.Do(p.server.release) }

// Poll asks for the tube's statistics and for the server's, at once.
func (p *poller) Poll(ctx context.Context) (query.Reading, error) {
	sent := source.Now()
	replies, err := p.server.exchange(ctx, "stats-tube "+p.query.tube+"\r\nstats\r\n", 2)
	if err != nil {
		return query.Reading{}, access.Failure(p.query.address, err)
	}
	for _, r := range replies {
		if r.word == "NOT_FOUND" {
			p.lives.gone()
			return query.Reading{}, source.Errorf(reasonNoTube, "tube %s does not exist: it has no jobs and no client uses or watches it, or that is not its name", p.query.tube)
		}
		if r.word != "OK" {
			return query.Reading{}, source.Errorf(source.ReasonFailed, "%s refused the request with %s", p.query.address, r.word)
		}
	}
	t, err := parseTube(replies[0].data, p.query.tube)
	if err != nil {
		return query.Reading{}, err
	}
	id, err := parseServer(replies[1].data)
	if err != nil {
		return query.Reading{}, err
	}
	return t.reading(sent, p.lives.epoch(id, t)), nil
}

// reading turns statistics into a reading. The server gives no time.
func (t tube) reading(sent time.Time, epoch string) query.Reading {
	return query.Reading{
		At: sent,
		Gauges: map[query.Kind]query.Gauge{
			query.Depth:      query.NumberOf(float64(t.ready) + float64(t.reserved)),
			query.Pending:    query.NumberOf(float64(t.ready)),
			query.AckPending: query.NumberOf(float64(t.reserved)),
			Delayed:          query.NumberOf(float64(t.delayed)),
			Buried:           query.NumberOf(float64(t.buried)),
		},
		Epoch:   epoch,
		Arrived: &t.total, Drained: &t.deleted,
	}
}

// lives tells the lives of a tube apart. The server drops a tube that is empty
// and that no client refers to, and counts from 0 when it makes it again.
type lives struct {
	count int
	last  tube
}

// gone ends a life.
func (l *lives) gone() {
	l.count++
	l.last = tube{}
}

// epoch names the life of a tube's counters within a life of its server.
func (l *lives) epoch(server string, t tube) string {
	if t.total < l.last.total || t.deleted < l.last.deleted {
		l.count++
	}
	l.last = t
	return server + "/" + strconv.Itoa(l.count)
}
