package prometheus

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/httpapi"
	"github.com/quartet-autoscaling/quartet/adapter/source/prometheus/rules"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
)

// saying is a server that gives one answer to everything.
type saying struct {
	status int
	body   string
}

func (s saying) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: s.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(s.body)), Request: r}, nil
}

// that are servers of one answer.
func (s saying) servers(t testing.TB) *servers {
	t.Helper()
	client, err := api.NewClient(api.Config{Address: "http://prometheus:9090", RoundTripper: s})
	if err != nil {
		t.Fatal(err)
	}
	return &servers{
		pool: newPool(), transport: httpapi.NewTransport(httpapi.TransportConfig{}), users: 1,
		each: []server{{API: v1.NewAPI(client), url: "http://prometheus:9090"}},
	}
}

// FuzzReply wants of any answer a reading whose numbers are finite, or an error in
// our words.
func FuzzReply(f *testing.F) {
	for _, body := range []string{
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"pod":"a","namespace":"shop"},"value":[1600000000.1,"1"]}]}}`,
		`{"status":"success","data":{"resultType":"vector","result":[]}}`,
		`{"status":"success","data":{"resultType":"vector","result":[null]}}`,
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[9e99,"NaN"]}]}}`,
		`{"status":"success","data":{"resultType":"scalar","result":[1600000000,"+Inf"]}}`,
		`{"status":"success","data":{"resultType":"string","result":[1600000000,"a"]}}`,
		`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"]]}]}}`,
		`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"1","sum":"2","buckets":[[0,"0","1","1"]]}]}]}}`,
		`{"status":"success","data":["app_requests","pod","namespace"]}`,
		`{"status":"error","errorType":"bad_data","error":"\u0000 no"}`,
		`{}`, `null`, ``, `[`,
	} {
		f.Add(200, body)
		f.Add(422, body)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 || (status >= 300 && status < 400) || !utf8.ValidString(body) {
			return
		}
		all := saying{status, body}.servers(t)
		value := &valuePoller{query: &promQuery{text: "up", dataTime: "min(timestamp(up))"}, servers: all}
		reading, err := value.Poll(t.Context())
		checkReply(t, err)
		if g := reading.Gauges[query.Value]; g != query.NumberOf(g.Value) && g.Presence == query.Number {
			t.Fatalf("the value is %+v", g)
		}
		read, err := readRule(v1alpha1.PrometheusRule{Series: "up", Resources: v1alpha1.PrometheusResources{Template: "<<.Resource>>"}}, "rules[0]", "shop")
		if err != nil {
			t.Fatal(err)
		}
		ruled := &rulesPoller{query: &rulesQuery{namespace: "shop", rules: []rule{read}, mapper: rules.Builtin{}}, servers: all}
		reading, err = ruled.Poll(t.Context())
		checkReply(t, err)
		for _, o := range reading.Objects {
			if o.Namespace != "shop" || o.Name == "" {
				t.Fatalf("a value about %+v", o)
			}
		}
	})
}

func checkReply(t *testing.T, err error) {
	t.Helper()
	var ours *source.Error
	if err != nil && (!errors.As(err, &ours) || len(ours.Message) > 4*longestWord+1000 || strings.ContainsAny(ours.Message, "\n\x00")) {
		t.Fatalf("%T: %q", err, err)
	}
}
