// Package tool runs kubectl-quartet, built from this checkout, as a user would.
package tool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

// Run gives what the tool printed to each of its two streams.
func Run(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	const name = "kubectl-quartet"
	programs, err := toolchain.Commands(ctx, io.Discard, "./cmd/"+name)
	if err != nil {
		return "", "", fmt.Errorf("build %s: %w", name, err)
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, programs[name], args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// Replayed sums up a replay of several ledger files.
type Replayed struct {
	// Decisions counts by component.
	Decisions map[string]int
	// Differences are the fields that came out otherwise, as text.
	Differences []string
}

// Total is the number of decisions of all components.
func (r Replayed) Total() int {
	total := 0
	for _, n := range r.Decisions {
		total += n
	}
	return total
}

// Replay runs every decision recorded in a folder through this build. Differences
// are no error; a ledger that cannot be read to its end is.
func Replay(ctx context.Context, folder string) (Replayed, error) {
	r := Replayed{Decisions: map[string]int{}}
	stdout, stderr, err := Run(ctx, "replay", folder, "-o", "json")
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || stdout == "") {
		return r, fmt.Errorf("replay %s: %w: %s", folder, err, strings.TrimSpace(stderr))
	}
	var files []struct {
		File   string `json:"file"`
		Error  string `json:"error"`
		Header struct {
			Component string `json:"component"`
		} `json:"header"`
		Decisions   int               `json:"decisions"`
		Differences []json.RawMessage `json:"differences"`
	}
	if err := json.Unmarshal([]byte(stdout), &files); err != nil {
		return r, fmt.Errorf("decode the replay of %s: %w", folder, err)
	}
	for _, f := range files {
		if f.Error != "" {
			return r, fmt.Errorf("replay %s: %s", f.File, f.Error)
		}
		r.Decisions[f.Header.Component] += f.Decisions
		for _, d := range f.Differences {
			r.Differences = append(r.Differences, string(d))
		}
	}
	return r, nil
}
