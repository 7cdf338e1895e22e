package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/admission/patch"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/plan"
	"github.com/quartet-autoscaling/quartet/hpa/replicas"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/ledger"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// replayers run the ledgers of each component through its pure rules.
var replayers = map[string]func(io.Reader) (ledger.Report, error){
	replicas.Component:  replayer(replicas.Rules()),
	query.Component:     replayer(query.Rules),
	estimator.Component: replayer(estimator.Rules()),
	eviction.Component:  replayer(eviction.Rules()),
	patch.Component:     replayer(patch.Rules()),
	plan.Component:      replayer(plan.Rules()),
}

func replayer[S any, T any, D decision.Value](rules loop.Rules[S, T, D]) func(io.Reader) (ledger.Report, error) {
	return func(r io.Reader) (ledger.Report, error) { return ledger.Replay(r, rules) }
}

// replayed is what came of one file.
type replayed struct {
	File string `json:"file"`
	ledger.Report
	// Error is why the file could not be read to its end.
	Error string `json:"error,omitempty"`
}

func newReplay() *cobra.Command {
	output := outputText
	command := &cobra.Command{
		Use:   "replay LEDGER",
		Short: "Run recorded decisions through this build and print the differences",
		Long: "replay reads a ledger, a file or a folder of them as --ledger-dir makes, runs every\n" +
			"recorded decision through the rules of this build, and prints each field that comes\n" +
			"out otherwise. It exits with 1 where there is a difference or a file is unreadable.",
		Example: "  kubectl quartet replay ./ledger\n  kubectl quartet replay ./ledger -o json",
		Args:    oneArg("ledger"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != outputText && output != outputJSON {
				return usageError{fmt.Errorf("--output: %q is neither text nor json", output)}
			}
			files, err := ledgerFiles(args[0])
			if err != nil {
				return err
			}
			results := make([]replayed, 0, len(files))
			for _, file := range files {
				results = append(results, replayFile(file))
			}
			if err := printReplay(cmd.OutOrStdout(), output, results); err != nil {
				return err
			}
			if !agree(results) {
				return silentError{errors.New("the replay differs")}
			}
			return nil
		},
	}
	command.Flags().StringVarP(&output, "output", "o", output, "Format of the report: text or json.")
	return command
}

// ledgerFiles are the path itself, or the ledgers in it and below, sorted.
func ledgerFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	err = filepath.WalkDir(path, func(found string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(found, ledger.Extension) {
			files = append(files, found)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no file *%s in %s", ledger.Extension, path)
	}
	slices.Sort(files)
	return files, nil
}

func replayFile(path string) replayed {
	result := replayed{File: path}
	report, err := replayReport(path)
	result.Report = report
	if err != nil {
		result.Error = err.Error()
	}
	return result
}

func replayReport(path string) (report ledger.Report, err error) {
	file, err := os.Open(path)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	header, err := readHeader(file)
	if err != nil {
		return ledger.Report{Header: header}, err
	}
	replay, ok := replayers[header.Component]
	if !ok {
		return ledger.Report{Header: header}, fmt.Errorf("this build has no rules of a component %q", header.Component)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return report, err
	}
	return replay(file)
}

// errEnough stops reading after the header.
var errEnough = errors.New("the header is read")

func readHeader(r io.Reader) (ledger.Header, error) {
	header, err := ledger.Read(r, func(ledger.Turn) error { return errEnough })
	// A fault after the header is the replay's to find, with what comes before it.
	if errors.Is(err, errEnough) || header.Component != "" {
		return header, nil
	}
	return header, err
}

func agree(results []replayed) bool {
	return !slices.ContainsFunc(results, func(r replayed) bool { return r.Error != "" || len(r.Differences) > 0 })
}

func printReplay(w io.Writer, output string, results []replayed) error {
	if output == outputJSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(results)
	}
	var b strings.Builder
	decisions, differences := 0, 0
	for _, r := range results {
		decisions, differences = decisions+r.Decisions, differences+len(r.Differences)
		fmt.Fprintf(&b, "%s: %s %s, %s on %s, %s\n", r.File, r.Header.Component, r.Header.Build,
			count(r.Decisions, "decision"), count(r.Units, "unit"), count(len(r.Differences), "difference"))
		if r.Error != "" {
			fmt.Fprintf(&b, "  error: %s\n", r.Error)
		}
		for _, d := range r.Differences {
			fmt.Fprintf(&b, "  %s decision %d on %s: %s was %s, is %s\n",
				d.At.UTC().Format(time.RFC3339), d.Decision, d.Unit, d.Path, d.Recorded, d.Replayed)
		}
	}
	fmt.Fprintf(&b, "%s, %s\n", count(decisions, "decision"), count(differences, "difference"))
	_, err := io.WriteString(w, b.String())
	return err
}

// count is "1 unit" or "2 units".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
