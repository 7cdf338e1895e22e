package controller

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/quartet-autoscaling/quartet/internal/telemetry"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// upstreamLeases are the leases that the upstream recommender elects its leader
// by: the present name, and the one of earlier versions.
var upstreamLeases = []string{"vpa-recommender-lease", "vpa-recommender"}

// twinBy looks for a lease of the upstream recommender that is held. identity is
// our own. A lease that cannot be read is no proof of anything: then only its
// writes give a twin away.
func twinBy(client coordinationclient.LeasesGetter, identity string) func(context.Context, string) (*estimator.Writer, error) {
	return func(ctx context.Context, _ string) (*estimator.Writer, error) {
		for _, name := range upstreamLeases {
			lease, err := client.Leases(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				continue
			}
			if err != nil {
				telemetry.Logger(ctx).LogAttrs(ctx, slog.LevelWarn, "Could not look for another recommender's lease",
					slog.String("lease", name), slog.Any("error", err))
				continue
			}
			if at, held := holds(lease, identity, time.Now()); held {
				return &estimator.Writer{Name: fmt.Sprintf("lease %s/%s", metav1.NamespaceSystem, name), At: at, Lease: true}, nil
			}
		}
		return nil, nil
	}
}

// holds tells whether somebody else holds the lease, and since when it was last
// renewed.
func holds(lease *coordinationv1.Lease, identity string, now time.Time) (time.Time, bool) {
	s := lease.Spec
	if s.HolderIdentity == nil || *s.HolderIdentity == "" || *s.HolderIdentity == identity ||
		s.RenewTime == nil || s.LeaseDurationSeconds == nil {
		return time.Time{}, false
	}
	valid := time.Duration(*s.LeaseDurationSeconds) * time.Second
	return utc(s.RenewTime.Time), now.Before(s.RenewTime.Add(valid))
}
