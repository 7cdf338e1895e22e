package history_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
	"github.com/quartet-autoscaling/quartet/recommender/history"
)

var now = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// server speaks Prometheus' API and answers each query with what is given.
type server struct {
	*httptest.Server
	answers map[string]string

	mu    sync.Mutex
	asked map[string]map[string]string
	who   string
}

func serve(t *testing.T, answers map[string]string) *server {
	t.Helper()
	s := &server{answers: answers, asked: map[string]map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(s.Close)
	return s
}

func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.who = r.Header.Get("Authorization")
	query := r.Form.Get("query")
	s.asked[query] = map[string]string{"path": r.URL.Path, "start": r.Form.Get("start"), "end": r.Form.Get("end"), "step": r.Form.Get("step")}
	data, known := s.answers[query]
	w.Header().Set("Content-Type", "application/json")
	if !known {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": "execution", "error": "unknown query " + query})
		return
	}
	_, _ = fmt.Fprintf(w, `{"status":"success","data":%s}`, data)
}

const (
	selector    = `job="kubernetes-cadvisor", pod_name=~".+", name!="POD", name!="", namespace="shop"`
	cpuQuery    = `rate(container_cpu_usage_seconds_total{` + selector + `}[1h])`
	memoryQuery = `container_memory_working_set_bytes{` + selector + `}`
)

func config(address string) history.Config {
	c := history.Defaults()
	c.Address = address
	return c
}

func read(t *testing.T, c history.Config) (history.Pods, error) {
	t.Helper()
	r, err := history.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r.Usage(t.Context(), "shop", now)
}

func TestUsageIsReadAsUpstreamReadsIt(t *testing.T) {
	s := serve(t, map[string]string{
		cpuQuery: `{"resultType":"matrix","result":[
			{"metric":{"namespace":"shop","pod_name":"orders-1","name":"app"},"values":[[1772355600,"0.1004"],[1772359200,"0.25"]]},
			{"metric":{"namespace":"shop","name":"app"},"values":[[1772355600,"9"]]}]}`,
		memoryQuery: `{"resultType":"matrix","result":[
			{"metric":{"namespace":"shop","pod_name":"orders-1","name":"app"},"values":[[1772355600,"1000.9"],[1772359200,"NaN"]]}]}`,
	})
	got, err := read(t, config(s.URL))
	if err != nil {
		t.Fatal(err)
	}
	at := func(seconds int64, cpu, memory *int64) estimator.Usage {
		return estimator.Usage{At: time.Unix(seconds, 0).UTC(), Amounts: estimator.Amounts{CPU: cpu, Memory: memory}}
	}
	v := func(v int64) *int64 { return &v }
	want := history.Pods{"orders-1": {"app": {
		at(1772355600, v(100), nil), at(1772355600, nil, v(1000)), at(1772359200, v(250), nil), at(1772359200, nil, v(0)),
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
	asked := map[string]string{"path": "/api/v1/query_range", "start": "1771668000", "end": "1772359200", "step": "3600"}
	if diff := cmp.Diff(asked, s.asked[cpuQuery]); diff != "" {
		t.Errorf("question (-want +got):\n%s", diff)
	}
}

func TestLastLabelsAreRead(t *testing.T) {
	const series = `{"metric":{"kubernetes_namespace":"shop","kubernetes_pod_name":"orders-1","pod_label_app":%q,"job":"x"},%s}`
	tests := map[string]struct{ expression, answer, want string }{
		"of an instant": {`up{job="kubernetes-pods"}`, `{"resultType":"vector","result":[` + fmt.Sprintf(series, "now", `"value":[5,"1"]`) + `]}`, "now"},
		"of a range": {`up[8d]`, `{"resultType":"matrix","result":[` + fmt.Sprintf(series, "new", `"values":[[1,"1"],[9,"1"]]`) + `,` +
			fmt.Sprintf(series, "old", `"values":[[1,"1"],[3,"1"]]`) + `]}`, "new"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := serve(t, map[string]string{tc.expression: tc.answer})
			c := config(s.URL)
			c.Labels = tc.expression
			r, err := history.New(c)
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.Labels(t.Context(), now)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]map[string]map[string]string{"shop": {"orders-1": {"app": tc.want}}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhoAsks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := `{"resultType":"matrix","result":[]}`
	tests := map[string]struct {
		credentials history.Credentials
		want        string
	}{
		"nobody":       {},
		"a user":       {history.Credentials{Username: "me", Password: "secret"}, "Basic bWU6c2VjcmV0"},
		"a token":      {history.Credentials{BearerToken: "token"}, "Bearer token"},
		"a token file": {history.Credentials{BearerTokenFile: file}, "Bearer from-file"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := serve(t, map[string]string{cpuQuery: empty, memoryQuery: empty})
			c := config(s.URL)
			c.Credentials = tc.credentials
			if _, err := read(t, c); err != nil {
				t.Fatal(err)
			}
			if s.who != tc.want {
				t.Errorf("asked as %q, want %q", s.who, tc.want)
			}
		})
	}
}

func TestFailuresAreTold(t *testing.T) {
	s := serve(t, nil)
	if _, err := read(t, config(s.URL)); err == nil {
		t.Error("a query that fails gives usage")
	}
	c := config(s.URL)
	c.BearerTokenFile = filepath.Join(t.TempDir(), "none")
	if _, err := read(t, c); err == nil {
		t.Error("a missing token file gives usage")
	}
}

func TestConfigIsChecked(t *testing.T) {
	tests := map[string]func(*history.Config){
		"no address":      func(c *history.Config) { c.Address = "" },
		"another scheme":  func(c *history.Config) { c.Address = "ftp://x" },
		"no duration":     func(c *history.Config) { c.Length = "eight days" },
		"no resolution":   func(c *history.Config) { c.Resolution = "0s" },
		"no timeout":      func(c *history.Config) { c.Timeout = 0 },
		"two credentials": func(c *history.Config) { c.Username, c.BearerToken = "me", "token" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			c := history.Defaults()
			change(&c)
			if _, err := history.New(c); err == nil {
				t.Error("it is taken")
			}
		})
	}
	if err := history.Defaults().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}
