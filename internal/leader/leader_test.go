package leader

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// replica makes an Elector that elects by the client's leases.
func replica(t *testing.T, client *fake.Clientset, identity string) *Elector {
	t.Helper()
	elector, err := New(Config{REST: &rest.Config{}, Name: "hpa-controller", Namespace: "quartet-system", Identity: identity})
	if err != nil {
		t.Fatal(err)
	}
	elector.lock = &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: "quartet-system", Name: "hpa-controller"},
		Client:     client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
	}
	return elector
}

func holder(t *testing.T, client *fake.Clientset) string {
	t.Helper()
	lease, err := client.CoordinationV1().Leases("quartet-system").Get(t.Context(), "hpa-controller", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// The lease is given up only after the work has ended, and the next replica
// then takes over at once.
func TestLeaseOutlivesTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		first, second := replica(t, client, "first"), replica(t, client, "second")
		ctx, stopFirst := context.WithCancel(t.Context())
		firstEnded := make(chan error, 1)
		go func() {
			firstEnded <- first.Run(ctx, func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(30 * time.Second) // longer than the lease: it must be renewed while the work winds down
				if got := holder(t, client); got != "first" {
					t.Errorf("while the first's work winds down the holder is %q", got)
				}
				return nil
			})
		}()
		time.Sleep(time.Second)

		secondCtx, stopSecond := context.WithCancel(t.Context())
		secondLeads := make(chan struct{})
		secondEnded := make(chan error, 1)
		go func() {
			secondEnded <- second.Run(secondCtx, func(ctx context.Context) error {
				close(secondLeads)
				<-ctx.Done()
				return nil
			})
		}()
		time.Sleep(5 * time.Second)
		if leading, who := second.Leading(); leading || who != "first" {
			t.Errorf("second.Leading() = %v, %q, want false and the first", leading, who)
		}

		stopFirst()
		if err := <-firstEnded; err != nil {
			t.Errorf("first Run() = %v, want nil", err)
		}
		<-secondLeads
		if leading, _ := first.Leading(); leading {
			t.Error("the first replica still believes that it leads")
		}
		stopSecond()
		if err := <-secondEnded; err != nil {
			t.Errorf("second Run() = %v, want nil", err)
		}
	})
}

// Where renewals fail, the work's context ends, Run says why, and the lease is
// left to run out.
func TestLostLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		elector := replica(t, client, "only")
		ended := make(chan error, 1)
		go func() {
			ended <- elector.Run(t.Context(), func(ctx context.Context) error {
				// Only renewals fail: giving up would work, and must not be tried.
				client.PrependReactor("update", "leases", refuseRenewals)
				<-ctx.Done()
				return ctx.Err()
			})
		}()
		if err := <-ended; !errors.Is(err, ErrLost) {
			t.Errorf("Run() = %v, want ErrLost", err)
		}
		if got := holder(t, client); got != "only" {
			t.Errorf("the holder is %q: the lease was given up while the work ran", got)
		}
	})
}

func refuseRenewals(action clienttesting.Action) (bool, runtime.Object, error) {
	lease := action.(clienttesting.UpdateAction).GetObject()
	holder, _ := runtime.DefaultUnstructuredConverter.ToUnstructured(lease)
	if spec, _ := holder["spec"].(map[string]any); spec["holderIdentity"] == "" || spec["holderIdentity"] == nil {
		return false, nil, nil
	}
	return true, nil, errors.New("no connection")
}

func TestDisabledLeadsAtOnce(t *testing.T) {
	elector, err := New(Config{Disabled: true, Identity: "only"})
	if err != nil {
		t.Fatal(err)
	}
	failure := errors.New("work failed")
	err = elector.Run(t.Context(), func(context.Context) error {
		if leading, who := elector.Leading(); !leading || who != "only" {
			t.Errorf("Leading() = %v, %q, want true and only", leading, who)
		}
		return failure
	})
	if !errors.Is(err, failure) {
		t.Errorf("Run() = %v, want the work's error", err)
	}
}

func TestNewNeedsANamespace(t *testing.T) {
	t.Setenv("POD_NAMESPACE", "shop")
	elector, err := New(Config{REST: &rest.Config{}, Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if elector.cfg.Namespace != "shop" {
		t.Errorf("namespace = %q, want the pod's", elector.cfg.Namespace)
	}
	t.Setenv("POD_NAMESPACE", "")
	if _, err := New(Config{REST: &rest.Config{}, Name: "x"}); err == nil {
		t.Error("New() outside a pod without a namespace succeeded")
	}
}
