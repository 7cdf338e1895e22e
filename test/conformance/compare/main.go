// Command compare plays the comparisons with upstream at their full length and
// ends with one line that sums them up. It is started by `make conformance`; what
// is compared, and how, is in the tests of the package above.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// suite is one comparison: the test that plays it, and whether its sum says how
// many steps there were.
type suite struct {
	folder, test string
	steps        bool
}

var suites = map[string]suite{
	"hpa": {"./test/conformance", "TestHPA", true},
	"vpa": {"./test/conformance/vpa", "TestVPA", false},
}

// settings are the flags; names are the suites to play, all where none is given.
type settings struct {
	scenarios, turns int
	skip             int
	firstSeed, seed  uint64
	names            []string
}

func main() {
	var s settings
	flag.IntVar(&s.scenarios, "scenarios", 10_000, "how many scenarios each suite plays")
	flag.IntVar(&s.turns, "turns", 0, "how many turns a scenario has; 0 for what its seed says")
	flag.IntVar(&s.skip, "skip", 0, "with -seed: in how many turns the controllers do not run yet")
	flag.Uint64Var(&s.firstSeed, "first-seed", 1, "the seed of the first scenario; the others follow")
	flag.Uint64Var(&s.seed, "seed", 0, "play the scenario of this seed only")
	flag.Parse()
	s.names = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s, os.Stdout)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

var errDiffers = errors.New("not as upstream")

// run plays the suites and writes what they say. The last line is the sum, or the
// suite's own where one was asked for by its name.
func run(ctx context.Context, s settings, out io.Writer) error {
	named := len(s.names) > 0
	if !named {
		for name := range suites {
			s.names = append(s.names, name)
		}
		slices.Sort(s.names)
	}
	var total summary
	for _, name := range s.names {
		of, known := suites[name]
		if !known {
			return fmt.Errorf("there is no suite %q", name)
		}
		one, err := play(ctx, s, name, out)
		if err != nil {
			return fmt.Errorf("play %s: %w", name, err)
		}
		total.add(one)
		if s.seed == 0 {
			steps := ""
			if of.steps {
				steps = fmt.Sprintf(" %d steps,", one.turns)
			}
			_, _ = fmt.Fprintf(out, "%s: %d scenarios,%s %d unexplained differences\n", name, one.scenarios, steps, one.differences)
		}
	}
	if !named && s.seed == 0 {
		_, _ = fmt.Fprintf(out, "conformance: %d scenarios, %d turns, %d differences\n", total.scenarios, total.turns, total.differences)
	}
	if total.failed {
		return errDiffers
	}
	return nil
}

// summary is what came of a suite. It has failed where anything differs, and
// where a comparison did not reach all that it should.
type summary struct {
	scenarios, turns, differences int
	failed                        bool
}

func (s *summary) add(o summary) {
	s.scenarios += o.scenarios
	s.turns += o.turns
	s.differences += o.differences
	s.failed = s.failed || o.failed
}

// play runs the test of a suite and passes its lines on.
func play(ctx context.Context, s settings, name string, out io.Writer) (summary, error) {
	of := suites[name]
	arguments := []string{"test", of.folder, "-run", "^" + of.test + "$", "-count=1", "-v", "-timeout", "6h",
		"-args", fmt.Sprintf("-scenarios=%d", s.scenarios), fmt.Sprintf("-turns=%d", s.turns),
		fmt.Sprintf("-first-seed=%d", s.firstSeed), fmt.Sprintf("-seed=%d", s.seed)}
	if s.skip > 0 {
		arguments = append(arguments, fmt.Sprintf("-skip=%d", s.skip))
	}
	//nolint:gosec // The arguments are numbers and names from the list above.
	cmd := exec.CommandContext(ctx, "go", arguments...)
	cmd.Stderr = os.Stderr
	lines, err := cmd.StdoutPipe()
	if err != nil {
		return summary{}, err
	}
	if err := cmd.Start(); err != nil {
		return summary{}, err
	}
	sum, err := read(lines, name, out)
	ended := cmd.Wait()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return sum, ctx.Err()
	case err != nil:
		return sum, err
	case errors.As(ended, &exit):
		sum.failed = true
	case ended != nil:
		return sum, ended
	}
	if s.seed == 0 && sum.scenarios == 0 {
		return sum, errors.New("the comparison did not come to its end")
	}
	return sum, nil
}

var (
	// noise is what the go command says of its own.
	noise = regexp.MustCompile(`^(=== |\s*--- |PASS$|FAIL$|ok\s|FAIL\s)`)
	// place is where a test logged from.
	place = regexp.MustCompile(`^\s+\w+_test\.go:\d+: `)
	// sums is a suite's last line.
	sums = regexp.MustCompile(`^(\w+): (\d+) scenarios, (\d+) steps, (\d+) unexplained differences$`)
)

// read passes the lines of a test on, without the go command's, and takes out the
// one that sums up.
func read(lines io.Reader, name string, out io.Writer) (summary, error) {
	var sum summary
	scanner := bufio.NewScanner(lines)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		line := scanner.Text()
		if noise.MatchString(line) {
			continue
		}
		line = strings.TrimPrefix(place.ReplaceAllString(line, ""), "        ")
		if m := sums.FindStringSubmatch(line); m != nil && m[1] == name {
			sum.scenarios, _ = strconv.Atoi(m[2])
			sum.turns, _ = strconv.Atoi(m[3])
			sum.differences, _ = strconv.Atoi(m[4])
			continue
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return sum, err
		}
	}
	return sum, scanner.Err()
}
