package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

const (
	admissionVPAs   = 2000
	admissionAtOnce = 8
	// admissionFor is how long reviews are sent, in each way.
	admissionFor = 10 * time.Second
)

// admissionPlan is how a webhook is measured.
type admissionPlan struct {
	vpas int
	over time.Duration
}

var planAdmission = admissionPlan{vpas: admissionVPAs, over: admissionFor}

// admissionFigures are those of reviews one after the other, and of several at once.
type admissionFigures struct{ alone, together reviewFigures }

type reviewFigures struct {
	rate     float64 // reviews per second
	p50, p99 float64 // milliseconds
}

func (f reviewFigures) String() string {
	return fmt.Sprintf("%.0f reviews/s, p50 %.2f ms, p99 %.2f ms", f.rate, f.p50, f.p99)
}

var admissions = once(func(ctx context.Context) (compared[admissionFigures], error) {
	return takeTurns(ctx, planAdmission.measure, ourAdmission(), upstreamAdmission())
})

// measure starts a lab with VPAs and their targets, and sends one webhook reviews of
// the targets' pods, as the API server would.
func (p admissionPlan) measure(ctx context.Context, c contender) (f admissionFigures, err error) {
	l, err := startVPALab(ctx)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, l.Stop()) }()
	load := vpaLoad{vpas: p.vpas}
	if err := load.into(ctx, l); err != nil {
		return f, err
	}
	process, err := c.start(ctx, l)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, process.stop()) }()
	hook, err := registeredWebhook(ctx, l)
	if err != nil {
		return f, err
	}
	pods, err := newVPATemplates(ctx, l)
	if err != nil {
		return f, err
	}
	if hook.reviews, err = load.reviews(pods); err != nil {
		return f, err
	}
	if err := hook.warm(ctx); err != nil {
		return f, err
	}
	if f.alone, err = hook.ask(ctx, 1, p.over); err != nil {
		return f, err
	}
	if f.together, err = hook.ask(ctx, admissionAtOnce, p.over); err != nil {
		return f, err
	}
	memory, err := peakMiB(process.pid)
	say("%s: %s; %d at once: %s; %.0f MiB at the most", c.name, f.alone, admissionAtOnce, f.together, memory)
	return f, err
}

// reviews are the bodies for a pod of each VPA's target, as it comes from the
// ReplicaSet's controller.
func (v vpaLoad) reviews(t *vpaTemplates) ([][]byte, error) {
	out := make([][]byte, v.vpas)
	for i := range out {
		pod := t.podOf(i, 0)
		pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
		pod.Name, pod.UID, pod.Spec.NodeName, pod.Status = "", "", "", corev1.PodStatus{}
		raw, err := json.Marshal(pod)
		if err != nil {
			return nil, fmt.Errorf("encode a pod: %w", err)
		}
		kind := metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}
		resource := metav1.GroupVersionResource{Version: "v1", Resource: "pods"}
		out[i], err = json.Marshal(admissionv1.AdmissionReview{
			TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
			Request: &admissionv1.AdmissionRequest{
				UID: types.UID(fmt.Sprintf("review-%d", i)), Kind: kind, RequestKind: &kind, Resource: resource, RequestResource: &resource,
				Namespace: loadSpace(i), Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: raw}, DryRun: new(bool),
			},
		})
		if err != nil {
			return nil, fmt.Errorf("encode a review: %w", err)
		}
	}
	return out, nil
}

// webhook is how the API server would reach one.
type webhook struct {
	client  *http.Client
	url     string
	reviews [][]byte
}

// warmFor is how long a webhook may take until it patches every pod.
const warmFor = time.Minute

// warm asks about each pod once, and until each is patched.
func (w *webhook) warm(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, warmFor)
	defer cancel()
	for i := range w.reviews {
		for {
			answer, err := w.review(ctx, i)
			if err == nil {
				err = setsRequests(answer)
			}
			if err == nil {
				break
			}
			if pause(ctx, 50*time.Millisecond) != nil {
				return fmt.Errorf("the pod of %s: %w", loadName(i), err)
			}
		}
	}
	return nil
}

// setsRequests fails unless the patch is more than an annotation.
func setsRequests(answer []byte) error {
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(answer, &review); err != nil {
		return fmt.Errorf("decode the answer to a review: %w", err)
	}
	if !bytes.Contains(review.Response.Patch, []byte("/spec/containers/0/resources")) {
		return fmt.Errorf("the patch sets no requests: %s", review.Response.Patch)
	}
	return nil
}

// ask sends reviews of random pods, so many at once, and measures each.
func (w *webhook) ask(ctx context.Context, atOnce int, over time.Duration) (f reviewFigures, err error) {
	took := make([][]float64, atOnce)
	begin := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for n := range atOnce {
		random := rand.New(rand.NewPCG(uint64(n), uint64(atOnce))) //nolint:gosec // the same pods for both sides
		g.Go(func() error {
			for time.Since(begin) < over {
				sent := time.Now()
				if _, err := w.review(ctx, random.IntN(len(w.reviews))); err != nil {
					return err
				}
				took[n] = append(took[n], 1000*time.Since(sent).Seconds())
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return f, err
	}
	elapsed := time.Since(begin).Seconds()
	all := slices.Concat(took...)
	slices.Sort(all)
	return reviewFigures{rate: float64(len(all)) / elapsed, p50: all[len(all)/2], p99: all[len(all)*99/100]}, nil
}

// review sends one review, and fails unless the answer has a patch: figures of a
// webhook that lets everything pass are worth nothing.
func (w *webhook) review(ctx context.Context, i int) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(w.reviews[i]))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := w.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("send a review: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer to a review: %w", err)
	}
	if response.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(`"patch":"`)) || !bytes.Contains(body, []byte(`"allowed":true`)) {
		return nil, fmt.Errorf("the pod of %s was not patched: %s: %.300s", loadName(i), response.Status, body)
	}
	return body, nil
}
