package vpa

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/kubernetes/pkg/apis/core/v1/helper/qos"
)

// calls is an API server that one updater asks to evict and to resize.
type calls struct {
	f *fleet
	// log has each call that changed anything or was refused, in order.
	log     []string
	evicted []string
	resized map[string][]corev1.Container
	// empty are the resizes that would have changed nothing.
	empty int
}

func (c *calls) evict(name string) error {
	if c.f.refused[name] != noRefusal {
		c.log = append(c.log, "evict "+name+": refused")
		return apierrors.NewTooManyRequests("the disruption budget has no room", 10)
	}
	c.log = append(c.log, "evict "+name)
	c.evicted = append(c.evicted, name)
	return nil
}

// resize takes the pod as it would be. What changes nothing is no resize.
func (c *calls) resize(name string, after *corev1.Pod) error {
	before := c.f.pods[name]
	text := resourcesText(after)
	if text == resourcesText(before) {
		c.empty++
		return nil
	}
	pods := schema.GroupResource{Resource: "pods"}
	switch {
	case qos.ComputePodQOS(before) != qos.ComputePodQOS(after):
		// Ours does not ask for this, which is never granted.
		return apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, name, nil)
	case c.f.refused[name] == refusedNow:
		c.log = append(c.log, "resize "+name+": refused")
		return apierrors.NewConflict(pods, name, fmt.Errorf("the pod was changed"))
	case c.f.refused[name] == refusedForGood:
		c.log = append(c.log, "resize "+name+": refused for good")
		err := apierrors.NewForbidden(pods, name, fmt.Errorf("no room on the node"))
		err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: "NodeCapacity"}}
		return err
	}
	c.log = append(c.log, "resize "+name+" to "+text)
	c.resized[name] = after.Spec.Containers
	return nil
}

func resourcesText(p *corev1.Pod) string {
	var out []string
	for _, c := range p.Spec.Containers {
		out = append(out, fmt.Sprintf("%s requests %s limits %s", c.Name, listText(c.Resources.Requests), listText(c.Resources.Limits)))
	}
	return strings.Join(out, "; ")
}

// patch resizes or annotates by a patch of either kind.
func (c *calls) patch(name string, kind types.PatchType, body []byte, subresource string) error {
	pod := c.f.pods[name]
	document, err := json.Marshal(pod)
	if err != nil {
		return err
	}
	switch kind {
	case types.JSONPatchType:
		operations, err := jsonpatch.DecodePatch(body)
		if err != nil {
			return err
		}
		document, err = operations.Apply(document)
		if err != nil {
			return err
		}
	case types.StrategicMergePatchType:
		if document, err = strategicpatch.StrategicMergePatch(document, body, corev1.Pod{}); err != nil {
			return err
		}
	default:
		return fmt.Errorf("a patch of type %s", kind)
	}
	after := &corev1.Pod{}
	if err := json.Unmarshal(document, after); err != nil {
		return err
	}
	if subresource == "resize" {
		return c.resize(name, after)
	}
	return nil
}

// kubeClient is upstream's client.
type kubeClient struct {
	kubernetes.Interface
	calls *calls
}

func (c kubeClient) CoreV1() typedcorev1.CoreV1Interface { return coreClient{calls: c.calls} }

type coreClient struct {
	typedcorev1.CoreV1Interface
	calls *calls
}

func (c coreClient) Pods(string) typedcorev1.PodInterface { return podClient{calls: c.calls} }

type podClient struct {
	typedcorev1.PodInterface
	calls *calls
}

func (c podClient) EvictV1(_ context.Context, e *policyv1.Eviction) error {
	return c.calls.evict(e.Name)
}

func (c podClient) Patch(_ context.Context, name string, kind types.PatchType, data []byte, _ metav1.PatchOptions, subresources ...string) (*corev1.Pod, error) {
	return c.calls.f.pods[name], c.calls.patch(name, kind, data, strings.Join(subresources, "/"))
}

// RoundTrip answers ours, without a network.
func (c *calls) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	name, subresource, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/"+namespace+"/pods/"), "/")
	switch {
	case r.Method == http.MethodPost && subresource == "eviction":
		err = c.evict(name)
	case r.Method == http.MethodPatch:
		err = c.patch(name, types.PatchType(r.Header.Get("Content-Type")), body, subresource)
	default:
		err = apierrors.NewBadRequest("unexpected " + r.Method + " " + r.URL.Path)
	}
	status, code := metav1.Status{Status: metav1.StatusSuccess}, http.StatusOK
	if err != nil {
		var said apierrors.APIStatus
		if s, ok := err.(apierrors.APIStatus); ok {
			said = s
		} else {
			said = apierrors.NewInternalError(err)
		}
		status = said.Status()
		code = int(status.Code)
	}
	status.APIVersion, status.Kind = "v1", "Status"
	answer, err := json.Marshal(status)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(string(answer))), Request: r}, nil
}
