package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// weekGrowth runs the two halves of BenchmarkWeek, which lives among the tests: it
// runs upstream's own model.
func weekGrowth(ctx context.Context) (result, error) {
	const unit = "MiB/day"
	out, err := command(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkWeek$", "-benchtime", "1x", "-timeout", "30m", "./bench")
	if err != nil {
		return result{}, err
	}
	ours, err := reported(out, "BenchmarkWeek/ours", unit)
	if err != nil {
		return result{}, err
	}
	theirs, err := reported(out, "BenchmarkWeek/upstream", unit)
	if err != nil {
		return result{}, err
	}
	// There is no ratio to nothing.
	return result{Value: ours, Unit: unit, Upstream: &theirs}, nil
}

// reported reads a figure of a unit of its own out of what go test prints: a line of
// the form "BenchmarkName-2   1   1234 ns/op   5.6 unit".
func reported(output, name, unit string) (float64, error) {
	for line := range strings.Lines(output) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != name && !suffixed.MatchString(strings.TrimPrefix(f[0], name)) {
			continue
		}
		for i := 1; i < len(f); i++ {
			if f[i] == unit {
				return strconv.ParseFloat(f[i-1], 64)
			}
		}
	}
	return 0, fmt.Errorf("no %s of %s in what go test printed:\n%s", unit, name, output)
}
