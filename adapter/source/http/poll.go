package httpsource

import (
	"context"
	"net/http"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source/httpapi"
)

// documents gets documents and finds the value in each.
type documents struct {
	client    *httpapi.Client
	release   func()
	extractor extractor
}

// Close gives the client back; the last of its users ends its connections.
func (d documents) Close() { d.release() }

// get reads one document. Its error is a *source.Error.
func (d documents) get(ctx context.Context, address string) (answer, error) {
	document, err := d.client.Get(ctx, address, http.Header{"Accept": {d.extractor.accept()}})
	if err != nil {
		return answer{}, err
	}
	if err := document.Refusal(address); err != nil {
		return answer{}, err
	}
	where := httpapi.Server(address)
	found, err := d.extractor.extract(where, document)
	if err != nil {
		return answer{}, err
	}
	return place(where, found, document)
}

// urlPoller reads one URL's document.
type urlPoller struct {
	documents
	url string
}

// Poll reads the document.
func (p *urlPoller) Poll(ctx context.Context) (query.Reading, error) {
	a, err := p.get(ctx, p.url)
	if err != nil {
		return query.Reading{}, err
	}
	return query.Reading{At: a.at, Skew: a.skew, Gauges: map[query.Kind]query.Gauge{query.Value: a.gauge}}, nil
}
