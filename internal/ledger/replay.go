package ledger

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
)

// Difference is one field of one decision, or of the state it was made with,
// that came out otherwise than it was recorded.
type Difference struct {
	// Decision counts the file's decisions from 1.
	Decision int           `json:"decision"`
	Unit     decision.Unit `json:"unit"`
	At       time.Time     `json:"at"`
	// Path is the field, for example "decision.to" or "state.scaleUps[0].at".
	Path     string `json:"path"`
	Recorded string `json:"recorded"`
	Replayed string `json:"replayed"`
}

// Report is what a replay found.
type Report struct {
	Header      Header       `json:"header"`
	Decisions   int          `json:"decisions"`
	Units       int          `json:"units"`
	Differences []Difference `json:"differences,omitempty"`
}

// Turn is one recorded turn, put together again from keyframe and changes.
type Turn struct {
	// Number stands for the unit's record of state in this file: a unit that was
	// forgotten and came back has a new one.
	Number int
	Unit   decision.Unit
	// State is set in keyframes only.
	State    json.RawMessage
	Input    map[string]any
	Decision map[string]any
	Outcome  decision.Outcome
}

// Read calls each for every turn of one file, in the order of recording. It
// returns the header; an unreadable place gives a CorruptError after everything
// before it was handed out.
func Read(r io.Reader, each func(Turn) error) (Header, error) {
	in := &lines{r: bufio.NewReaderSize(r, 1<<16)}
	var h Header
	if err := in.next(&h); err != nil {
		if errors.Is(err, io.EOF) {
			err = &CorruptError{Err: errors.New("the file is empty")}
		}
		return h, err
	}
	if h.Format != Version {
		return h, fmt.Errorf("the ledger has format %d, this build reads format %d", h.Format, Version)
	}
	units := map[int]*Turn{}
	for {
		offset := in.offset
		var rec record
		if err := in.next(&rec); err != nil {
			if errors.Is(err, io.EOF) {
				return h, nil
			}
			return h, err
		}
		t, err := assemble(units, rec)
		if err != nil {
			return h, &CorruptError{Offset: offset, Err: err}
		}
		if err := each(*t); err != nil {
			return h, err
		}
	}
}

func assemble(units map[int]*Turn, rec record) (*Turn, error) {
	input, err := object(rec.Input)
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	decided, err := object(rec.Decision)
	if err != nil {
		return nil, fmt.Errorf("decision: %w", err)
	}
	t, known := units[rec.Number]
	switch {
	case rec.keyframe():
		t = &Turn{Number: rec.Number, Unit: *rec.Unit, Input: input, Decision: decided}
		units[rec.Number] = t
	case !known:
		return nil, fmt.Errorf("a change of unit %d comes before its keyframe", rec.Number)
	default:
		t.Input, t.Decision = merge(t.Input, input), merge(t.Decision, decided)
	}
	t.State, t.Outcome = rec.State, rec.Outcome
	return t, nil
}

func object(raw json.RawMessage) (map[string]any, error) {
	t, err := parseTree(raw)
	if err != nil {
		return nil, err
	}
	o, ok := t.(map[string]any)
	if !ok {
		return nil, errors.New("it is no JSON object")
	}
	return o, nil
}

// lines reads checked lines and knows where it is.
type lines struct {
	r      *bufio.Reader
	offset int64
}

func (l *lines) next(into any) error {
	line, err := l.r.ReadBytes('\n')
	if errors.Is(err, io.EOF) && len(line) == 0 {
		return io.EOF
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the ledger at byte %d: %w", l.offset, err)
	}
	if err := decodeLine(line, into); err != nil {
		return &CorruptError{Offset: l.offset, Err: err}
	}
	l.offset += int64(len(line))
	return nil
}

// Replay runs every recorded decision of one file through the rules and lists
// the differences. State is folded from each keyframe with the recorded
// outcomes, and compared where the next keyframe states it. With a CorruptError
// the report covers everything before the fault.
func Replay[S any, T any, D decision.Value](r io.Reader, rules loop.Rules[S, T, D]) (Report, error) {
	p := replay[S, T, D]{rules: rules, states: map[int]T{}, units: map[decision.Unit]bool{}}
	h, err := Read(r, p.turn)
	p.report.Header = h
	p.report.Units = len(p.units)
	return p.report, err
}

type replay[S any, T any, D decision.Value] struct {
	rules  loop.Rules[S, T, D]
	states map[int]T
	units  map[decision.Unit]bool
	report Report
}

func (p *replay[S, T, D]) turn(t Turn) error {
	p.report.Decisions++
	p.units[t.Unit] = true
	var snapshot S
	if err := fromTree(t.Input, &snapshot); err != nil {
		return fmt.Errorf("decision %d on %s: decode the snapshot: %w", p.report.Decisions, t.Unit, err)
	}
	state, err := p.state(t)
	if err != nil {
		return err
	}
	d := p.rules.Decide(snapshot, state)
	p.states[t.Number] = p.rules.Commit(state, d, t.Outcome)
	replayed, err := toTree(d)
	if err != nil {
		return fmt.Errorf("decision %d on %s: encode: %w", p.report.Decisions, t.Unit, err)
	}
	p.compare(t, "decision", t.Decision, replayed)
	return nil
}

func (p *replay[S, T, D]) state(t Turn) (T, error) {
	folded, known := p.states[t.Number]
	if t.State == nil {
		return folded, nil
	}
	var recorded T
	if err := json.Unmarshal(t.State, &recorded); err != nil {
		return recorded, fmt.Errorf("decision %d on %s: decode the state: %w", p.report.Decisions, t.Unit, err)
	}
	if known {
		a, err := parseTree(t.State)
		if err != nil {
			return recorded, err
		}
		b, err := toTree(folded)
		if err != nil {
			return recorded, err
		}
		p.compare(t, "state", a, b)
	}
	return recorded, nil
}

func (p *replay[S, T, D]) compare(t Turn, what string, recorded, replayed tree) {
	at, _ := t.Decision["at"].(string)
	when, _ := time.Parse(time.RFC3339Nano, at)
	for _, c := range changes(what, recorded, replayed) {
		p.report.Differences = append(p.report.Differences, Difference{
			Decision: p.report.Decisions, Unit: t.Unit, At: when,
			Path: c.path, Recorded: text(c.from), Replayed: text(c.to),
		})
	}
}
