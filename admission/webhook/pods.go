package webhook

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/admission/patch"
	"github.com/quartet-autoscaling/quartet/admission/podreview"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
	"github.com/quartet-autoscaling/quartet/internal/vertical"
)

// bodies are the buffers of reviews. Nothing of a review may refer to its body
// once it is answered.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// keptBuffer is the size above which a buffer is not kept for the next review.
const keptBuffer = 256 << 10

// boostPrefix is what the annotations of boosts begin with.
var boostPrefix = []byte(patch.BoostAnnotation)

// wantedAnnotation tells which of a pod's annotations a decision looks at.
func wantedAnnotation(name []byte) bool {
	switch string(name) {
	case patch.UpdatesAnnotation, patch.ObservedAnnotation:
		return true
	}
	return bytes.HasPrefix(name, boostPrefix)
}

// pods answers reviews of new pods. The API server waits with every pod of the
// cluster: only what a decision needs is read, and the answer is written by hand.
func (r *reviewer) pods(w http.ResponseWriter, request *http.Request) {
	start, status := time.Now(), statusError
	defer func() { r.metrics.answered(review{resourcePod, status}, time.Since(start)) }()
	buffer := bodies.Get().(*bytes.Buffer)
	defer func() {
		if buffer.Cap() <= keptBuffer {
			buffer.Reset()
			bodies.Put(buffer)
		}
	}()
	if !readBody(w, request, buffer) {
		return
	}
	asked, err := podreview.Read(buffer.Bytes(), wantedAnnotation)
	if err != nil {
		http.Error(w, notReview, http.StatusBadRequest)
		return
	}
	operations, err := r.guardedPod(request.Context(), asked)
	switch {
	case err != nil:
		telemetry.Logger(request.Context()).LogAttrs(request.Context(), slog.LevelError, "Could not review", slog.String("kind", resourcePod),
			slog.String("object", asked.Namespace+"/"+nameOf(&asked.Pod)), slog.Any("error", err))
	case len(operations) > 0:
		status = statusApplied
	default:
		status = statusSkipped
	}
	r.metrics.admitted(len(operations) > 0)
	answer := appendAnswer(make([]byte, 0, answerSize(operations)), asked.UID, operations)
	w.Header()["Content-Type"] = jsonType
	// A client that went away needs no answer.
	_, _ = w.Write(answer)
}

var jsonType = []string{"application/json"}

// guardedPod gives the patch of a pod, nil where anything fails.
func (r *reviewer) guardedPod(ctx context.Context, asked *podreview.Review) (operations []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			operations, err = nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return r.pod(ctx, asked)
}

// pod decides on a new pod, and gives its patch as JSON, nil for none.
func (r *reviewer) pod(ctx context.Context, asked *podreview.Review) ([]byte, error) {
	if asked.Operation != string(admissionv1.Create) || asked.SubResource != "" || (asked.Version != "" && asked.Version != "v1") {
		return nil, nil
	}
	if !r.serves(asked.Namespace) {
		return nil, nil
	}
	vpa, err := r.scaling(ctx, &asked.Pod)
	if err != nil || vpa == nil {
		return nil, err
	}
	unit := decision.Unit{Kind: patch.Kind, Namespace: vpa.Namespace, Name: vpa.Name, UID: string(vpa.UID)}
	r.seen(unit)
	d, outcome, err := r.loop.Turn(withVisit(ctx, &visit{review: asked}), unit)
	if err != nil || outcome.Result != decision.Succeeded {
		return nil, err
	}
	operations, err := json.Marshal(operationsOf(d, &asked.Pod))
	if err != nil {
		return nil, fmt.Errorf("encode the patch: %w", err)
	}
	return operations, nil
}

// nameOf is the pod's name, or what its name will begin with.
func nameOf(pod *corev1.Pod) string {
	if pod.Name != "" {
		return pod.Name
	}
	return pod.GenerateName + "*"
}

// scaling finds the object that scales a pod: the oldest that is not Off, or asks
// for a startup boost, of those that target the controller at its top. Nil where
// there is none.
func (r *reviewer) scaling(ctx context.Context, pod *corev1.Pod) (*vpav1.VerticalPodAutoscaler, error) {
	top, controlled, err := r.controllers.Topmost(ctx, pod)
	if err != nil || !controlled {
		return nil, err
	}
	for _, vpa := range r.vpas.Targeting(pod.Namespace, top) {
		if vertical.UpdateMode(vpa) != vpav1.UpdateModeOff || vertical.Boosts(vpa) {
			return vpa, nil
		}
	}
	return nil, nil
}

// The parts of an answer.
const (
	answerHead  = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":`
	answerPatch = `,"allowed":true,"patchType":"JSONPatch","patch":"`
)

func answerSize(operations []byte) int {
	return len(answerHead) + len(answerPatch) + 64 + base64.StdEncoding.EncodedLen(len(operations))
}

// appendAnswer writes the AdmissionReview that allows a pod, with its patch where
// there is one.
func appendAnswer(b []byte, uid string, operations []byte) []byte {
	b = append(b, answerHead...)
	quoted, err := json.Marshal(uid)
	if err != nil {
		quoted = []byte(`""`)
	}
	b = append(b, quoted...)
	if len(operations) == 0 {
		return append(b, `,"allowed":true}}`...)
	}
	b = append(b, answerPatch...)
	b = base64.StdEncoding.AppendEncode(b, operations)
	return append(b, `"}}`...)
}
