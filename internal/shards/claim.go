package shards

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// claims is how often a claim begins anew because another leader has written
// meanwhile.
const claims = 5

// claimPatience is how long Claim tries while the API server does not answer. One
// that refuses is not asked again.
const claimPatience = 5 * time.Second

// Claim takes the component's shards over: it reads what is kept, and writes all of
// it again in this leader's name, of the units that usable says yes to. From then
// on a leader before this one can keep nothing, and so acts no more; all that it
// kept until then is in what Claim returns. Where it cannot be done the Store goes
// on without, and Run tries on.
func (s *Store) Claim(ctx context.Context, usable func(Record) bool) ([]Record, error) {
	ctx, cancel := context.WithTimeout(ctx, claimPatience)
	defer cancel()
	var records []Record
	var err error
	for pause := 100 * time.Millisecond; ; pause *= 2 {
		records, err = s.claim(ctx, usable)
		if err == nil || final(err) {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			continue
		}
		break
	}
	s.settle(ctx, err)
	return records, err
}

// final tells whether an error will not go away by itself soon.
func final(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || meta.IsNoMatchError(err)
}

func (s *Store) claim(ctx context.Context, usable func(Record) bool) ([]Record, error) {
	var err error
	for range claims {
		var records []Record
		if records, err = s.claimOnce(ctx, usable); err == nil || !refused(err) {
			return records, err
		}
	}
	return nil, err
}

func (s *Store) claimOnce(ctx context.Context, usable func(Record) bool) ([]Record, error) {
	items, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	found, shards := s.merge(ctx, items)
	var records []Record
	for _, r := range found {
		if usable != nil && usable(r) {
			records = append(records, r)
		}
	}
	pass := s.takeOver(items, records, shards)
	s.mu.Lock()
	all := s.shards
	s.mu.Unlock()
	if err := s.writeShards(ctx, all, s.writeOnce); err != nil {
		return nil, err
	}
	// Where an earlier leader writes to what is about to go, that is refused and all
	// begins anew.
	for name, version := range s.stale() {
		if err := s.cfg.Objects.Delete(ctx, name, version); err != nil {
			return nil, err
		}
		s.gone(name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claimed = pass
	return records, nil
}

// list gives the objects of the component.
func (s *Store) list(ctx context.Context) ([]v1alpha1.StateShard, error) {
	items, err := s.cfg.Objects.List(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(items, func(i v1alpha1.StateShard) bool { return i.Spec.Component != s.cfg.Component }), nil
}

// takeOver lays the records out, beside what was told already and is newer, and
// gives the number of the pass that is later than all before.
func (s *Store) takeOver(items []v1alpha1.StateShard, records []Record, shards int) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions = map[string]string{}
	for i := range items {
		s.versions[items[i].Name] = items[i].ResourceVersion
		s.pass = max(s.pass, items[i].Spec.Pass)
	}
	s.pass++
	for _, r := range records {
		sh := s.shards[Place(r.Unit, len(s.shards))]
		e := sh.entries[r.Unit]
		if e == nil {
			e = &entry{}
			sh.entries[r.Unit] = e
			s.size += overhead(r.Unit)
		}
		s.size += len(r.State) - len(e.state)
		e.state = r.State
	}
	s.layOut(max(s.wanted(), shards))
	return s.pass
}

// merge gives the states in the objects, of each unit the one written last, and
// the number of shards they were divided into. An object that cannot be read is
// told of, and the others count.
func (s *Store) merge(ctx context.Context, items []v1alpha1.StateShard) ([]Record, int) {
	type written struct {
		pass   int64
		record Record
	}
	latest := map[decision.Unit]written{}
	shards := 1
	for i := range items {
		item := &items[i]
		records, err := read(item)
		if err != nil {
			telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "A StateShard cannot be used: its history is lost",
				slog.String("shard", item.Name), slog.Any("error", err))
			continue
		}
		shards = max(shards, int(item.Spec.Shards))
		for _, r := range records {
			if have, ok := latest[r.Unit]; !ok || item.Spec.Pass > have.pass {
				latest[r.Unit] = written{pass: item.Spec.Pass, record: r}
			}
		}
	}
	out := make([]Record, 0, len(latest))
	for _, w := range latest {
		out = append(out, w.record)
	}
	return out, min(shards, maxShards)
}

func read(item *v1alpha1.StateShard) ([]Record, error) {
	spec := &item.Spec
	switch {
	case spec.Version != Version:
		return nil, fmt.Errorf("its encoding is of version %d, this build knows %d", spec.Version, Version)
	case spec.Hash != Hash(spec.Data):
		return nil, errors.New("its data does not have the hash it says")
	}
	return Decode(spec.Data)
}
