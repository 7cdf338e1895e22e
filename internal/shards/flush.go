package shards

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

const (
	// writesAtOnce is how many shards are written at the same time.
	writesAtOnce = 4
	// attempts is how often a write is tried that meets another one.
	attempts = 3
)

// flush is one round of writes: of the shards that somebody waits for, or of all
// that changed.
func (s *Store) flush(ctx context.Context, all bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := s.round(ctx, all)
	s.settle(ctx, err)
	return err
}

func (s *Store) round(ctx context.Context, all bool) error {
	if !s.isClaimed() {
		_, err := s.claim(ctx, nil)
		return err
	}
	if all {
		s.grow()
	}
	due := s.due(all)
	if len(due) == 0 {
		return nil
	}
	if err := s.writeShards(ctx, due, s.write); err != nil {
		return err
	}
	if !all {
		return nil
	}
	for name, version := range s.stale() {
		err := s.cfg.Objects.Delete(ctx, name, version)
		if refused(err) {
			err = s.reconsider(ctx)
		} else if err == nil {
			s.gone(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) isClaimed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claimed != 0
}

func (s *Store) gone(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.versions, name)
}

// due gives the shards to be written, and begins a pass where there are any.
func (s *Store) due(all bool) []*shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	var due []*shard
	for _, sh := range s.shards {
		if len(sh.waiting) > 0 || all && (sh.changed || sh.unsaved) {
			due = append(due, sh)
		}
	}
	if len(due) > 0 {
		s.pass++
	}
	return due
}

// writeShards writes each of the shards, and tells those who wait how it went.
func (s *Store) writeShards(ctx context.Context, due []*shard, write func(context.Context, *v1alpha1.StateShard) error) error {
	var group errgroup.Group
	group.SetLimit(writesAtOnce)
	for _, sh := range due {
		group.Go(func() error {
			records, waiting, moved := s.take(ctx, sh)
			var err error
			if moved {
				err = s.save(ctx, sh, records, write)
			}
			release(waiting, err)
			return err
		})
	}
	return group.Wait()
}

// take gives a shard's records, with what has changed encoded anew, those who
// wait for them, and whether the object is otherwise.
func (s *Store) take(ctx context.Context, sh *shard) ([]Record, []waiter, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	moved := sh.unsaved
	records := make([]Record, 0, len(sh.entries))
	for unit, e := range sh.entries {
		if e.encode != nil {
			state, err := e.encode(now)
			switch {
			case err != nil:
				telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not encode a state: the one before is kept",
					slog.String("unit", unit.String()), slog.Any("error", err))
			case !bytes.Equal(state, e.state):
				s.size += len(state) - len(e.state)
				e.state, moved = state, true
			}
			e.encode = nil
		}
		if e.state != nil {
			records = append(records, Record{Unit: unit, State: e.state})
		}
	}
	waiting := sh.waiting
	sh.changed, sh.unsaved, sh.waiting = false, false, nil
	return records, waiting, moved
}

func (s *Store) save(ctx context.Context, sh *shard, records []Record, write func(context.Context, *v1alpha1.StateShard) error) error {
	object, err := s.object(sh, records)
	if err == nil {
		err = write(ctx, object)
	}
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sh.unsaved = true
	if errors.Is(err, errTooLarge) && len(s.shards) < maxShards {
		s.least = 2 * len(s.shards)
	}
	return err
}

func (s *Store) object(sh *shard, records []Record) (*v1alpha1.StateShard, error) {
	data, err := Encode(records)
	if err != nil {
		return nil, fmt.Errorf("encode %d states: %w", len(records), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := metav1.NowMicro()
	return &v1alpha1.StateShard{
		ObjectMeta: metav1.ObjectMeta{Name: sh.name},
		Spec: v1alpha1.StateShardSpec{
			Component: s.cfg.Component, Index: int32(sh.index), Shards: int32(len(s.shards)),
			Version: Version, Data: data, Hash: Hash(data), Writer: s.cfg.Writer, WrittenAt: &now,
		},
	}, nil
}

// write writes an object. Where it meets another write and no other leader's, it
// is tried again.
func (s *Store) write(ctx context.Context, object *v1alpha1.StateShard) error {
	var err error
	for range attempts {
		if err = s.writeOnce(ctx, object); err == nil || !refused(err) {
			return err
		}
		if err := s.reconsider(ctx); err != nil {
			return err
		}
	}
	return err
}

// writeOnce writes an object with the number of the pass, on top of the version
// that is known.
func (s *Store) writeOnce(ctx context.Context, object *v1alpha1.StateShard) error {
	s.mu.Lock()
	object.ResourceVersion, object.Spec.Pass = s.versions[object.Name], s.pass
	s.mu.Unlock()
	start := time.Now()
	version, err := s.cfg.Objects.Write(ctx, object)
	s.cfg.Metrics.wrote(start, err)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions[object.Name] = version
	return nil
}

// reconsider looks at the objects after a write was refused. Where another leader
// has written since the claim it gives ErrDeposed. Otherwise somebody removed or
// edited an object, or our own write had no answer: ours is written over it.
func (s *Store) reconsider(ctx context.Context) error {
	items, err := s.list(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions = map[string]string{}
	for i := range items {
		spec := &items[i].Spec
		if spec.Writer != s.cfg.Writer && spec.Pass >= s.claimed {
			return ErrDeposed
		}
		s.versions[items[i].Name] = items[i].ResourceVersion
		s.pass = max(s.pass, spec.Pass)
	}
	return nil
}
