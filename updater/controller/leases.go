package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcoordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/quartet-autoscaling/quartet/internal/vertical"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// upstreamLease is what upstream's updater elects its leader by.
var upstreamLease = types.NamespacedName{Namespace: metav1.NamespaceSystem, Name: name}

// rivalGrace is the least time that a lease of another updater counts after its
// renewal, and freshness how old what was read of leases may be.
const (
	rivalGrace = 15 * time.Second
	freshness  = 10 * time.Second
)

// leases reads the admission webhook's lease and that of another updater. They
// are asked for when needed and not watched: two small reads a pass.
type leases struct {
	client    typedcoordinationv1.LeasesGetter
	admission types.NamespacedName
	// own is this updater's lease: not another's, where names are the same.
	own types.NamespacedName

	mu   sync.Mutex
	read time.Time
	// seen and rival are what was read last.
	seen  eviction.Admission
	rival string
	// unknown is why another's lease could not be read.
	unknown error
}

// look gives the admission webhook's lease and the other updater, "" where
// there is none.
func (l *leases) look(ctx context.Context, now time.Time) (eviction.Admission, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if age := now.Sub(l.read); age >= freshness || age < 0 {
		l.read = now
		l.seen = l.readAdmission(ctx)
		l.rival, l.unknown = l.readRival(ctx, now)
	}
	return l.seen, l.rival
}

func (l *leases) get(ctx context.Context, which types.NamespacedName) (*coordinationv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return l.client.Leases(which.Namespace).Get(ctx, which.Name, metav1.GetOptions{})
}

func (l *leases) readAdmission(ctx context.Context) eviction.Admission {
	out := eviction.Admission{Lease: l.admission.String()}
	lease, err := l.get(ctx, l.admission)
	if err != nil {
		out.Error = err.Error()
		return out
	}
	out.Renewed = vertical.UTC(&lease.CreationTimestamp)
	if renewed := lease.Spec.RenewTime; renewed != nil && renewed.After(out.Renewed) {
		out.Renewed = renewed.UTC()
	}
	return out
}

func (l *leases) readRival(ctx context.Context, now time.Time) (string, error) {
	if l.own == upstreamLease {
		return "", nil
	}
	lease, err := l.get(ctx, upstreamLease)
	switch {
	case apierrors.IsNotFound(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read lease %s: %w", upstreamLease, err)
	case lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" || lease.Spec.RenewTime == nil:
		return "", nil
	}
	lasts := rivalGrace
	if seconds := lease.Spec.LeaseDurationSeconds; seconds != nil {
		lasts = max(lasts, time.Duration(*seconds)*time.Second)
	}
	if now.Sub(lease.Spec.RenewTime.Time) >= lasts {
		return "", nil
	}
	return fmt.Sprintf("another updater, holder %s of lease %s,", *lease.Spec.HolderIdentity, upstreamLease), nil
}

// otherWriters tells, for the readiness, who else acts.
func (l *leases) otherWriters(context.Context) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.unknown != nil:
		return "whether another updater acts is not known: " + l.unknown.Error(), nil
	case l.rival != "":
		return l.rival + " acts: nothing is evicted beside it", nil
	case l.read.IsZero():
		return "not looked for yet", nil
	}
	return "no other updater seen", nil
}

// admissionDetail tells, for the readiness, how the webhook's lease is.
func (l *leases) admissionDetail(context.Context) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.read.IsZero():
		return "not looked for yet", nil
	case l.seen.Error != "":
		return "lease " + l.seen.Lease + ": " + l.seen.Error, nil
	}
	return "lease " + l.seen.Lease + " was renewed at " + l.seen.Renewed.Format(time.RFC3339), nil
}
