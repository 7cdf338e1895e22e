package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/quartet-autoscaling/quartet/test/queue"
	"github.com/quartet-autoscaling/quartet/test/reaction"
)

// report is what a run measured, in the form of --json.
type report struct {
	DurationSeconds float64        `json:"duration_seconds"`
	Messages        messageReport  `json:"messages"`
	Queue           queueReport    `json:"queue"`
	Replicas        replicaReport  `json:"replicas"`
	Reaction        reactionReport `json:"reaction_seconds"`
	Replay          replayReport   `json:"replay"`
}

type messageReport struct {
	Produced int `json:"produced"`
	Consumed int `json:"consumed"`
	// Lost were accepted by the broker and never done with.
	Lost int `json:"lost"`
	// Redelivered were done with more than once.
	Redelivered int `json:"redelivered"`
}

type queueReport struct {
	Peak  int `json:"peak"`
	Final int `json:"final"`
}

type replicaReport struct {
	Min   int `json:"min"`
	Peak  int `json:"peak"`
	Final int `json:"final"`
}

// reactionReport counts from the publish that first changes the pure target to
// the observed scale write.
type reactionReport struct {
	Count  int     `json:"count"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// replayReport tells how many of the run's recorded decisions came out the same
// when the same rules were run again on the recorded input.
type replayReport struct {
	Decisions   int `json:"decisions"`
	Differences int `json:"differences"`
}

func (r *report) setMessages(c queue.Counts) {
	r.Messages = messageReport{Produced: c.Produced, Consumed: c.Consumed, Lost: c.Depth(), Redelivered: c.Repeated}
	r.Queue = queueReport{Peak: c.Peak, Final: c.Depth()}
}

func (r *report) setReaction(s reaction.Summary) {
	r.Reaction = reactionReport{Count: s.Count, Median: seconds(s.Median), Max: seconds(s.Max)}
}

func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

// verdict is nil where the loop did its job over a whole run.
func (r *report) verdict() error {
	var faults []error
	if r.Messages.Produced == 0 {
		faults = append(faults, errors.New("no message was produced"))
	}
	if r.Messages.Lost != 0 {
		faults = append(faults, fmt.Errorf("%d messages were lost", r.Messages.Lost))
	}
	if r.Replicas.Peak <= r.Replicas.Min {
		faults = append(faults, fmt.Errorf("the workers never grew beyond %d", r.Replicas.Min))
	}
	if r.Replicas.Final != r.Replicas.Min {
		faults = append(faults, fmt.Errorf("%d workers are left, the minimum is %d", r.Replicas.Final, r.Replicas.Min))
	}
	if r.Reaction.Count == 0 {
		faults = append(faults, errors.New("no reaction was measured"))
	}
	if r.Replay.Decisions == 0 {
		faults = append(faults, errors.New("no decision was recorded"))
	}
	if r.Replay.Differences != 0 {
		faults = append(faults, fmt.Errorf("%d fields of replayed decisions differ", r.Replay.Differences))
	}
	return errors.Join(faults...)
}

func (r *report) write(path string) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	if err := os.WriteFile(path, append(raw, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func (r *report) String() string {
	return fmt.Sprintf(`messages   %d produced, %d done, %d lost
queue      peak %d, now %d
workers    from %d up to %d, now %d
reaction   median %.2f s, at most %.2f s, over %d scale-ups
replay     %d decisions again, %d differences`,
		r.Messages.Produced, r.Messages.Consumed, r.Messages.Lost,
		r.Queue.Peak, r.Queue.Final,
		r.Replicas.Min, r.Replicas.Peak, r.Replicas.Final,
		r.Reaction.Median, r.Reaction.Max, r.Reaction.Count,
		r.Replay.Decisions, r.Replay.Differences)
}
