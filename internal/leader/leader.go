// Package leader elects one replica of an acting binary by a Lease, runs its
// work while it leads, and knows who leads so that the others can say so. The
// lease is given up only after the work has ended, so two replicas never act at
// once. It does not restart work: a replica that lost its lease ends.
package leader

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// ErrLost is returned when another replica took the lease, or the lease could
// not be renewed in time. The process is expected to end and start anew.
var ErrLost = errors.New("lost the leader election's lease")

// Config is what an Elector is made of.
type Config struct {
	// Disabled leads at once and writes no lease.
	Disabled bool
	// REST connects to the cluster. Not needed where Disabled.
	REST *rest.Config
	// Name is the lease's, usually the binary's.
	Name string
	// Namespace is the lease's. Empty uses the pod's own.
	Namespace string
	// Identity names this replica; empty uses the host's name (in a cluster the
	// pod's) and a random part.
	Identity string
	// LeaseDuration is how long others wait for a silent leader, RenewDeadline how
	// long a leader tries before it gives up, RetryPeriod the pause between
	// tries. Zero means 15 s, 10 s and 2 s.
	LeaseDuration, RenewDeadline, RetryPeriod time.Duration
}

// Elector takes part in one election.
type Elector struct {
	cfg  Config
	lock resourcelock.Interface

	mu      sync.Mutex
	leading bool
	holder  string
}

// New makes an Elector, or says what its configuration lacks.
func New(cfg Config) (*Elector, error) {
	if cfg.Identity == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("name this replica: %w", err)
		}
		cfg.Identity = host + "_" + uuid.NewString()
	}
	cfg.LeaseDuration = orDefault(cfg.LeaseDuration, 15*time.Second)
	cfg.RenewDeadline = orDefault(cfg.RenewDeadline, 10*time.Second)
	cfg.RetryPeriod = orDefault(cfg.RetryPeriod, 2*time.Second)
	e := &Elector{cfg: cfg}
	if cfg.Disabled {
		return e, nil
	}
	switch {
	case cfg.REST == nil:
		return nil, errors.New("leader: REST is required")
	case cfg.Name == "":
		return nil, errors.New("leader: Name is required")
	}
	if cfg.Namespace == "" {
		namespace, err := PodNamespace()
		if err != nil {
			return nil, err
		}
		e.cfg.Namespace = namespace
	}
	return e, e.connect()
}

// connect makes the lock on a client of its own, so that a busy work queue
// never holds back a renewal.
func (e *Elector) connect() error {
	config := rest.CopyConfig(e.cfg.REST)
	config.Timeout = e.cfg.RenewDeadline / 2
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("connect for the leader election: %w", err)
	}
	e.lock = &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: e.cfg.Namespace, Name: e.cfg.Name},
		Client:     client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: e.cfg.Identity},
	}
	return nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// PodNamespace is the namespace of the pod that this process runs in: the
// environment's POD_NAMESPACE, or that of the mounted service account.
func PodNamespace() (string, error) {
	if namespace := os.Getenv("POD_NAMESPACE"); namespace != "" {
		return namespace, nil
	}
	content, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if err != nil {
		return "", fmt.Errorf("find the pod's namespace (set --leader-elect-resource-namespace outside a cluster): %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}

// Identity is the name under which this replica takes part.
func (e *Elector) Identity() string { return e.cfg.Identity }

// Leading tells whether this replica leads, and who does as far as this replica
// has seen; the holder is empty where nobody was seen to.
func (e *Elector) Leading() (leading bool, holder string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.leading, e.holder
}

func (e *Elector) set(leading bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.leading = leading
}

func (e *Elector) observe(holder string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.holder = holder
}

// Run waits until this replica leads, then calls work once, with a context that
// ends when ctx does or the lease is lost. It returns work's error, ErrLost
// where the lease went away, or nil where ctx ended.
func (e *Elector) Run(ctx context.Context, work func(context.Context) error) error {
	if e.cfg.Disabled {
		e.observe(e.cfg.Identity)
		e.set(true)
		defer e.set(false)
		return work(ctx)
	}
	// The election outlives ctx until the work has ended: only then the lease is
	// given up.
	election, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	elected := make(chan context.Context, 1)
	lock := &heldLock{Interface: e.lock, workEnded: election.Done()}
	elector, err := leaderelection.NewLeaderElector(e.electorConfig(lock, elected))
	if err != nil {
		return fmt.Errorf("set up the leader election: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		elector.Run(election)
	}()

	select {
	case <-ctx.Done():
		giveUp()
		<-ended
		return nil
	case lease := <-elected:
		err := e.lead(ctx, lease, work)
		giveUp()
		<-ended
		return err
	}
}

func (e *Elector) electorConfig(lock resourcelock.Interface, elected chan<- context.Context) leaderelection.LeaderElectionConfig {
	return leaderelection.LeaderElectionConfig{
		Name:            e.cfg.Name,
		Lock:            lock,
		LeaseDuration:   e.cfg.LeaseDuration,
		RenewDeadline:   e.cfg.RenewDeadline,
		RetryPeriod:     e.cfg.RetryPeriod,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(lease context.Context) { elected <- lease },
			OnStoppedLeading: func() { e.set(false) },
			OnNewLeader:      e.observe,
		},
	}
}

// lead runs the work; lease ends when the lease is lost.
func (e *Elector) lead(ctx, lease context.Context, work func(context.Context) error) error {
	working, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(lease, stop)()
	e.set(true)
	err := work(working)
	e.set(false)
	if lease.Err() != nil && ctx.Err() == nil {
		return errors.Join(ErrLost, err)
	}
	return err
}

// heldLock refuses to give the lease up while the work runs. client-go gives it
// up at once where a renewal came too late, before it says that the lease is
// lost; the lease must rather run out, so that the work has its time to end.
type heldLock struct {
	resourcelock.Interface
	workEnded <-chan struct{}
}

// Update writes the record, unless it gives the lease up too early.
func (l *heldLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	if record.HolderIdentity == "" {
		select {
		case <-l.workEnded:
		default:
			return errors.New("the lease is not given up while the work runs")
		}
	}
	return l.Interface.Update(ctx, record)
}
