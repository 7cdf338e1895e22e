package kube

import (
	"errors"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	scalefake "k8s.io/client-go/scale/fake"
	clienttesting "k8s.io/client-go/testing"
)

func mapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Group: "apps", Version: "v1"}})
	m.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, meta.RESTScopeNamespace)
	return m
}

func scaleOf(replicas int32, version string) *autoscalingv1.Scale {
	return &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", ResourceVersion: version},
		Spec:       autoscalingv1.ScaleSpec{Replicas: replicas},
	}
}

func TestScalesGet(t *testing.T) {
	client := &scalefake.FakeScaleClient{}
	client.AddReactor("get", "deployments", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, scaleOf(3, "1"), nil
	})
	scales := ScalesFor(client, mapper())
	got, err := scales.Get(t.Context(), Ref{Namespace: "shop", APIVersion: "apps/v1", Kind: "Deployment", Name: "web"})
	if err != nil || got.Spec.Replicas != 3 || got.Resource != (schema.GroupResource{Group: "apps", Resource: "deployments"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := scales.Get(t.Context(), Ref{APIVersion: "apps/v1", Kind: "Weather"}); !meta.IsNoMatchError(err) {
		t.Errorf("an unknown kind gives %v", err)
	}
	var invalid *TargetError
	if _, err := scales.Get(t.Context(), Ref{APIVersion: "a/b/c", Kind: "Deployment"}); !errors.As(err, &invalid) {
		t.Errorf("a malformed version gives %v", err)
	}
}

// TestScalesSetAfterAConflict has the object change between reading and writing.
func TestScalesSetAfterAConflict(t *testing.T) {
	resource := schema.GroupResource{Group: "apps", Resource: "deployments"}
	client := &scalefake.FakeScaleClient{}
	var written []*autoscalingv1.Scale
	client.AddReactor("get", "deployments", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, scaleOf(4, "2"), nil
	})
	client.AddReactor("update", "deployments", func(a clienttesting.Action) (bool, runtime.Object, error) {
		got := a.(clienttesting.UpdateAction).GetObject().(*autoscalingv1.Scale)
		written = append(written, got)
		if got.ResourceVersion == "1" {
			return true, nil, apierrors.NewConflict(resource, "web", errors.New("changed"))
		}
		return true, got, nil
	})
	read := Scale{Scale: scaleOf(3, "1"), Resource: resource}
	if err := ScalesFor(client, mapper()).Set(t.Context(), read, 7, "tester"); err != nil {
		t.Fatal(err)
	}
	if len(written) != 2 || written[1].ResourceVersion != "2" || written[1].Spec.Replicas != 7 {
		t.Errorf("wrote %v", written)
	}
	if read.Spec.Replicas != 3 {
		t.Error("the scale that was read changed")
	}
}
