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
	Nodes           nodeReport     `json:"nodes"`
	// PDBViolations are evictions that took a budget below its desired healthy
	// count, by the watcher that knows nothing of the suite.
	PDBViolations int `json:"pdb_violations"`
	// PodsPatched are pods whose requests vpa-admission set.
	PodsPatched int `json:"pods_patched"`
	// Evictions are pods that went through the eviction API, for the updater and
	// the scaler together.
	Evictions int `json:"evictions"`
	// RightSized tells whether every pod of the steady workload has requests that
	// a recommendation set.
	RightSized bool `json:"right_sized"`
	// Unschedulable counts from the scheduler's verdict to the Running pod.
	Unschedulable reactionReport `json:"unschedulable_to_running_seconds"`
	Replay        replayReport   `json:"replay"`
}

type nodeReport struct {
	Min   int `json:"min"`
	Peak  int `json:"peak"`
	Final int `json:"final"`
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

func (r *report) setReaction(s reaction.Summary) { r.Reaction = durations(s) }

func durations(s reaction.Summary) reactionReport {
	return reactionReport{Count: s.Count, Median: seconds(s.Median), Max: seconds(s.Max)}
}

func (r *report) setCluster(c clusterSeen) {
	r.Nodes, r.PodsPatched, r.RightSized = c.nodes, c.patched, c.rightSized
	r.Unschedulable = durations(reaction.Summarize(c.waits))
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
	faults = append(faults, r.clusterVerdict()...)
	if r.Replay.Decisions == 0 {
		faults = append(faults, errors.New("no decision was recorded"))
	}
	if r.Replay.Differences != 0 {
		faults = append(faults, fmt.Errorf("%d fields of replayed decisions differ", r.Replay.Differences))
	}
	return errors.Join(faults...)
}

func (r *report) clusterVerdict() []error {
	var faults []error
	if r.PDBViolations != 0 {
		faults = append(faults, fmt.Errorf("%d budgets were broken", r.PDBViolations))
	}
	if r.Nodes.Peak <= minNodes {
		faults = append(faults, fmt.Errorf("the nodes never grew beyond %d", minNodes))
	}
	if r.Nodes.Min != minNodes {
		faults = append(faults, fmt.Errorf("there were only %d nodes at a time, the minimum is %d", r.Nodes.Min, minNodes))
	}
	if r.Nodes.Final != minNodes {
		faults = append(faults, fmt.Errorf("%d nodes are left, the minimum is %d", r.Nodes.Final, minNodes))
	}
	if !r.RightSized {
		faults = append(faults, errors.New("the steady workload was not right-sized"))
	}
	return faults
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
nodes      from %d up to %d, now %d
pods       %d waited for a node, median %.2f s, at most %.2f s; %d patched, %d evicted, %d budgets broken
replay     %d decisions again, %d differences`,
		r.Messages.Produced, r.Messages.Consumed, r.Messages.Lost,
		r.Queue.Peak, r.Queue.Final,
		r.Replicas.Min, r.Replicas.Peak, r.Replicas.Final,
		r.Reaction.Median, r.Reaction.Max, r.Reaction.Count,
		r.Nodes.Min, r.Nodes.Peak, r.Nodes.Final,
		r.Unschedulable.Count, r.Unschedulable.Median, r.Unschedulable.Max, r.PodsPatched, r.Evictions, r.PDBViolations,
		r.Replay.Decisions, r.Replay.Differences)
}
