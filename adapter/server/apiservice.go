package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/internal/health"
	"github.com/quartet-autoscaling/quartet/internal/leader"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
)

// externalAPIService registers external.metrics.k8s.io: one adapter per cluster
// is asked for external metrics, and this object says which.
const externalAPIService = "v1beta1.external.metrics.k8s.io"

const (
	// apiServiceEvery is how often the registration is read.
	apiServiceEvery = 5 * time.Second
	// apiServiceTimeout bounds one read.
	apiServiceTimeout = 5 * time.Second
)

// registration knows whom the cluster asks for external metrics. While that is
// another adapter, nothing is served from here.
type registration struct {
	reader client.Reader
	own    types.NamespacedName
	// changed is called when the answer became another one.
	changed func()

	mu    sync.Mutex
	other string
	err   error
}

// newRegistration knows our own Service by the names that the chart gives.
func newRegistration(reader client.Reader, flags *runtimeflags.Flags) (*registration, error) {
	namespace := flags.LeaderElectResourceNamespace
	if namespace == "" {
		var err error
		if namespace, err = leader.PodNamespace(); err != nil {
			return nil, err
		}
	}
	return &registration{reader: reader, own: types.NamespacedName{Namespace: namespace, Name: Name}, changed: func() {}}, nil
}

// Other names the other adapter's Service, empty where the cluster asks us or
// nobody.
func (r *registration) Other() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.other
}

// check is the readiness detail. Another adapter is no reason to be not ready.
func (r *registration) check() health.Check {
	return health.Check{Name: "other-writers", Func: func(context.Context) (string, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case r.err != nil:
			return fmt.Sprintf("not known: %v", r.err), nil
		case r.other != "":
			return fmt.Sprintf("APIService %s names %s: that adapter is asked for external metrics, and nothing is served from here", externalAPIService, r.other), nil
		}
		return "none", nil
	}}
}

// run reads the registration until the context ends.
func (r *registration) run(ctx context.Context) error {
	ticker := time.NewTicker(apiServiceEvery)
	defer ticker.Stop()
	for {
		r.read(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// read asks once. A failure leaves what was known, since an API server that is
// away for a moment says nothing about who is registered.
func (r *registration) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, apiServiceTimeout)
	defer cancel()
	var api apiregistrationv1.APIService
	err := r.reader.Get(ctx, client.ObjectKey{Name: externalAPIService}, &api)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return
	}
	if err != nil && !apierrors.IsNotFound(err) {
		r.mu.Lock()
		r.err = fmt.Errorf("read APIService %s: %w", externalAPIService, err)
		r.mu.Unlock()
		return
	}
	other := otherService(api, r.own)
	r.mu.Lock()
	before := r.other
	r.other, r.err = other, nil
	r.mu.Unlock()
	if before == other {
		return
	}
	if other != "" {
		slog.Warn("Another adapter is asked for external metrics: nothing is served from here", "apiservice", externalAPIService, "service", other)
	} else {
		slog.Info("The cluster asks this adapter for external metrics again", "apiservice", externalAPIService)
	}
	r.changed()
}

// otherService names the Service of an APIService where it is not ours; one that
// is not there, or that the API server serves itself, has none.
func otherService(api apiregistrationv1.APIService, own types.NamespacedName) string {
	if api.Spec.Service == nil {
		return ""
	}
	named := types.NamespacedName{Namespace: api.Spec.Service.Namespace, Name: api.Spec.Service.Name}
	if named == own {
		return ""
	}
	return named.String()
}
