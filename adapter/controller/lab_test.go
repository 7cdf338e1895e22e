package controller_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/adapter/controller"
	"github.com/quartet-autoscaling/quartet/adapter/query"
	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/table"
	"github.com/quartet-autoscaling/quartet/api/v1alpha1"
	"github.com/quartet-autoscaling/quartet/test/lab/lab"
	"github.com/quartet-autoscaling/quartet/test/lab/labtest"
)

const crdFolder = "../../deploy/helm/quartet/files/crds/"

// TestOnARealControlPlane runs the controller on a real cache: both kinds are
// watched, namespaces from when one is chosen by its labels, and status is
// written where the API keeps it.
func TestOnARealControlPlane(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	l := labtest.Start(t, lab.Options{Name: "adapter", NoKwok: true, NoScheduler: true})
	for _, kind := range []string{"metricsources", "clustermetricsources"} {
		crd := "autoscaling.quartet.dev_" + kind + ".yaml"
		if out, err := l.Kubectl(t.Context(), "apply", "-f", crdFolder+crd); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		established(t, l, kind+".autoscaling.quartet.dev")
	}
	served, api := startOn(t, l)
	for namespace, team := range map[string]string{"shop": "data", "bank": "money"} {
		create(t, api, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{"team": team}}})
	}
	create(t, api, shared("jobs", clean, choosing("data")))
	reads(t, served, "shop", "jobs")
	reads(t, served, "bank", "nothing")
	create(t, api, object("orders", func(o *v1alpha1.MetricSource) { o.UID, o.CreationTimestamp = "", metav1.Time{} }))
	reads(t, served, "shop", "orders")

	bank := &corev1.Namespace{}
	if err := api.Get(t.Context(), types.NamespacedName{Name: "bank"}, bank); err != nil {
		t.Fatal(err)
	}
	bank.Labels["team"] = "data"
	if err := api.Update(t.Context(), bank); err != nil {
		t.Fatal(err)
	}
	reads(t, served, "bank", "jobs")

	within(t, func() error {
		o := &v1alpha1.ClusterMetricSource{}
		if err := api.Get(t.Context(), types.NamespacedName{Name: "jobs"}, o); err != nil {
			return err
		}
		if c := apimeta.FindStatusCondition(o.Status.Conditions, "Ready"); c == nil || c.Reason != "Serving" || len(o.Status.Metrics) != 1 {
			return fmt.Errorf("the status is %+v", o.Status)
		}
		return nil
	})
	if err := api.Delete(t.Context(), &v1alpha1.ClusterMetricSource{ObjectMeta: metav1.ObjectMeta{Name: "jobs"}}); err != nil {
		t.Fatal(err)
	}
	reads(t, served, "bank", "nothing")
}

// clean takes out what an API server sets.
func clean(o *v1alpha1.ClusterMetricSource) { o.UID, o.CreationTimestamp = "", metav1.Time{} }

// startOn runs a controller on the lab until the test ends.
func startOn(t *testing.T, l *lab.Lab) (*table.Table, client.Client) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	api, err := client.New(l.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := cache.New(l.Config(), cache.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	served := table.New()
	c, err := controller.New(controller.Config{
		Objects: objects, Secrets: api, Status: api, OwnNamespace: "default",
		Builders: []source.Builder{&broker{depth: map[string]float64{}}}, Table: served,
		Mode: query.ModeAuto, Clock: clock.RealClock{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	if err := c.Watch(ctx, objects); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 3)
	go func() { ended <- objects.Start(ctx) }()
	if !objects.WaitForCacheSync(ctx) {
		t.Fatal("the cache did not fill")
	}
	present, err := controller.Present(ctx, objects)
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- c.Run(ctx, present) }()
	go func() { ended <- c.RunStatus(ctx) }()
	t.Cleanup(func() {
		stop()
		for range 3 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	return served, api
}

func create(t *testing.T, api client.Client, o client.Object) {
	t.Helper()
	if err := api.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// reads waits until a namespace reads metric depth from an object.
func reads(t *testing.T, served *table.Table, namespace, want string) {
	t.Helper()
	within(t, func() error {
		got := "nothing"
		if e, ok := served.Get(namespace, "depth"); ok {
			got = e.Unit.Name
		}
		if got != want {
			return fmt.Errorf("namespace %s reads %s, want %s", namespace, got, want)
		}
		return nil
	})
}

func within(t *testing.T, check func() error) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-limit:
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// established waits until a kind is served. kubectl wait fails where an object has
// no status yet, so it is asked again.
func established(t *testing.T, l *lab.Lab, crd string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		out, err := l.Kubectl(t.Context(), "wait", "--for=condition=Established", "crd", crd, "--timeout=10s")
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v: %s", err, out)
		}
	}
}
