package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
)

// Defaults of Config.
const (
	DefaultKeyframeEvery = 64
	DefaultMaxFileBytes  = 64 << 20
	DefaultMaxFiles      = 8
)

// Config is what a Writer needs to know. Zero numbers take the defaults.
type Config struct {
	// Dir is the folder for the files; it is made where it is missing.
	Dir string
	// Component names the files and stands in their header.
	Component string
	// Build is the version of the deciding code.
	Build string
	// KeyframeEvery is the number of records of one unit from a keyframe to the
	// next.
	KeyframeEvery int
	// MaxFileBytes is the size at which a new file is begun.
	MaxFileBytes int64
	// MaxFiles is how many files of the component are kept; the oldest go first.
	MaxFiles int
	Clock    clock.PassiveClock
}

func (c *Config) complete() error {
	if c.Dir == "" || c.Component == "" {
		return errors.New("ledger: Dir and Component are required")
	}
	if c.KeyframeEvery <= 0 {
		c.KeyframeEvery = DefaultKeyframeEvery
	}
	if c.MaxFileBytes <= 0 {
		c.MaxFileBytes = DefaultMaxFileBytes
	}
	if c.MaxFiles <= 0 {
		c.MaxFiles = DefaultMaxFiles
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	return nil
}

// Writer is the loop.Recorder that appends to ledger files. Each record is one
// write to the operating system, so a process that is killed loses none that it
// had recorded. It is safe for use by several goroutines.
type Writer[S any, T any, D decision.Value] struct {
	cfg Config

	mu    sync.Mutex
	file  *os.File
	size  int64
	files int
	units map[decision.Unit]*unitFrame
	// next is the number for the next unit. It is never reused within a file.
	next int
}

// unitFrame is what the next record of a unit is written against.
type unitFrame struct {
	number   int
	since    int
	input    map[string]any
	decision map[string]any
}

// Open makes the folder and begins a file. The Writer's Close ends it.
func Open[S any, T any, D decision.Value](cfg Config) (*Writer[S, T, D], error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("make the ledger's folder: %w", err)
	}
	w := &Writer[S, T, D]{cfg: cfg}
	if err := w.begin(); err != nil {
		return nil, err
	}
	return w, nil
}

// Record appends one turn.
func (w *Writer[S, T, D]) Record(e loop.Entry[S, T, D]) error {
	input, err := objectTree("snapshot", e.Snapshot)
	if err != nil {
		return err
	}
	decided, err := objectTree("decision", e.Decision)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return errors.New("the ledger is closed")
	}
	if w.size >= w.cfg.MaxFileBytes {
		if err := w.rotate(); err != nil {
			return err
		}
	}
	unit := e.Decision.Subject()
	frame, known := w.units[unit]
	if known && frame.since < w.cfg.KeyframeEvery {
		done, err := w.appendDelta(frame, input, decided, e.Outcome)
		if done || err != nil {
			return err
		}
	}
	return w.appendKeyframe(unit, input, decided, e)
}

// appendDelta reports false where the change has no form as a merge patch.
func (w *Writer[S, T, D]) appendDelta(f *unitFrame, input, decided map[string]any, o decision.Outcome) (bool, error) {
	in, ok := diff(f.input, input)
	if !ok {
		return false, nil
	}
	dd, ok := diff(f.decision, decided)
	if !ok {
		return false, nil
	}
	r := record{Number: f.number, Outcome: o}
	var err error
	if r.Input, err = json.Marshal(in); err != nil {
		return false, err
	}
	if r.Decision, err = json.Marshal(dd); err != nil {
		return false, err
	}
	if err := w.append(r); err != nil {
		return false, err
	}
	f.since++
	f.input, f.decision = input, decided
	return true, nil
}

func (w *Writer[S, T, D]) appendKeyframe(unit decision.Unit, input, decided map[string]any, e loop.Entry[S, T, D]) error {
	f, known := w.units[unit]
	if !known {
		f = &unitFrame{number: w.next}
		w.next++
		w.units[unit] = f
	}
	r := record{Number: f.number, Unit: &unit, Outcome: e.Outcome}
	var err error
	if r.Input, err = json.Marshal(input); err != nil {
		return err
	}
	if r.Decision, err = json.Marshal(decided); err != nil {
		return err
	}
	if r.State, err = json.Marshal(e.Before); err != nil {
		return fmt.Errorf("encode the state: %w", err)
	}
	if err := w.append(r); err != nil {
		delete(w.units, unit)
		return err
	}
	f.since, f.input, f.decision = 1, input, decided
	return nil
}

// Forget drops what is kept for a unit that no longer exists.
func (w *Writer[S, T, D]) Forget(unit decision.Unit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.units, unit)
}

// Close ends the file.
func (w *Writer[S, T, D]) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}

func (w *Writer[S, T, D]) append(v any) error {
	line, err := encodeLine(v)
	if err != nil {
		return err
	}
	n, err := w.file.Write(line)
	w.size += int64(n)
	if err != nil {
		// A half-written line would hide every later one: go on in a new file.
		w.size = w.cfg.MaxFileBytes
		return fmt.Errorf("append to %s: %w", w.file.Name(), err)
	}
	return nil
}

func (w *Writer[S, T, D]) rotate() error {
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("close %s: %w", w.file.Name(), err)
	}
	return w.begin()
}

func (w *Writer[S, T, D]) begin() error {
	now := w.cfg.Clock.Now().UTC()
	name := fmt.Sprintf("%s-%s-%d-%04d%s", w.cfg.Component, now.Format("20060102T150405.000000000Z"), os.Getpid(), w.files, Extension)
	f, err := os.OpenFile(filepath.Join(w.cfg.Dir, name), os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("begin a ledger file: %w", err)
	}
	w.files++
	w.file, w.size, w.units, w.next = f, 0, map[decision.Unit]*unitFrame{}, 0
	if err := w.append(Header{Format: Version, Component: w.cfg.Component, Build: w.cfg.Build, Started: now}); err != nil {
		return err
	}
	return w.prune()
}

// prune removes the oldest files of this component. Names sort by time.
func (w *Writer[S, T, D]) prune() error {
	names, err := Files(w.cfg.Dir, w.cfg.Component)
	if err != nil {
		return err
	}
	for len(names) > w.cfg.MaxFiles {
		if err := os.Remove(names[0]); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the oldest ledger file: %w", err)
		}
		names = names[1:]
	}
	return nil
}

// Files lists the component's ledger files in a folder, oldest first.
func Files(dir, component string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(dir, component+"-*"+Extension))
	if err != nil {
		return nil, fmt.Errorf("list the ledger files of %s: %w", component, err)
	}
	found = slices.DeleteFunc(found, func(path string) bool {
		// Of two components one name may begin with the other's: the time that
		// follows the component's name starts with a digit.
		rest := strings.TrimPrefix(filepath.Base(path), component+"-")
		return rest == "" || rest[0] < '0' || rest[0] > '9'
	})
	slices.Sort(found)
	return found, nil
}

func objectTree(what string, v any) (map[string]any, error) {
	t, err := toTree(v)
	if err != nil {
		return nil, fmt.Errorf("encode the %s: %w", what, err)
	}
	object, ok := t.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("encode the %s: it is no JSON object", what)
	}
	return object, nil
}
