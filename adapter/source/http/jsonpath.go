package httpsource

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"k8s.io/client-go/util/jsonpath"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/httpapi"
)

// jsonExtractor finds a number in a JSON document by a path.
type jsonExtractor struct {
	path string
	// time is the path of the value's time, empty without one.
	time string
}

func newJSONExtractor(path, timePath string) (*jsonExtractor, error) {
	e := &jsonExtractor{}
	var err error
	if e.path, err = checkPath("jsonPath", path); err != nil {
		return nil, err
	}
	if timePath != "" {
		if e.time, err = checkPath("timestampPath", timePath); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// checkPath puts a path into the braces that the library wants, as kubectl does.
func checkPath(field, path string) (string, error) {
	braced := path
	if !strings.HasPrefix(path, "{") {
		braced = "{" + path + "}"
	}
	if !strings.HasSuffix(braced, "}") || jsonpath.New(field).Parse(braced) != nil {
		return "", source.Errorf(source.ReasonInvalid, "spec.source.http.%s is no path such as {.queue.depth}", field)
	}
	return braced, nil
}

// maxJSON is the length past which a JSON document is refused, in bytes: decoded it
// takes many times as much.
const maxJSON = 2 << 20

func (e *jsonExtractor) accept() string { return "application/json,*/*;q=0.1" }
func (e *jsonExtractor) String() string { return e.path }

func (e *jsonExtractor) extract(where string, d httpapi.Document) (sample, error) {
	if len(d.Body) > maxJSON {
		return sample{}, source.Errorf(source.ReasonBadReply, "the document of %s is longer than %d MiB", where, maxJSON>>20)
	}
	var document any
	if json.Unmarshal(d.Body, &document) != nil {
		return sample{}, source.Errorf(source.ReasonBadReply, "the document of %s is no JSON", where)
	}
	if _, number := document.(float64); number && !d.Whole {
		// A number that was cut is another one; all else of JSON says where it ends.
		return sample{}, source.Errorf(source.ReasonBadReply, "the document of %s is a number that may be cut short: its length is not told", where)
	}
	value, err := find(where, e.path, document)
	if err != nil {
		return sample{}, err
	}
	gauge, ok := gaugeOf(value)
	if !ok {
		return sample{}, source.Errorf(source.ReasonBadReply, "the document of %s has at %s %s, which is no number", where, e.path, typeOf(value))
	}
	if e.time == "" || gauge.Presence == query.Empty {
		return sample{gauge: gauge}, nil
	}
	value, err = find(where, e.time, document)
	if err != nil {
		return sample{}, err
	}
	measured, ok := timeOf(value)
	if !ok {
		return sample{}, source.Errorf(source.ReasonBadReply, "the document of %s has at %s %s, which is no time", where, e.time, typeOf(value))
	}
	return sample{gauge: gauge, measured: measured}, nil
}

// find gives the one value at a path; nil where there is none.
func find(where, path string, document any) (any, error) {
	// A JSONPath has state, and so is used once.
	p := jsonpath.New("value").AllowMissingKeys(true)
	if p.Parse(path) != nil {
		return nil, source.Errorf(source.ReasonInvalid, "%s is no path", path)
	}
	results, err := p.FindResults(document)
	if err != nil {
		return nil, source.Errorf(source.ReasonBadReply, "the document of %s has another shape than %s supposes", where, path)
	}
	var found []reflect.Value
	for _, group := range results {
		found = append(found, group...)
	}
	switch {
	case len(found) > 1:
		return nil, source.Errorf(reasonAmbiguous, "the document of %s has %d values at %s", where, len(found), path)
	case len(found) == 0 || !found[0].IsValid() || !found[0].CanInterface():
		return nil, nil
	}
	return found[0].Interface(), nil
}

// gaugeOf makes a gauge of a value, or gives false where it is no number.
func gaugeOf(value any) (query.Gauge, bool) {
	switch v := value.(type) {
	case nil:
		return query.Gauge{Presence: query.Empty}, true
	case float64:
		return query.NumberOf(v), true
	case string:
		number, ok := parseNumber(strings.TrimSpace(v))
		return query.NumberOf(number), ok
	}
	return query.Gauge{}, false
}

// timeOf makes a time of a text or of a number of seconds or milliseconds.
func timeOf(value any) (time.Time, bool) {
	var number float64
	switch v := value.(type) {
	case string:
		text := strings.TrimSpace(v)
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			// A time that a program never set is in the year 1.
			return t.UTC(), t.Unix() >= 0
		}
		var ok bool
		if number, ok = parseNumber(text); !ok {
			return time.Time{}, false
		}
	case float64:
		number = v
	default:
		return time.Time{}, false
	}
	if number > latest {
		number /= 1000
	}
	return secondsSince1970(number)
}

// typeOf names a value's type in JSON's words.
func typeOf(value any) string {
	switch value.(type) {
	case nil:
		return "nothing"
	case bool:
		return "a boolean"
	case string:
		return "a text"
	case float64:
		return "a number"
	case []any:
		return "an array"
	}
	return "an object"
}
