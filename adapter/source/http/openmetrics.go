package httpsource

import (
	"bytes"
	"mime"
	"strconv"
	"strings"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/httpapi"
)

// openMetricsType is the media type of OpenMetrics; all else that has lines of
// samples counts as the Prometheus text format.
const openMetricsType = "application/openmetrics-text"

// acceptSeries prefers the Prometheus text format, in which a metric has the name
// that its program gave it: libraries add _total to counters in OpenMetrics.
const acceptSeries = "text/plain;version=0.0.4," + openMetricsType + ";version=1.0.0;q=0.5,*/*;q=0.1"

// seriesExtractor finds the one series that has the selector's labels.
type seriesExtractor struct {
	text   string
	wanted series
}

func newSeriesExtractor(selector string) (*seriesExtractor, error) {
	wanted, err := parseSelector(selector)
	if err != nil {
		return nil, source.Errorf(source.ReasonInvalid, "spec.source.http.openMetrics is no series such as queue_depth{queue=\"orders\"}: it has %v", err)
	}
	return &seriesExtractor{text: selector, wanted: wanted}, nil
}

func (e *seriesExtractor) accept() string { return acceptSeries }
func (e *seriesExtractor) String() string { return e.text }

// extract reads every line, so that a document that is none is not taken for one
// that lacks the series.
func (e *seriesExtractor) extract(where string, d httpapi.Document) (sample, error) {
	mediaType, _, _ := mime.ParseMediaType(d.Header.Get("Content-Type"))
	open := mediaType == openMetricsType
	found, ended, number := []line{}, false, 0
	var labels []label
	for text := range strings.Lines(string(d.Body)) {
		number++
		text = strings.Trim(text, " \t\r\n")
		switch {
		case text == "":
			continue
		case ended:
			return sample{}, source.Errorf(source.ReasonBadReply, "the document of %s goes on after its end in line %d", where, number)
		case text[0] == '#':
			ended = open && text == "# EOF"
			continue
		}
		l, err := parseLine(text, labels)
		if err != nil {
			return sample{}, source.Errorf(source.ReasonBadReply, "the document of %s is no list of metrics: line %d has %v", where, number, err)
		}
		labels = l.labels
		if e.wanted.matches(l.series) {
			found = append(found, line{value: l.value, time: l.time})
		}
	}
	switch {
	case !open && !d.Whole && !bytes.HasSuffix(d.Body, []byte("\n")):
		// A number that was cut is another one.
		return sample{}, source.Errorf(source.ReasonBadReply, "the document of %s is cut short: its last line has no end", where)
	case open && !ended:
		return sample{}, source.Errorf(source.ReasonBadReply, "the document of %s is cut short: it has no # EOF", where)
	case len(found) == 0:
		return sample{gauge: query.Gauge{Presence: query.Empty}}, nil
	case len(found) > 1:
		return sample{}, source.Errorf(reasonAmbiguous, "the document of %s has %d series that are %s: name more of the labels", where, len(found), e.text)
	}
	measured, ok := timestamp(found[0].time, open)
	if !ok {
		return sample{}, source.Errorf(source.ReasonBadReply, "the document of %s has a timestamp that is none", where)
	}
	return sample{gauge: query.NumberOf(found[0].value), measured: measured}, nil
}

// timestamp reads seconds with a fraction in OpenMetrics, and whole milliseconds
// in the Prometheus text format; the zero time for "".
func timestamp(text string, open bool) (time.Time, bool) {
	if text == "" {
		return time.Time{}, true
	}
	if open {
		seconds, ok := parseNumber(text)
		if !ok {
			return time.Time{}, false
		}
		return secondsSince1970(seconds)
	}
	milliseconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	return secondsSince1970(float64(milliseconds) / 1000)
}
