package peer

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/quartet-autoscaling/quartet/internal/health"
)

// listEvery is how often peers are asked for the metrics that they list.
const listEvery = 30 * time.Second

// Set is all peers, in the order of their rules. The nil Set has none.
type Set struct{ peers []*Peer }

// NewSet makes the peers of rules, or says what one lacks.
func NewSet(rules []Rule, cfg Config) (*Set, error) {
	s := &Set{}
	for _, rule := range rules {
		p, err := newPeer(rule, cfg)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", rule, err)
		}
		s.peers = append(s.peers, p)
	}
	return s, nil
}

// Find gives the first peer whose rule covers a metric of a namespace, nil where
// none does.
func (s *Set) Find(namespace, metric string) *Peer {
	if s == nil {
		return nil
	}
	for _, p := range s.peers {
		if p.Covers(namespace, metric) {
			return p
		}
	}
	return nil
}

// Names are the metrics that peers list and that rules cover, sorted; those of a
// peer that does not answer are the last that it listed.
func (s *Set) Names() []string {
	if s == nil {
		return nil
	}
	var out []string
	for _, p := range s.peers {
		out = append(out, p.names.get()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Run asks all peers for what they list, now and then, until the context ends.
func (s *Set) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for _, p := range s.peers {
		running.Go(func() { p.follow(ctx) })
	}
	// Without any peer too: who runs it ends when it returns.
	<-ctx.Done()
	running.Wait()
	return nil
}

// Check is the readiness detail. A peer that is away makes nobody unready.
func (s *Set) Check() health.Check {
	return health.Check{Name: "peers", Func: func(context.Context) (string, error) {
		if s == nil || len(s.peers) == 0 {
			return "none", nil
		}
		var text []string
		for _, p := range s.peers {
			failures, at, last := p.breaker.state()
			switch {
			case failures > 0:
				text = append(text, fmt.Sprintf("%s does not answer since %s (%v)", p.Name, at.UTC().Format(time.RFC3339), last))
			default:
				text = append(text, fmt.Sprintf("%s lists %d metrics that are passed on", p.Name, len(p.names.get())))
			}
		}
		return strings.Join(text, "; "), nil
	}}
}

// names are what a peer listed last, sorted.
type names struct {
	mu    sync.Mutex
	names []string
}

func (n *names) get() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.names
}

func (n *names) set(names []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names = names
}

func (p *Peer) follow(ctx context.Context) {
	defer p.client.close()
	said := ""
	for {
		timer := p.cfg.Clock.NewTimer(listEvery)
		err := p.list(ctx)
		// A failure is said once, and not every time.
		if text := fmt.Sprint(err); err != nil && text != said && ctx.Err() == nil {
			slog.Warn("A peer does not list its metrics", "peer", p.Name, "error", err)
			said = text
		} else if err == nil && said != "" {
			slog.Info("A peer lists its metrics again", "peer", p.Name)
			said = ""
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C():
		}
	}
}

// list keeps the names that the peer lists and the rule covers in some namespace.
// It asks whatever the breaker says: an answer closes it.
func (p *Peer) list(ctx context.Context) error {
	var list metav1.APIResourceList
	raw := json.RawMessage{}
	if err := p.ask(ctx, groupPath, url.Values{}, &raw); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &list); err != nil || list.Kind != "APIResourceList" {
		return p.errorf(ReasonBadReply, "it answered discovery with no list of resources")
	}
	var covered []string
	for _, r := range list.APIResources {
		if !strings.Contains(r.Name, "/") && p.Metrics.MatchString(r.Name) {
			covered = append(covered, r.Name)
		}
	}
	slices.Sort(covered)
	p.names.set(slices.Compact(covered))
	return nil
}
