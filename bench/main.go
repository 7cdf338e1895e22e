// Command bench measures the suite's speed and memory and writes what it saw:
// bench/results.json, and docs/benchmarks.md rendered from it. It is started by
// `make bench`. Figures of a shared machine are noisy: medians are written, and
// nothing here passes or fails by them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

const (
	resultsFile  = "bench/results.json"
	documentFile = "docs/benchmarks.md"
)

func main() {
	only := flag.String("only", "", "measure only the benchmarks whose name is one of `NAMES`, or else begins with it, separated by commas; the others keep their last figures")
	list := flag.Bool("list", false, "print the names and what they measure, and measure nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *only, *list); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// named are the benchmark of that name, or else all whose names begin with it.
func named(name string) (out []benchmark) {
	for _, b := range benchmarks {
		switch {
		case b.name == name:
			return []benchmark{b}
		case strings.HasPrefix(b.name, name):
			out = append(out, b)
		}
	}
	return out
}

func run(ctx context.Context, only string, list bool) error {
	var chosen []benchmark
	for _, name := range strings.Split(only, ",") {
		found := named(name)
		if len(found) == 0 {
			return fmt.Errorf("no benchmark is called %q; --list names them", name)
		}
		chosen = append(chosen, found...)
	}
	if list {
		for _, b := range chosen {
			fmt.Printf("%-24s %s\n", b.name, b.what)
		}
		return nil
	}
	known, err := readResults(resultsFile)
	if err != nil {
		return err
	}
	for _, b := range chosen {
		fmt.Printf("%-24s measuring: %s\n", b.name, b.what)
		r, err := b.measure(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		r.Name = b.name
		fmt.Printf("%-24s %s\n", b.name, r.text())
		known = merge(known, r)
		if err := writeResults(resultsFile, known); err != nil {
			return err
		}
	}
	return writeDocument(documentFile, known, thisMachine())
}
