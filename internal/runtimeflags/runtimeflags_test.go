package runtimeflags

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/pflag"
)

func TestValidateNamesTheFlag(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args []string
		want string
	}{
		"defaults are valid":           {},
		"an unknown mode":              {args: []string{"--mode=on"}, want: `--mode: "on" is not one of Off, Recommend, Auto`},
		"a kubeconfig that is not":     {args: []string{"--kubeconfig=" + file + ".none"}, want: "--kubeconfig: "},
		"a ledger that is a file":      {args: []string{"--ledger-dir=" + file}, want: "--ledger-dir: "},
		"a namespace with a slash":     {args: []string{"--leader-elect-resource-namespace=a/b"}, want: "--leader-elect-resource-namespace: "},
		"an unknown format":            {args: []string{"--log-format=xml"}, want: "--log-format: "},
		"an unknown level":             {args: []string{"--log-level=loud"}, want: "--log-level: "},
		"no requests":                  {args: []string{"--kube-api-qps=0"}, want: "--kube-api-qps: "},
		"no burst":                     {args: []string{"--kube-api-burst=0"}, want: "--kube-api-burst: "},
		"a ledger folder not made yet": {args: []string{"--ledger-dir=" + file + ".d"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			flags := New(Acting)
			fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
			flags.AddFlags(fs)
			if err := fs.Parse(tc.args); err != nil {
				t.Fatal(err)
			}
			err := flags.Validate()
			if tc.want == "" {
				if err != nil {
					t.Errorf("Validate() = %v, want nil", err)
				}
				return
			}
			var flagError *FlagError
			if !errors.As(err, &flagError) || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("Validate() = %v, want a FlagError beginning with %q", err, tc.want)
			}
		})
	}
}

func TestServingBinariesElectNoLeader(t *testing.T) {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags := New(Serving)
	flags.AddFlags(fs)
	if fs.Lookup("leader-elect") != nil || flags.LeaderElect {
		t.Error("a serving binary has leader election")
	}
}

func TestMainExitCodes(t *testing.T) {
	tests := map[string]struct {
		args       []string
		run        func(context.Context) error
		want       int
		wantOutput string
	}{
		"success":           {want: ExitSuccess},
		"failure":           {run: func(context.Context) error { return errors.New("the broker is gone") }, want: ExitFailure, wantOutput: "the broker is gone"},
		"an unknown flag":   {args: []string{"--frobnicate"}, want: ExitBadFlags, wantOutput: "--frobnicate"},
		"a bad value":       {args: []string{"--mode=Maybe"}, want: ExitBadFlags, wantOutput: "--mode"},
		"a stray argument":  {args: []string{"now"}, want: ExitBadFlags, wantOutput: `unexpected argument "now"`},
		"help":              {args: []string{"--help"}, want: ExitSuccess, wantOutput: "--ledger-dir"},
		"version":           {args: []string{"--version"}, want: ExitSuccess, wantOutput: "test-binary "},
		"an end by SIGTERM": {run: terminateSelf, want: ExitSuccess, wantOutput: "Stopped"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			run := tc.run
			if run == nil {
				run = func(context.Context) error { return nil }
			}
			var output bytes.Buffer
			command := &Command{Name: "test-binary", Short: "Tests.", Flags: New(Acting), Run: run}
			if got := command.Main(tc.args, &output, io.Writer(&output)); got != tc.want {
				t.Errorf("Main() = %d, want %d", got, tc.want)
			}
			if !strings.Contains(output.String(), tc.wantOutput) {
				t.Errorf("output %q lacks %q", output.String(), tc.wantOutput)
			}
		})
	}
}

// terminateSelf works until the context ends, which SIGTERM must bring about.
func terminateSelf(ctx context.Context) error {
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func TestRESTConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	content := `apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c}}]
clusters: [{name: c, cluster: {server: "https://example.test:6443"}}]
`
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := New(Acting)
	flags.Kubeconfig = path
	config, err := flags.RESTConfig("hpa-controller")
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://example.test:6443" || config.QPS != 50 || !strings.HasPrefix(config.UserAgent, "quartet-hpa-controller/") {
		t.Errorf("RESTConfig() = host %q, qps %v, agent %q", config.Host, config.QPS, config.UserAgent)
	}

	flags.Kubeconfig = ""
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if _, err := flags.RESTConfig("hpa-controller"); err == nil || !strings.Contains(err.Error(), "--kubeconfig") {
		t.Errorf("RESTConfig() outside a cluster = %v, want an error naming --kubeconfig", err)
	}
}
