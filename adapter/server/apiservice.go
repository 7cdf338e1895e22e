package server

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
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

// apiServices are the registrations of each sort of metrics: one adapter per
// cluster is asked for each, and these objects say which.
var apiServices = map[string][]string{
	external: {"v1beta1.external.metrics.k8s.io"},
	custom:   {"v1beta2.custom.metrics.k8s.io", "v1beta1.custom.metrics.k8s.io"},
}

// The sorts of metrics, as messages name them.
const (
	external = "external"
	custom   = "custom"
)

const (
	// apiServiceEvery is how often the registration is read.
	apiServiceEvery = 5 * time.Second
	// apiServiceTimeout bounds one read.
	apiServiceTimeout = 5 * time.Second
)

// registration knows whom the cluster asks for metrics. While that is another
// adapter, none of that sort are served from here.
type registration struct {
	reader client.Reader
	own    types.NamespacedName
	// changed is called when the answer became another one.
	changed func()

	mu sync.Mutex
	// others are the Services of other adapters, by sort of metrics.
	others map[string]string
	// errs are why a registration could not be read, by its name.
	errs map[string]error
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
	return &registration{
		reader: reader, own: types.NamespacedName{Namespace: namespace, Name: Name}, changed: func() {},
		others: map[string]string{}, errs: map[string]error{},
	}, nil
}

// Other names the other adapter's Service for external metrics, empty where the
// cluster asks us or nobody.
func (r *registration) Other() string { return r.other(external) }

// OtherCustom is Other for custom metrics.
func (r *registration) OtherCustom() string { return r.other(custom) }

func (r *registration) other(sort string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.others[sort]
}

// check is the readiness detail. Another adapter is no reason to be not ready.
func (r *registration) check() health.Check {
	return health.Check{Name: "other-writers", Func: func(context.Context) (string, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		var text []string
		for _, sort := range []string{external, custom} {
			if other := r.others[sort]; other != "" {
				text = append(text, fmt.Sprintf("APIServices %s name %s: that adapter is asked for %s metrics, and none are served from here",
					strings.Join(apiServices[sort], ", "), other, sort))
			}
			for _, name := range apiServices[sort] {
				if err := r.errs[name]; err != nil {
					text = append(text, fmt.Sprintf("not known: %v", err))
				}
			}
		}
		if len(text) == 0 {
			return "none", nil
		}
		return strings.Join(text, "; "), nil
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

// read asks once.
func (r *registration) read(ctx context.Context) {
	changed := false
	for _, sort := range []string{external, custom} {
		changed = r.readSort(ctx, sort) || changed
	}
	if changed {
		r.changed()
	}
}

// readSort asks for the registrations of one sort and tells whether the answer is
// another one. A failure leaves what was known, since an API server that is away
// for a moment says nothing about who is registered.
func (r *registration) readSort(ctx context.Context, sort string) bool {
	other := ""
	for _, name := range apiServices[sort] {
		service, err := r.readOne(ctx, name)
		r.mu.Lock()
		r.errs[name] = err
		r.mu.Unlock()
		if err != nil || ctx.Err() != nil {
			return false
		}
		if other == "" {
			other = service
		}
	}
	r.mu.Lock()
	before := r.others[sort]
	r.others[sort] = other
	r.mu.Unlock()
	switch {
	case before == other:
		return false
	case other != "":
		slog.Warn("Another adapter is asked for metrics: none of that sort are served from here", "sort", sort, "service", other)
	default:
		slog.Info("The cluster asks this adapter for metrics again", "sort", sort)
	}
	return true
}

// readOne gives the other adapter's Service of one registration.
func (r *registration) readOne(ctx context.Context, name string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, apiServiceTimeout)
	defer cancel()
	var api apiregistrationv1.APIService
	if err := r.reader.Get(ctx, client.ObjectKey{Name: name}, &api); err != nil && !apierrors.IsNotFound(err) {
		return "", fmt.Errorf("read APIService %s: %w", name, err)
	}
	return otherService(api, r.own), nil
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
