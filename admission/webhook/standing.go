package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"github.com/quartet-autoscaling/quartet/internal/telemetry"
)

// upstreamConfiguration is how upstream's webhook registers itself.
const upstreamConfiguration = "vpa-webhook-config"

// standing is how the webhook stands towards others: it looks for another
// webhook, and keeps the lease fresh by which the updater knows that pods which
// come back are patched.
type standing struct {
	client   kubernetes.Interface
	clock    clock.WithTicker
	interval time.Duration
	lease    types.NamespacedName
	identity string
	// configuration is our own.
	configuration string
	// patching tells why new pods would not be patched now, nil where they are.
	patching func(context.Context) error

	mu    sync.Mutex
	asked bool
	other string
	// unknown is why it is not known whether there is another webhook.
	unknown error
	// paused is why the lease is not renewed.
	paused error
}

// run looks and renews until the context ends.
func (s *standing) run(ctx context.Context) {
	ticker := s.clock.NewTicker(s.interval)
	defer ticker.Stop()
	for {
		s.tick(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
	}
}

func (s *standing) tick(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.interval)
	defer cancel()
	s.look(ctx)
	err := s.patching(ctx)
	if other := s.rival(); err == nil && other != "" {
		err = errors.New(other + " is registered")
	}
	if err == nil {
		err = s.renew(ctx)
		if err != nil && ctx.Err() == nil {
			telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelError, "Could not renew the lease", slog.String("lease", s.lease.String()), slog.Any("error", err))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = err
}

// look finds out whether another webhook is registered. Where that cannot be
// told, what was known holds.
func (s *standing) look(ctx context.Context) {
	other, err := s.registered(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unknown = err
	if err != nil {
		return
	}
	if s.asked && other != s.other {
		telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelWarn, "Another webhook came or went", slog.String("other", other))
	}
	s.asked, s.other = true, other
}

func (s *standing) registered(ctx context.Context) (string, error) {
	if s.configuration == upstreamConfiguration {
		return "", nil
	}
	_, err := s.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, upstreamConfiguration, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("look for MutatingWebhookConfiguration %s: %w", upstreamConfiguration, err)
	}
	return "MutatingWebhookConfiguration " + upstreamConfiguration, nil
}

// rival names the other webhook, "" where there is none.
func (s *standing) rival() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.other
}

// renew sets the lease's time, and makes the lease where it is missing. Replicas
// share it: whoever is first renews.
func (s *standing) renew(ctx context.Context) error {
	leases := s.client.CoordinationV1().Leases(s.lease.Namespace)
	now, seconds := metav1.NewMicroTime(s.clock.Now()), int32(s.interval.Seconds())
	lease, err := leases.Get(ctx, s.lease.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = leases.Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.lease.Namespace, Name: s.lease.Name},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &s.identity, LeaseDurationSeconds: &seconds, RenewTime: &now},
		}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	}
	if err != nil {
		return err
	}
	lease = lease.DeepCopy()
	lease.Spec.HolderIdentity, lease.Spec.RenewTime, lease.Spec.LeaseDurationSeconds = &s.identity, &now, &seconds
	if _, err = leases.Update(ctx, lease, metav1.UpdateOptions{}); apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// otherWriters tells, for the readiness, who else acts.
func (s *standing) otherWriters(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.unknown != nil:
		return "whether another webhook acts is not known: " + s.unknown.Error(), nil
	case !s.asked:
		return "not looked for yet", nil
	case s.other != "":
		return s.other + " is registered: no pod is patched beside it", nil
	}
	return "no other webhook seen", nil
}

// leaseDetail tells, for the readiness, whether the updater may evict.
func (s *standing) leaseDetail(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused != nil {
		return "lease " + s.lease.String() + " is not renewed: " + s.paused.Error(), nil
	}
	return "lease " + s.lease.String() + " is kept fresh", nil
}
