package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/admission/patch"
	"github.com/quartet-autoscaling/quartet/admission/validation"
	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/loop"
	"github.com/quartet-autoscaling/quartet/internal/runtimeflags"
	"github.com/quartet-autoscaling/quartet/internal/telemetry"
	"github.com/quartet-autoscaling/quartet/internal/vertical"
	"github.com/quartet-autoscaling/quartet/internal/vertical/features"
)

// The paths of the webhook configurations.
const (
	PathPods = "/mutate-pods"
	PathVPAs = "/validate-verticalpodautoscalers"
)

// maxReview is above what the API server sends: two objects of 1.5 MiB.
const maxReview = 5 << 20

type turns = loop.Loop[patch.Snapshot, patch.State, patch.Decision]

// reviewer answers reviews.
type reviewer struct {
	mode        runtimeflags.Mode
	gates       features.Gates
	vpas        *vertical.Objects
	controllers *vertical.Controllers
	// loop turns one unit at a time or several: it has no state that matters.
	loop    *turns
	metrics *metrics
	// seen hears of every object that a pod was decided on for.
	seen func(decision.Unit)
}

// Handler serves the two paths.
func (r *reviewer) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+PathPods, r.serve("Pod", r.pod))
	mux.Handle("POST "+PathVPAs, r.serve("VPA", r.vpa))
	return mux
}

// answer is what a review comes to: allowed is the answer where err is not nil.
type answer func(ctx context.Context, request *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error)

// The statuses of the latency metric.
const (
	statusApplied = "applied"
	statusSkipped = "skipped"
	statusError   = "error"
)

// serve wraps an answer in a review. What cannot be read or decided is allowed
// as it is.
func (r *reviewer) serve(what string, decide answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		start, status := time.Now(), statusError
		defer func() { r.metrics.answered(what, status, time.Since(start)) }()
		body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxReview))
		if err != nil {
			var large *http.MaxBytesError
			if errors.As(err, &large) {
				http.Error(w, "the review is too large", http.StatusRequestEntityTooLarge)
			}
			return
		}
		var review admissionv1.AdmissionReview
		if err := json.Unmarshal(body, &review); err != nil || review.Request == nil {
			http.Error(w, "the body is no AdmissionReview of admission.k8s.io/v1", http.StatusBadRequest)
			return
		}
		response, err := guarded(request.Context(), review.Request, decide)
		if err != nil {
			telemetry.Logger(request.Context()).LogAttrs(request.Context(), slog.LevelError, "Could not review", slog.String("kind", what),
				slog.String("object", review.Request.Namespace+"/"+review.Request.Name), slog.Any("error", err))
		} else if status = statusSkipped; len(response.Patch) > 0 || !response.Allowed {
			status = statusApplied
		}
		response.UID = review.Request.UID
		w.Header().Set("Content-Type", "application/json")
		// A client that went away needs no answer.
		_ = json.NewEncoder(w).Encode(admissionv1.AdmissionReview{
			TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"}, Response: response,
		})
	})
}

// guarded answers, and allows where that fails in any way.
func guarded(ctx context.Context, request *admissionv1.AdmissionRequest, decide answer) (response *admissionv1.AdmissionResponse, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if err != nil || response == nil {
			response = allowed()
		}
	}()
	return decide(ctx, request)
}

func allowed() *admissionv1.AdmissionResponse { return &admissionv1.AdmissionResponse{Allowed: true} }

// pod patches a new pod.
func (r *reviewer) pod(ctx context.Context, request *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
	if request.Operation != admissionv1.Create || request.SubResource != "" {
		return allowed(), nil
	}
	pod := &corev1.Pod{}
	if err := json.Unmarshal(request.Object.Raw, pod); err != nil {
		return nil, fmt.Errorf("read the pod: %w", err)
	}
	pod.Namespace = request.Namespace
	vpa, err := r.scaling(ctx, pod)
	if err != nil || vpa == nil {
		return nil, err
	}
	unit := decision.Unit{Kind: patch.Kind, Namespace: vpa.Namespace, Name: vpa.Name, UID: string(vpa.UID)}
	r.seen(unit)
	v := &visit{pod: pod, name: nameOf(pod), dryRun: request.DryRun != nil && *request.DryRun}
	d, outcome, err := r.loop.Turn(withVisit(ctx, v), unit)
	if err != nil {
		return nil, err
	}
	response := allowed()
	if outcome.Result == decision.Succeeded {
		kind := admissionv1.PatchTypeJSONPatch
		if response.Patch, err = json.Marshal(operationsOf(d, pod)); err != nil {
			return nil, fmt.Errorf("encode the patch: %w", err)
		}
		response.PatchType = &kind
	}
	r.metrics.admitted(outcome.Result == decision.Succeeded)
	return response, nil
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

// vpa validates an object. In mode Recommend it only warns.
func (r *reviewer) vpa(_ context.Context, request *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
	if request.SubResource != "" || (request.Operation != admissionv1.Create && request.Operation != admissionv1.Update) {
		return allowed(), nil
	}
	vpa := &vpav1.VerticalPodAutoscaler{}
	if err := json.Unmarshal(request.Object.Raw, vpa); err != nil {
		return nil, fmt.Errorf("read the VerticalPodAutoscaler: %w", err)
	}
	var old *vpav1.VerticalPodAutoscaler
	if request.Operation == admissionv1.Update {
		old = &vpav1.VerticalPodAutoscaler{}
		if err := json.Unmarshal(request.OldObject.Raw, old); err != nil {
			return nil, fmt.Errorf("read the VerticalPodAutoscaler as it was: %w", err)
		}
	}
	response := allowed()
	warnings, errs := validation.Validate(vpa, old, r.gates)
	response.Warnings = warnings
	if len(errs) == 0 {
		return response, nil
	}
	if !r.mode.Acts() {
		response.Warnings = append(response.Warnings, "vpa-admission would refuse this in mode Auto: "+strings.Join(texts(errs), "; "))
		return response, nil
	}
	invalid := apierrors.NewInvalid(schema.GroupKind{Group: request.Kind.Group, Kind: request.Kind.Kind}, request.Name, errs)
	response.Allowed, response.Result = false, &invalid.ErrStatus
	return response, nil
}

func texts[E error](errs []E) []string {
	out := make([]string, len(errs))
	for i, err := range errs {
		out[i] = err.Error()
	}
	return out
}
