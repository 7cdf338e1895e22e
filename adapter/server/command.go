package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/quartet-autoscaling/quartet/internal/leader"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/serving"
)

// Name is the binary's.
const Name = "metrics-adapter"

// NewCommand makes the binary: flags, checks and the wiring that they ask for.
func NewCommand() *runtimeflags.Command {
	// Acting: the status of objects is written by an elected leader.
	flags := runtimeflags.New(runtimeflags.Acting)
	port := serving.NewOptions()
	others := &peerOptions{}
	shared := &sharingOptions{}
	return &runtimeflags.Command{
		Name:    Name,
		Short:   "serves queues and queries as external metrics, each sample with its own time",
		Flags:   flags,
		Options: []runtimeflags.Options{port, others, shared},
		// About two thirds of the size that Go would give it.
		GarbagePercent: 30,
		Run: func(ctx context.Context) error {
			return run(ctx, flags, options{port, others, shared})
		},
	}
}

// options are the adapter's own flags.
type options struct {
	port   *serving.Options
	others *peerOptions
	shared *sharingOptions
}

// electAgain is the pause before this replica stands for election again.
const electAgain = 2 * time.Second

// lead runs the leader's work whenever this replica leads, until the context
// ends. A lease that is lost costs nothing but the writing of status: reads and
// polls go on, so the process stays and stands again.
func lead(ctx context.Context, cfg leader.Config, work func(context.Context) error) error {
	for {
		elector, err := leader.New(cfg)
		if err != nil {
			return fmt.Errorf("stand for election: %w", err)
		}
		switch err := elector.Run(ctx, work); {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errors.Is(err, leader.ErrLost):
			slog.Error("The leader's work ended", "error", err)
		default:
			slog.Info("Another replica writes status from now on")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(electAgain):
		}
	}
}
