package cli_test

import (
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/quartet-autoscaling/quartet/cmd/kubectl-quartet/cli"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/ledger"
	"github.com/quartet-autoscaling/quartet/internal/loop"
)

var update = flag.Bool("update", false, "write the expected output in testdata/script anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"kubectl-quartet": func() {
			os.Exit(cli.Main(os.Args, cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
		},
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup:               setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"damage":    damage,
			"ledger":    recordLedger,
			"normalize": normalize,
			"usage":     usage,
		},
	})
}

// setup gives a script a cluster, made of the files below its folder api, a
// kubeconfig for it, and what the go command needs.
func setup(env *testscript.Env) error {
	server := httptest.NewServer(cluster{folder: filepath.Join(env.WorkDir, "api")})
	env.Defer(server.Close)
	kubeconfig := filepath.Join(env.WorkDir, "kubeconfig")
	content := "apiVersion: v1\nkind: Config\ncurrent-context: test\n" +
		"contexts: [{name: test, context: {cluster: test, namespace: shop}}]\n" +
		"clusters: [{name: test, cluster: {server: '" + server.URL + "'}}]\n"
	if err := os.WriteFile(kubeconfig, []byte(content), 0o600); err != nil {
		return err
	}
	env.Setenv("KUBECONFIG", kubeconfig)
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		return err
	}
	folders := strings.Fields(string(out))
	env.Setenv("GOCACHE", folders[0])
	env.Setenv("GOMODCACHE", folders[1])
	return nil
}

// cluster answers GET /a/b with the file a/b.json. A file that holds a Status
// is an error with the Status's code. DECIDED_AT in a file is twelve seconds ago.
type cluster struct{ folder string }

func (c cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	content, err := os.ReadFile(filepath.Join(c.folder, filepath.FromSlash(path.Clean(r.URL.Path))+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		name := path.Base(r.URL.Path)
		status := apierrors.NewNotFound(schema.GroupResource{Resource: "things"}, name).Status()
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(status)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var status metav1.Status
	if json.Unmarshal(content, &status) == nil && status.Kind == "Status" {
		w.WriteHeader(int(status.Code))
	}
	decidedAt := time.Now().Add(-12 * time.Second).UTC().Format("2006-01-02T15:04:05.000000Z")
	_, _ = w.Write([]byte(strings.ReplaceAll(string(content), "DECIDED_AT", decidedAt)))
}

var variable = regexp.MustCompile(`\w+ ago \([^)]*\)`)

// normalize writes a file, or stdout, to another without its ages and times of
// day: normalize FROM TO.
func normalize(ts *testscript.TestScript, _ bool, args []string) {
	told := variable.ReplaceAllString(ts.ReadFile(args[0]), "AGO ago (TIME)")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(told), 0o600))
}

// usage runs a command line that is wrong: it must exit with 2.
func usage(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[0], args[1:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		ts.Fatalf("%v ended with %v, want exit code 2", args, err)
	}
}

// recordLedger records turns of the HPA's real rules: ledger FOLDER TURNS. With
// a third argument the last decision is recorded as one that this build would
// not make.
func recordLedger(ts *testscript.TestScript, _ bool, args []string) {
	turns, err := strconv.Atoi(args[1])
	ts.Check(err)
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	writer, err := ledger.Open[replicas.Snapshot, replicas.State, replicas.Decision](ledger.Config{
		Dir: ts.MkAbs(args[0]), Component: replicas.Component, Build: "v0.1.0", Clock: testingclock.NewFakePassiveClock(start),
	})
	ts.Check(err)
	rules := replicas.Rules()
	var state replicas.State
	for i := range turns {
		var snapshot replicas.Snapshot
		snapshot.Now = start.Add(time.Duration(i) * 15 * time.Second)
		snapshot.HPA.Namespace, snapshot.HPA.Name = "shop", "orders"
		d := rules.Decide(snapshot, state)
		entry := loop.Entry[replicas.Snapshot, replicas.State, replicas.Decision]{
			Snapshot: snapshot, Before: state, Decision: d, Outcome: decision.Outcome{Result: decision.Unneeded},
		}
		state = rules.Commit(state, d, entry.Outcome)
		if len(args) > 2 && i == turns-1 {
			entry.Decision.To = 41
		}
		ts.Check(writer.Record(entry))
	}
	ts.Check(writer.Close())
}

// damage appends a line to each ledger of a folder that no checksum fits, as a
// machine does that dies while it writes: damage FOLDER.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	files, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*"+ledger.Extension))
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("there is no ledger in %s", args[0])
	}
	for _, path := range files {
		file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		ts.Check(err)
		_, err = file.WriteString("00000000 {\"n\":")
		ts.Check(errors.Join(err, file.Close()))
	}
}
