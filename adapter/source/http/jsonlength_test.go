package httpsource

import (
	"bytes"
	"strings"
	"testing"

	"github.com/quartet-autoscaling/quartet/adapter/source/httpapi"
)

// A JSON document takes many times its length once it is decoded, so a long one is
// refused before.
func TestALongJSONDocumentIsRefused(t *testing.T) {
	e := &jsonExtractor{path: "{.depth}"}
	document := func(padding int) httpapi.Document {
		return httpapi.Document{Whole: true, Body: append(bytes.Repeat([]byte(" "), padding), `{"depth": 7}`...)}
	}
	if got, err := e.extract("here", document(0)); err != nil || got.gauge.Value != 7 {
		t.Errorf("a short document gives %v, %v, want 7", got.gauge, err)
	}
	if _, err := e.extract("here", document(maxJSON)); err == nil || !strings.Contains(err.Error(), "longer than 2 MiB") {
		t.Errorf("a long document gives %v, want an error that names the bound", err)
	}
}
