package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/admission/patch"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi/v1alpha1"
)

// unknownVPAs is what is not known where it cannot be found out which objects
// scale a pod.
const unknownVPAs = "which VerticalPodAutoscaler scales it"

// podVPA is one VerticalPodAutoscaler that scales a pod, and what the updater and
// the admission webhook say of that pod.
type podVPA struct {
	Name   string `json:"name"`
	Target string `json:"target"`
	// Updater is the updater's last decision on the object, and Verdict what it
	// says of the pod.
	Updater *source     `json:"updater,omitempty"`
	Verdict *podVerdict `json:"verdict,omitempty"`
	// Patched is what the pod's annotation says that its admission changed.
	Patched string `json:"patched,omitempty"`
	// Admission is the webhook's last decision on a pod of the object, AdmittedPod
	// that pod.
	Admission   *source `json:"admission,omitempty"`
	AdmittedPod string  `json:"admittedPod,omitempty"`

	updater, admission *v1alpha1.Decision
}

// askVPAs finds the objects that scale the pod and asks about each.
func (p *podAnswer) askVPAs(ctx context.Context, a *asker) {
	var all vpav1.VerticalPodAutoscalerList
	switch err := a.objects(ctx, objectVPA, &all); {
	case errors.Is(err, errNotInstalled):
		return
	case err != nil:
		p.Unknown.note(unknownVPAs, err)
		return
	}
	var owners []owner
	if len(all.Items) > 0 {
		var err error
		if owners, err = a.owners(ctx, p.pod); err != nil {
			p.Unknown.note("all of its owners", err)
		}
	}
	for _, vpa := range all.Items {
		if t := vpa.Spec.TargetRef; t != nil && slices.Contains(owners, owner{t.Kind, t.Name}) {
			p.VPAs = append(p.VPAs, p.askVPA(ctx, a, vpa.Name, t.Kind+" "+t.Name))
		}
	}
}

func (p *podAnswer) askVPA(ctx context.Context, a *asker, name, target string) podVPA {
	v := podVPA{Name: name, Target: target, Patched: p.pod.Annotations[patch.UpdatesAnnotation]}
	if d, err := a.decision(ctx, vpaUpdater, objectVPA, name); err != nil {
		p.Unknown.note("whether it is to be evicted", err)
	} else {
		v.updater, v.Updater = d, sourceOf(d)
		if verdicts, _ := podVerdicts(d); p.Node != "" {
			if verdict, ok := verdicts[p.pod.Name]; ok {
				v.Verdict = &verdict
			}
		}
	}
	if d, err := a.decision(ctx, vpaAdmission, objectVPA, name); err != nil {
		p.Unknown.note("what was decided at its admission", err)
	} else {
		var detail struct {
			Pod string `json:"pod"`
		}
		unpack(d.Detail, &detail)
		v.admission, v.Admission, v.AdmittedPod = d, sourceOf(d), detail.Pod
	}
	return v
}

func (v *podVPA) write(b *strings.Builder, pod *corev1.Pod, now time.Time) {
	fmt.Fprintf(b, "\nVerticalPodAutoscaler %s, for %s, scales it.\n", v.Name, v.Target)
	var rows [][]string
	if d := v.updater; d != nil && pod.Spec.NodeName != "" {
		rows = append(rows, []string{"Update:", v.update()}, []string{"", decided(d, now)})
	}
	patched := "the pod does not say that it was patched"
	if v.Patched != "" {
		patched = v.Patched
	}
	rows = append(rows, []string{"Admission:", patched})
	if d := v.admission; d != nil {
		// A pod may be admitted before its name is made, and then goes by its prefix.
		of := "last of its pods, " + v.AdmittedPod
		if v.AdmittedPod == pod.Name {
			of = "this pod"
		}
		said := strings.TrimPrefix(d.Message, "pod "+v.AdmittedPod+": ")
		rows = append(rows, []string{"", fmt.Sprintf("%s: %s%s", of, d.Reason, suffix(": ", said))}, []string{"", decided(d, now)})
	}
	align(b, rows)
}

// update tells what the updater says of the pod, or of all pods.
func (v *podVPA) update() string {
	if v.Verdict != nil {
		return v.Verdict.Verdict + suffix(": ", v.Verdict.Message)
	}
	if _, general := podVerdicts(v.updater); len(general) > 0 && general[len(general)-1].Reason == v.updater.Reason {
		// The decision ended before any pod was looked at.
		return v.updater.Reason + suffix(": ", v.updater.Message)
	}
	return "the last decision does not have it: it may be newer"
}

// owner is a controller of the pod, or of its controller.
type owner struct{ kind, name string }

// ownersDepth bounds the search: a CronJob's Job's pod is two.
const ownersDepth = 4

// controllers are where controllers of known kinds are read. Others end the
// search: what they are owned by is nothing that is scaled.
var controllers = map[string]object{
	"ReplicaSet":            {kind: "ReplicaSet", path: "/apis/apps/v1", resource: "replicasets"},
	"Deployment":            {kind: "Deployment", path: "/apis/apps/v1", resource: "deployments"},
	"StatefulSet":           {kind: "StatefulSet", path: "/apis/apps/v1", resource: "statefulsets"},
	"DaemonSet":             {kind: "DaemonSet", path: "/apis/apps/v1", resource: "daemonsets"},
	"Job":                   {kind: "Job", path: "/apis/batch/v1", resource: "jobs"},
	"CronJob":               {kind: "CronJob", path: "/apis/batch/v1", resource: "cronjobs"},
	"ReplicationController": {kind: "ReplicationController", path: "/api/v1", resource: "replicationcontrollers"},
}

// owners follows the controllers upwards. With an error it gives those found
// before.
func (a *asker) owners(ctx context.Context, pod *corev1.Pod) ([]owner, error) {
	var found []owner
	for of := metav1.GetControllerOf(pod); of != nil && len(found) < ownersDepth; {
		found = append(found, owner{of.Kind, of.Name})
		kind, known := controllers[of.Kind]
		if !known {
			break
		}
		var object metav1.PartialObjectMetadata
		if err := a.object(ctx, kind, of.Name, &object); err != nil {
			return found, err
		}
		of = metav1.GetControllerOf(&object)
	}
	return found, nil
}
