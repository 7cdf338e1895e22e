package server

import (
	"context"
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// registered is an APIService of the Service namespace/name, or of the API server
// itself where that is empty.
func registered(name, service string) *apiregistrationv1.APIService {
	api := &apiregistrationv1.APIService{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if namespace, of, ok := strings.Cut(service, "/"); ok {
		api.Spec.Service = &apiregistrationv1.ServiceReference{Namespace: namespace, Name: of}
	}
	return api
}

func TestWhoIsAsked(t *testing.T) {
	const (
		ours       = "quartet-system/metrics-adapter"
		externalV1 = "v1beta1.external.metrics.k8s.io"
		customV1   = "v1beta1.custom.metrics.k8s.io"
		customV2   = "v1beta2.custom.metrics.k8s.io"
	)
	for name, test := range map[string]struct {
		apis             []*apiregistrationv1.APIService
		external, custom string
		detail           string
	}{
		"nobody":                {detail: "none"},
		"we":                    {apis: []*apiregistrationv1.APIService{registered(externalV1, ours), registered(customV1, ours), registered(customV2, ours)}, detail: "none"},
		"the API server itself": {apis: []*apiregistrationv1.APIService{registered(externalV1, "")}, detail: "none"},
		"KEDA for external": {
			apis: []*apiregistrationv1.APIService{registered(externalV1, "keda/keda"), registered(customV2, ours)}, external: "keda/keda",
			detail: "name keda/keda: that adapter is asked for external metrics",
		},
		"prometheus-adapter for the older version of custom": {
			apis:   []*apiregistrationv1.APIService{registered(externalV1, ours), registered(customV1, "monitoring/prometheus-adapter"), registered(customV2, ours)},
			custom: "monitoring/prometheus-adapter", detail: "that adapter is asked for custom metrics",
		},
	} {
		t.Run(name, func(t *testing.T) {
			scheme, err := newScheme()
			if err != nil {
				t.Fatal(err)
			}
			builder := fake.NewClientBuilder().WithScheme(scheme)
			for _, api := range test.apis {
				builder = builder.WithObjects(api)
			}
			r := &registration{reader: builder.Build(), own: types.NamespacedName{Namespace: "quartet-system", Name: Name}, others: map[string]string{}, errs: map[string]error{}}
			changes := 0
			r.changed = func() { changes++ }
			for range 2 {
				r.read(t.Context())
			}
			if r.Other() != test.external || r.OtherCustom() != test.custom {
				t.Errorf("others are %q and %q", r.Other(), r.OtherCustom())
			}
			if want := test.external != "" || test.custom != ""; (changes == 1) != want || changes > 1 {
				t.Errorf("told of %d changes", changes)
			}
			if detail, err := r.check().Func(t.Context()); err != nil || !strings.Contains(detail, test.detail) {
				t.Errorf("readiness: %q, %v", detail, err)
			}
		})
	}
}

// TestAFailureLeavesWhatWasKnown: an API server that is away tells nothing new.
func TestAFailureLeavesWhatWasKnown(t *testing.T) {
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	away := false
	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(registered("v1beta1.external.metrics.k8s.io", "keda/keda")).
		WithInterceptorFuncs(interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if away {
				return errors.New("connection refused")
			}
			return c.Get(ctx, key, o, opts...)
		}}).Build()
	r := &registration{reader: reader, changed: func() {}, others: map[string]string{}, errs: map[string]error{}}
	r.read(t.Context())
	away = true
	r.read(t.Context())
	detail, err := r.check().Func(t.Context())
	if err != nil || r.Other() != "keda/keda" || !strings.Contains(detail, "not known: read APIService v1beta1.external.metrics.k8s.io: connection refused") {
		t.Errorf("other %q, readiness %q, %v", r.Other(), detail, err)
	}
}
