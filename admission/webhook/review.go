package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
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
	PathPods     = "/mutate-pods"
	PathVPAs     = "/validate-verticalpodautoscalers"
	PathDefaults = "/mutate-verticalpodautoscalers"
)

// maxReview is above what the API server sends: two objects of 1.5 MiB.
const maxReview = 5 << 20

type turns = loop.Loop[patch.Snapshot, patch.State, patch.Decision]

// reviewer answers reviews.
type reviewer struct {
	mode runtimeflags.Mode
	// serves tells of which namespaces pods are looked after.
	serves      func(namespace string) bool
	gates       features.Gates
	vpas        *vertical.Objects
	controllers *vertical.Controllers
	// loop turns one unit at a time or several: it has no state that matters.
	loop    *turns
	metrics *metrics
	// seen hears of every object that a pod was decided on for.
	seen func(decision.Unit)
}

// handler serves the paths.
func (r *reviewer) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+PathPods, r.pods)
	mux.Handle("POST "+PathVPAs, r.serve(r.vpa))
	mux.Handle("POST "+PathDefaults, r.serve(r.defaults))
	return mux
}

// answer is what a review of an object comes to: allowed is the answer where err
// is not nil.
type answer func(ctx context.Context, request *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error)

// The statuses and the resources of the latency metric, by upstream's names.
const (
	statusApplied = "applied"
	statusSkipped = "skipped"
	statusError   = "error"
	resourcePod   = "Pod"
	resourceVPA   = "VPA"
)

// notReview is what a caller is told whose body is something else.
const notReview = "the body is no AdmissionReview of admission.k8s.io/v1"

// serve wraps an answer in a review of a VerticalPodAutoscaler. What cannot be
// decided is allowed as it is.
func (r *reviewer) serve(decide answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		start, status := time.Now(), statusError
		defer func() { r.metrics.answered(review{resourceVPA, status}, time.Since(start)) }()
		var body bytes.Buffer
		if !readBody(w, request, &body) {
			return
		}
		var asked admissionv1.AdmissionReview
		if err := json.Unmarshal(body.Bytes(), &asked); err != nil || asked.Request == nil {
			http.Error(w, notReview, http.StatusBadRequest)
			return
		}
		response, err := guarded(request.Context(), asked.Request, decide)
		if err != nil {
			telemetry.Logger(request.Context()).LogAttrs(request.Context(), slog.LevelError, "Could not review", slog.String("kind", resourceVPA),
				slog.String("object", asked.Request.Namespace+"/"+asked.Request.Name), slog.Any("error", err))
		} else if status = statusSkipped; len(response.Patch) > 0 {
			status = statusApplied
		}
		response.UID = asked.Request.UID
		w.Header().Set("Content-Type", "application/json")
		// A client that went away needs no answer.
		_ = json.NewEncoder(w).Encode(admissionv1.AdmissionReview{
			TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"}, Response: response,
		})
	})
}

// readBody reads a review into the buffer. Where it cannot, the caller has been
// told.
func readBody(w http.ResponseWriter, request *http.Request, into *bytes.Buffer) bool {
	if n := request.ContentLength; n > 0 && n <= maxReview {
		into.Grow(int(n) + bytes.MinRead)
	}
	_, err := into.ReadFrom(http.MaxBytesReader(w, request.Body, maxReview))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		http.Error(w, "the review is too large", http.StatusRequestEntityTooLarge)
	}
	return err == nil
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

// vpa validates an object. In mode Recommend it only warns.
func (r *reviewer) vpa(_ context.Context, request *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
	if request.SubResource != "" || (request.Operation != admissionv1.Create && request.Operation != admissionv1.Update) {
		return allowed(), nil
	}
	warnings, errs := r.judged(request)
	response := allowed()
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

// judged tells what is wrong with an object. One that cannot be read is wrong too.
func (r *reviewer) judged(request *admissionv1.AdmissionRequest) (warnings []string, errs field.ErrorList) {
	vpa, old := &vpav1.VerticalPodAutoscaler{}, (*vpav1.VerticalPodAutoscaler)(nil)
	err := json.Unmarshal(request.Object.Raw, vpa)
	if err == nil && request.Operation == admissionv1.Update {
		old = &vpav1.VerticalPodAutoscaler{}
		err = json.Unmarshal(request.OldObject.Raw, old)
	}
	if err != nil {
		return nil, field.ErrorList{field.InternalError(field.NewPath("."), err)}
	}
	return validation.Validate(vpa, old, r.gates)
}

// defaulted is the policy of an object that has none.
const defaulted = `[{"op":"add","path":"/spec/updatePolicy","value":{"updateMode":"Recreate"}}]`

// defaults writes the update mode into an object that has no update policy, so
// that it shows what it does.
func (r *reviewer) defaults(_ context.Context, request *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
	vpa, response := &vpav1.VerticalPodAutoscaler{}, allowed()
	if request.SubResource != "" || !r.mode.Acts() || (request.Operation != admissionv1.Create && request.Operation != admissionv1.Update) {
		return response, nil
	}
	// What cannot be read is refused where it is validated.
	if json.Unmarshal(request.Object.Raw, vpa) != nil || vpa.Spec.UpdatePolicy != nil {
		return response, nil
	}
	kind := admissionv1.PatchTypeJSONPatch
	response.Patch, response.PatchType = []byte(defaulted), &kind
	return response, nil
}

func texts[E error](errs []E) []string {
	out := make([]string, len(errs))
	for i, err := range errs {
		out[i] = err.Error()
	}
	return out
}
