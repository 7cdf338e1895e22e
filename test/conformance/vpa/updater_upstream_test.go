package vpa

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	upstreampatch "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/admission-controller/resource/pod/patch"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/admission-controller/resource/pod/recommendation"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	vpaclient "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned"
	vpalister "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/listers/autoscaling.k8s.io/v1"
	controllerfetcher "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/target/controller_fetcher"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/updater/inplace"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/updater/logic"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/updater/priority"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/updater/restriction"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/utils/limitrange"
	vpautil "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/utils/vpa"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	corelister "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
)

// nothing is an API server that has no objects, and whose watches do not end.
type nothing struct{}

func (nothing) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Query().Get("sendInitialEvents") != "" {
		// Lists come by a request of their own.
		return &http.Response{StatusCode: http.StatusBadRequest, Body: http.NoBody, Request: r}, nil
	}
	if r.URL.Query().Get("watch") != "" {
		<-r.Context().Done()
		return nil, errors.New("the watch ends")
	}
	body := `{"kind":"VerticalPodAutoscalerList","apiVersion":"autoscaling.k8s.io/v1","metadata":{"resourceVersion":"1"},"items":[]}`
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// prototype is an updater as upstream makes it. It fills a cache, so that one is
// made for all scenarios, outside of their bubbles.
var prototype = sync.OnceValues(func() (logic.Updater, error) {
	client, err := vpaclient.NewForConfig(&rest.Config{Host: "http://localhost", Transport: nothing{}})
	if err != nil {
		return nil, err
	}
	kube := fake.NewClientset()
	factory := informers.NewSharedInformerFactory(kube, 0)
	return logic.NewUpdater(kube, client, factory, factory, 2, -1, 1, 0.5, false, false, 0.1, 12*time.Hour, 10*time.Minute,
		"", "", time.Minute, nil, nil, nil, nil, priority.NewProcessor(), "", nil, nil)
})

// upstreamUpdater is a copy of the prototype on a fleet.
func upstreamUpdater(t *testing.T, f *fleet, c *calls) logic.Updater {
	t.Helper()
	original, err := prototype()
	if err != nil {
		t.Fatal(err)
	}
	o := f.options.Rules
	client := kubeClient{calls: c}
	factory := informers.NewSharedInformerFactory(client, 0)
	f.fill(t, factory)
	limits, err := limitrange.NewLimitsRangeCalculator(factory)
	if err != nil {
		t.Fatal(err)
	}
	processor := vpautil.NewCappingRecommendationProcessor(limits)
	calculators := []upstreampatch.Calculator{
		inplace.NewResourceInPlaceUpdatesCalculator(recommendation.NewProvider(limits, processor)),
		inplace.NewInPlaceUpdatedCalculator(), inplace.NewUnboostAnnotationCalculator(),
	}
	made := reflect.New(reflect.TypeOf(original).Elem())
	made.Elem().Set(reflect.ValueOf(original).Elem())
	for field, value := range map[string]any{
		"vpaLister": vpaList{f: f}, "podLister": podList{f: f}, "eventRecorder": &record.FakeRecorder{},
		"restrictionFactory":      restriction.NewPodsRestrictionFactory(client, factory, o.MinReplicas, o.Tolerance, calculators, o.SkipBudget),
		"recommendationProcessor": processor, "evictionAdmission": priority.NewScalingDirectionPodEvictionAdmission(),
		"selectorFetcher": everything{}, "controllerFetcher": ownedByTarget{},
		"infeasibleAttempts":     map[types.UID]*vpav1.RecommendedPodResources{},
		"defaultUpdateThreshold": o.UpdateThreshold, "podLifetimeUpdateThreshold": o.PodLifetime, "evictAfterOOMThreshold": o.OOMThreshold,
	} {
		at := made.Elem().FieldByName(field)
		reflect.NewAt(at.Type(), unsafe.Pointer(at.UnsafeAddr())).Elem().Set(reflect.ValueOf(value))
	}
	updater, ok := made.Interface().(logic.Updater)
	if !ok {
		t.Fatal("the copy is no updater")
	}
	return updater
}

// attemptsOf are the times, by pod, that upstream takes for those of attempts.
func attemptsOf(u logic.Updater) map[string]time.Time {
	factory := reflect.ValueOf(u).Elem().FieldByName("restrictionFactory").Elem().Elem()
	at := factory.FieldByName("lastInPlaceAttemptTimeMap")
	times, ok := reflect.NewAt(at.Type(), unsafe.Pointer(at.UnsafeAddr())).Elem().Interface().(map[string]time.Time)
	if !ok {
		return map[string]time.Time{}
	}
	return times
}

// infeasibleOf are the recommendations, by pod, that upstream takes for infeasible.
func infeasibleOf(u logic.Updater) map[types.UID]*vpav1.RecommendedPodResources {
	at := reflect.ValueOf(u).Elem().FieldByName("infeasibleAttempts")
	known, ok := reflect.NewAt(at.Type(), unsafe.Pointer(at.UnsafeAddr())).Elem().Interface().(map[types.UID]*vpav1.RecommendedPodResources)
	if !ok {
		return nil
	}
	return known
}

// fill puts the controllers and LimitRanges into upstream's caches.
func (f *fleet) fill(t *testing.T, factory informers.SharedInformerFactory) {
	t.Helper()
	var errs []error
	for i := range f.limits {
		errs = append(errs, factory.Core().V1().LimitRanges().Informer().GetIndexer().Add(&f.limits[i]))
	}
	apps := factory.Apps().V1()
	for _, g := range f.groups {
		meta := metav1.ObjectMeta{Namespace: namespace, Name: g.name}
		n := g.replicas
		switch {
		case n < 0:
		case g.kind == "ReplicaSet":
			errs = append(errs, apps.ReplicaSets().Informer().GetIndexer().Add(&appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Replicas: &n}}))
		case g.kind == "StatefulSet":
			errs = append(errs, apps.StatefulSets().Informer().GetIndexer().Add(&appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: &n}}))
		case g.kind == "DaemonSet":
			errs = append(errs, apps.DaemonSets().Informer().GetIndexer().Add(&appsv1.DaemonSet{ObjectMeta: meta, Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: n}}))
		case g.kind == "ReplicationController":
			errs = append(errs, factory.Core().V1().ReplicationControllers().Informer().GetIndexer().Add(
				&corev1.ReplicationController{ObjectMeta: meta, Spec: corev1.ReplicationControllerSpec{Replicas: &n}}))
		}
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// podList has what upstream watches: pods on nodes that have not ended, in order.
type podList struct {
	corelister.PodLister
	f *fleet
}

func (l podList) List(labels.Selector) ([]*corev1.Pod, error) {
	var out []*corev1.Pod
	for _, name := range l.f.names() {
		if p := l.f.pods[name]; p.Spec.NodeName != "" && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			out = append(out, p)
		}
	}
	return out, nil
}

type vpaList struct {
	vpalister.VerticalPodAutoscalerLister
	f *fleet
}

func (l vpaList) List(labels.Selector) ([]*vpav1.VerticalPodAutoscaler, error) {
	return []*vpav1.VerticalPodAutoscaler{l.f.vpa.DeepCopy()}, nil
}

type everything struct{}

func (everything) Fetch(context.Context, *vpav1.VerticalPodAutoscaler) (labels.Selector, error) {
	return labels.Everything(), nil
}

// ownedByTarget says that every controller belongs to the target.
type ownedByTarget struct{}

func (ownedByTarget) FindTopMostWellKnownOrScalable(_ context.Context, key *controllerfetcher.ControllerKeyWithAPIVersion) (*controllerfetcher.ControllerKeyWithAPIVersion, error) {
	return &controllerfetcher.ControllerKeyWithAPIVersion{ApiVersion: "apps/v1",
		ControllerKey: controllerfetcher.ControllerKey{Namespace: key.Namespace, Kind: "Deployment", Name: "web"}}, nil
}

func (ownedByTarget) Start(context.Context, time.Duration) {}
