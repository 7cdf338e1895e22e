package controller

import (
	"time"

	"github.com/spf13/pflag"

	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

// Pacing are the flags that bound writes, whatever the number of objects.
type Pacing struct {
	// CheckpointWrites is how many checkpoints are written a second at most, and
	// BoundsWrites how many statuses of which only bounds moved; with 0 of these
	// each is written at once.
	CheckpointWrites, BoundsWrites float64
	// BoundsTolerance is the part by which bounds alone may differ from those that a
	// status shows before it is written again; 0 writes each change.
	BoundsTolerance float64
	// GCGrace is how long the checkpoints of a VPA that is gone are kept.
	GCGrace time.Duration
}

func newPacing() Pacing {
	return Pacing{CheckpointWrites: 200, BoundsWrites: 20, BoundsTolerance: 0.001, GCGrace: 24 * time.Hour}
}

const (
	flagCheckpointWrites = "checkpoint-writes-per-second"
	flagBoundsWrites     = "bounds-writes-per-second"
	flagBoundsTolerance  = "bounds-tolerance"
	flagGCGrace          = "checkpoints-gc-grace"
)

func (p *Pacing) addFlags(fs *pflag.FlagSet) {
	fs.Float64Var(&p.CheckpointWrites, flagCheckpointWrites, p.CheckpointWrites, "How many checkpoints are written a second at most.")
	fs.Float64Var(&p.BoundsWrites, flagBoundsWrites, p.BoundsWrites,
		"How many statuses of which only bounds moved are written a second at most; new targets are always written at once. 0 means no limit.")
	fs.Float64Var(&p.BoundsTolerance, flagBoundsTolerance, p.BoundsTolerance,
		"The part by which bounds may move before a status of which nothing else changed is written again. 0 writes each change.")
	fs.DurationVar(&p.GCGrace, flagGCGrace, p.GCGrace, "How long the checkpoints of a VPA that is gone are kept for its return.")
}

func (p *Pacing) validate() error {
	if !(p.CheckpointWrites >= 0.1 && p.CheckpointWrites <= 1e5) {
		return runtimeflags.Invalid(flagCheckpointWrites, "must be from 0.1 to 1e5, is %v", p.CheckpointWrites)
	}
	if !(p.BoundsWrites == 0 || p.BoundsWrites >= 0.1 && p.BoundsWrites <= 1e5) {
		return runtimeflags.Invalid(flagBoundsWrites, "must be 0 or from 0.1 to 1e5, is %v", p.BoundsWrites)
	}
	if !(p.BoundsTolerance >= 0 && p.BoundsTolerance < 1) {
		return runtimeflags.Invalid(flagBoundsTolerance, "must be at least 0 and below 1, is %v", p.BoundsTolerance)
	}
	if p.GCGrace < 0 || p.GCGrace > longest {
		return runtimeflags.Invalid(flagGCGrace, "must be from 0s to %s, is %s", longest, p.GCGrace)
	}
	return nil
}
