package sharing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/adapter/collector"
)

const (
	// discoverEvery is how often the replicas are looked up.
	discoverEvery = 2 * time.Second
	// silence is how long a replica that says nothing counts as there.
	silence = 3 * heartbeat
	// maxSkew is how far another replica's clock may be from ours. Its readings have
	// times by that clock, and ages are told by ours: where the two are further apart
	// a reading would be refused that is fresh, or served that is not.
	maxSkew = silence
	// pauseFirst and pauseMax bound the pause between two tries to hear a replica.
	pauseFirst = 250 * time.Millisecond
	pauseMax   = 4 * time.Second
)

// Config is what Peers are made of. All of it is required.
type Config struct {
	// Self is this replica's address and port, as Discover gives it.
	Self string
	// Discover gives the addresses and ports of all replicas, this one included or
	// not.
	Discover func(ctx context.Context) ([]string, error)
	// Client authenticates this replica to the others, and them to it.
	Client *http.Client
	// Deliver takes what another replica's poll of a query gave.
	Deliver func(key string, s collector.Shared)
	// Changed is called when queries may have come to another owner.
	Changed func()
	Clock   clock.WithTicker
	Log     *slog.Logger
}

func (c Config) validate() error {
	switch {
	case c.Self == "":
		return errors.New("sharing: Self is required")
	case c.Discover == nil || c.Deliver == nil || c.Changed == nil:
		return errors.New("sharing: Discover, Deliver and Changed are required")
	case c.Client == nil || c.Clock == nil || c.Log == nil:
		return errors.New("sharing: Client, Clock and Log are required")
	}
	return nil
}

// Peers hears the other replicas and knows which are there.
type Peers struct {
	cfg Config

	mu sync.RWMutex
	// members are this replica and those that are heard, sorted; the slice is
	// replaced and never changed.
	members []string
	// known are the replicas that were looked up. Only Run uses it.
	known map[string]context.CancelFunc
}

// NewPeers makes Peers that know only themselves.
func NewPeers(c Config) (*Peers, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	return &Peers{cfg: c, members: []string{c.Self}, known: map[string]context.CancelFunc{}}, nil
}

// Mine tells whether a query is this replica's to poll.
func (p *Peers) Mine(key string) bool {
	members := p.Members()
	return len(members) == 1 || Owner(members, key) == p.cfg.Self
}

// Members are this replica and those that it hears.
func (p *Peers) Members() []string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.members
}

// Run looks for replicas and hears them until the context ends.
func (p *Peers) Run(ctx context.Context) error {
	var hearing sync.WaitGroup
	defer hearing.Wait()
	ticker := p.cfg.Clock.NewTicker(discoverEvery)
	defer ticker.Stop()
	for {
		addresses, err := p.cfg.Discover(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			// Those that are heard are there whatever the API server says.
			p.cfg.Log.Debug("Could not look for other replicas", "error", err)
		default:
			p.follow(ctx, addresses, &hearing)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// follow begins to hear addresses that are new and ends those that are gone.
func (p *Peers) follow(ctx context.Context, addresses []string, hearing *sync.WaitGroup) {
	for address, stop := range p.known {
		if !slices.Contains(addresses, address) {
			stop()
			delete(p.known, address)
		}
	}
	for _, address := range addresses {
		if _, known := p.known[address]; known || address == p.cfg.Self {
			continue
		}
		one, stop := context.WithCancel(ctx)
		p.known[address] = stop
		hearing.Go(func() {
			defer stop()
			p.hear(one, address)
		})
	}
}

// hear listens to one replica until the context ends.
func (p *Peers) hear(ctx context.Context, address string) {
	pause, warned := pauseFirst, false
	for ctx.Err() == nil {
		heard, err := p.listen(ctx, address)
		p.set(address, false, err)
		if skewed := errors.Is(err, errSkew); skewed != warned && (skewed || heard) {
			if warned = skewed; warned {
				p.cfg.Log.Warn("Polls are not shared with another replica: set the clocks of the nodes", "replica", address, "reason", err)
			}
		}
		if heard {
			pause = pauseFirst
		}
		timer := p.cfg.Clock.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C():
		}
		timer.Stop()
		pause = min(2*pause, pauseMax)
	}
}

// set takes note of whether a replica is there.
func (p *Peers) set(address string, there bool, why error) {
	if slices.Contains(p.Members(), address) == there {
		return
	}
	p.mu.Lock()
	members := map[string]bool{}
	for _, m := range p.members {
		members[m] = true
	}
	if members[address] = there; !there {
		delete(members, address)
	}
	p.members = slices.Sorted(maps.Keys(members))
	p.mu.Unlock()
	if there {
		p.cfg.Log.Info("Polls are shared with another replica", "replica", address)
	} else {
		p.cfg.Log.Info("Another replica is no longer heard: its polls are taken over", "replica", address, "reason", fmt.Sprint(why))
	}
	p.cfg.Changed()
}

// listen hears one stream to its end, and tells whether it was a stream at all.
func (p *Peers) listen(ctx context.Context, address string) (heard bool, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+Path, nil)
	if err != nil {
		return false, fmt.Errorf("ask %s for its polls: %w", address, err)
	}
	silent := p.watchdog(ctx, stop)
	response, err := p.cfg.Client.Do(request)
	if err != nil {
		return false, fmt.Errorf("ask %s for its polls: %w", address, cause(ctx, err))
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return false, fmt.Errorf("ask %s for its polls: it answered %s", address, response.Status)
	}
	decoder := json.NewDecoder(response.Body)
	for {
		var m message
		if err := decoder.Decode(&m); err != nil {
			if errors.Is(err, io.EOF) {
				return heard, errors.New("it ended the stream")
			}
			return heard, fmt.Errorf("hear the polls of %s: %w", address, cause(ctx, err))
		}
		silent()
		if err := p.agree(m); err != nil {
			return heard, fmt.Errorf("hear the polls of %s: %w", address, err)
		}
		heard = true
		p.set(address, true, nil)
		if m.Key != "" && m.Shared != nil {
			p.cfg.Deliver(m.Key, *m.Shared)
		}
	}
}

// errSkew ends a stream of readings whose times cannot be judged here.
var errSkew = errors.New("its clock and ours do not agree")

// agree tells whether the sender's clock is near enough to ours; a line that does
// not tell the time is not judged.
func (p *Peers) agree(m message) error {
	if m.Now.IsZero() {
		return nil
	}
	if ahead := m.Now.Sub(p.cfg.Clock.Now()); ahead.Abs() > maxSkew {
		return fmt.Errorf("%w: it is %s ahead, and at most %s is allowed", errSkew, ahead.Round(time.Millisecond), maxSkew)
	}
	return nil
}

// errSilent ends a stream on which nothing comes any more.
var errSilent = errors.New("nothing was heard for " + silence.String())

// watchdog ends the context after a silence, unless it is called meanwhile.
func (p *Peers) watchdog(ctx context.Context, end context.CancelCauseFunc) (heard func()) {
	barks := make(chan struct{}, 1)
	go func() {
		for {
			timer := p.cfg.Clock.NewTimer(silence)
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C():
				end(errSilent)
				return
			case <-barks:
				timer.Stop()
			}
		}
	}()
	return func() {
		select {
		case barks <- struct{}{}:
		default:
		}
	}
}

// cause is why a context ended, where that is the reason of an error.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil {
		return why
	}
	return err
}
