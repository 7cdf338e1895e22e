package rabbitmq

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/access"
	"github.com/quartet-autoscaling/quartet/adapter/source/httpapi"
)

const (
	// pageSize is the most that the API gives at a time.
	pageSize = 500
	// maxPages bounds what one poll reads: 50,000 queues.
	maxPages = 100
	// listAttempts is how often a list that changed while it was read is read again.
	listAttempts = 3
)

// managementPoller asks the management API.
type managementPoller struct {
	query   *rabbitQuery
	client  *httpapi.Client
	release func()
	lives   lives
}

func newManagementPoller(q *rabbitQuery) *managementPoller {
	p := &managementPoller{query: q, lives: lives{first: source.Now()}}
	p.client, p.release = q.builder.clients.Acquire(q.link.key, func() *httpapi.Client {
		return httpapi.New(httpapi.Auth{Basic: q.link.basic}, q.link.tls)
	}, (*httpapi.Client).Close)
	return p
}

// Close gives the client back.
func (p *managementPoller) Close() { p.release() }

// found are queues with the bounds of when they were read.
type found struct {
	queues []queueReply
	sent   time.Time
	// answered is the time of the answer by the broker's own clock.
	answered time.Time
}

// Poll reads the queue, or all queues of the pattern.
func (p *managementPoller) Poll(ctx context.Context) (query.Reading, error) {
	read := p.one
	if p.query.pattern != nil {
		read = p.matching
	}
	f, err := read(ctx)
	if err != nil {
		return query.Reading{}, err
	}
	t, err := total(f.queues, f.answered)
	if err != nil {
		return query.Reading{}, err
	}
	return query.Reading{
		// The API answers with what was counted before. It does not say when, so it
		// was at the earliest as long ago as its figures can be old.
		At:      f.sent.Add(-p.query.statisticsAge),
		Gauges:  t.gauges(),
		Epoch:   p.lives.epoch(f.queues, t),
		Arrived: t.arrived, Drained: t.drained,
	}, nil
}

// one reads the queue that is named.
func (p *managementPoller) one(ctx context.Context) (found, error) {
	q := p.query
	document, err := p.get(ctx, "/"+url.PathEscape(q.queue), url.Values{"columns": {columns}})
	if err != nil {
		return found{}, err
	}
	if document.Status == http.StatusNotFound {
		// The API knows no classic queue whose node is down.
		return found{}, source.Errorf(reasonNoQueue, "queue %s of virtual host %s does not exist, or the node that holds it is down", q.queue, q.link.vhost)
	}
	queue, err := parseQueue(document.Body, q.queue)
	if err != nil {
		return found{}, err
	}
	return found{queues: []queueReply{queue}, sent: document.Sent, answered: answeredAt(document)}, nil
}

// matching reads the list of queues and keeps those that the pattern names. A list
// that changes from one page to the next is read again, since a queue could be in
// neither of the two.
func (p *managementPoller) matching(ctx context.Context) (found, error) {
	for range listAttempts {
		f, steady, err := p.list(ctx)
		if err != nil || steady {
			return f, err
		}
	}
	return found{}, source.Errorf(reasonChanging, "the queues of virtual host %s change faster than they can be listed", p.query.link.vhost)
}

// list reads all pages once, with steady false where they do not belong together.
func (p *managementPoller) list(ctx context.Context) (f found, steady bool, err error) {
	seen, first := map[string]bool{}, 0
	for number := 1; number <= maxPages; number++ {
		document, err := p.get(ctx, "", p.query.pattern.ask(number))
		switch {
		case err != nil:
			return found{}, false, err
		case document.Status == http.StatusNotFound:
			return found{}, false, source.Errorf(reasonNoVHost, "%s has no virtual host %s", p.query.link.server(), p.query.link.vhost)
		case document.Status == http.StatusBadRequest:
			// The page that was there when the one before it was read is gone.
			return found{}, false, nil
		}
		page, err := parsePage(document.Body, number)
		if err != nil {
			return found{}, false, err
		}
		if number == 1 {
			f.sent, f.answered, first = document.Sent, answeredAt(document), *page.Filtered
		}
		for _, q := range page.Items {
			if seen[q.Name] {
				return found{}, false, nil
			}
			seen[q.Name] = true
			if p.query.pattern.whole.MatchString(q.Name) {
				f.queues = append(f.queues, q)
			}
		}
		if *page.Filtered != first {
			return found{}, false, nil
		}
		if number >= page.Pages {
			return f, len(seen) == first, nil
		}
	}
	return found{}, false, source.Errorf(source.ReasonFailed, "virtual host %s has more than %d queues that begin as the pattern does",
		p.query.link.vhost, maxPages*pageSize)
}

// ask are the parameters of a page. The broker is asked for the part of the names
// that is fixed; the pattern itself is not its to judge, since its regular
// expressions are others.
func (p *pattern) ask(number int) url.Values {
	values := url.Values{
		"columns": {columns}, "sort": {"name"},
		"page": {strconv.Itoa(number)}, "page_size": {strconv.Itoa(pageSize)},
	}
	if p.prefix != "" {
		values.Set("name", p.prefix)
		values.Set("use_regex", "false")
	}
	return values
}

// get asks for what is below the virtual host's queues. An answer that is no
// document is an error, but for the two that say something of the queues.
func (p *managementPoller) get(ctx context.Context, path string, values url.Values) (httpapi.Document, error) {
	root := p.query.link.root
	address := httpapi.Join(root, "/api/queues/"+url.PathEscape(p.query.link.vhost)+path, values)
	document, err := p.client.Get(ctx, address, http.Header{"Accept": {"application/json"}})
	if err != nil {
		return httpapi.Document{}, err
	}
	if document.Status == http.StatusNotFound || (values.Get("page") != "" && values.Get("page") != "1" && document.Status == http.StatusBadRequest) {
		return document, nil
	}
	return document, document.Refusal(root)
}

// answeredAt is the broker's own time of the answer, ours where it gives none.
func answeredAt(d httpapi.Document) time.Time {
	if at, err := http.ParseTime(d.Header.Get("Date")); err == nil {
		return at
	}
	return d.Received
}

// lives tells whether the counters of a reading go on from those of the one
// before. The API names no start of a queue or a node to everyone who may read
// queues, so the beginning of another life shows by figures that only grow within
// one and went down.
type lives struct {
	// first begins another epoch with each poller: it cannot know what was before.
	first time.Time
	count int
	last  map[string]life
}

type life struct{ reductions, arrived, drained uint64 }

// epoch names the lives of the counters of these queues.
func (l *lives) epoch(queues []queueReply, t totals) string {
	next := make(map[string]life, len(queues))
	begun := false
	for _, q := range queues {
		var now life
		now.arrived, _ = q.Stats.arrived()
		now.drained, _ = q.Stats.drained()
		if q.Reductions != nil {
			now.reductions = *q.Reductions
		}
		before := l.last[q.Name]
		begun = begun || now.reductions < before.reductions || now.arrived < before.arrived || now.drained < before.drained
		next[q.Name] = now
	}
	if begun {
		l.count++
	}
	l.last = next
	return access.Digest(l.first.UnixNano(), l.count, slices.Clone(t.shape))[:16]
}
