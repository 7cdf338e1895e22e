package conformance

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// podTemplate is what a pod is made from: requests in thousandths by container,
// -1 for none.
type podTemplate struct {
	app, sidecar, restartable int64
	pod                       int64
	memory                    int64
}

// none marks a container, or a request, that is not there.
const none, unset = -2, -1

func (w *world) newTemplate() podTemplate {
	t := podTemplate{app: pick[int64](w.r, 100, 250, 500, 1000), sidecar: none, restartable: none, pod: none, memory: 256 << 20}
	if w.chance(0.4) {
		t.sidecar = pick[int64](w.r, 50, 100)
	}
	if w.chance(0.15) {
		t.restartable = pick[int64](w.r, 20, 100)
	}
	if w.chance(0.15) {
		t.pod = pick[int64](w.r, 300, 2000)
	}
	if w.chance(w.oddPods) {
		*pick(w.r, &t.app, &t.sidecar, &t.restartable, &t.memory) = unset
	}
	if t.app == 1000 && w.chance(0.1) {
		t.app = 0
	}
	return t
}

func requests(milli, memory int64) corev1.ResourceList {
	list := corev1.ResourceList{}
	if milli != unset {
		list[corev1.ResourceCPU] = *resource.NewMilliQuantity(milli, resource.DecimalSI)
	}
	if memory != unset {
		list[corev1.ResourceMemory] = *resource.NewQuantity(memory, resource.BinarySI)
	}
	return list
}

func (t podTemplate) spec() corev1.PodSpec {
	container := func(name string, milli int64) corev1.Container {
		return corev1.Container{Name: name, Resources: corev1.ResourceRequirements{Requests: requests(milli, t.memory)}}
	}
	spec := corev1.PodSpec{Containers: []corev1.Container{container("app", t.app)}}
	if t.sidecar != none {
		spec.Containers = append(spec.Containers, container("sidecar", t.sidecar))
	}
	spec.InitContainers = []corev1.Container{container("setup", 700)}
	if t.restartable != none {
		always := corev1.ContainerRestartPolicyAlways
		c := container("proxy", t.restartable)
		c.RestartPolicy = &always
		spec.InitContainers = append(spec.InitContainers, c)
	}
	if t.pod != none {
		spec.Resources = &corev1.ResourceRequirements{Requests: requests(t.pod, unset)}
	}
	return spec
}

// before is a moment up to so many seconds ago, in whole seconds as the API has.
func (w *world) before(seconds int) *metav1.Time {
	t := metav1.NewTime(w.now.Add(-time.Duration(w.r.IntN(seconds+1)) * time.Second).Truncate(time.Second))
	return &t
}

func (w *world) addPod(old bool) {
	w.born++
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: fmt.Sprintf("web-%d", w.born), UID: types.UID(fmt.Sprint(w.born)),
			Labels: map[string]string{"app": "web", "tier": pick(w.r, "front", "front", "back")},
		},
		Spec: w.template.spec(), Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	w.pods[pod.Name] = pod
	switch {
	case old:
		pod.Status.Phase, pod.Status.StartTime = corev1.PodRunning, w.before(1200)
		setReady(pod, corev1.ConditionTrue, metav1.NewTime(pod.Status.StartTime.Add(time.Duration(w.r.IntN(60))*time.Second)))
	case w.chance(0.5):
		w.startPod(pod)
	}
}

func (w *world) startPod(pod *corev1.Pod) {
	pod.Status.Phase, pod.Status.StartTime = corev1.PodRunning, w.before(5)
	setReady(pod, corev1.ConditionFalse, *pod.Status.StartTime)
}

func setReady(pod *corev1.Pod, status corev1.ConditionStatus, at metav1.Time) {
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status, LastTransitionTime: at}}
}

// readyCondition is nil where there is none.
func readyCondition(pod *corev1.Pod) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady {
			return c
		}
	}
	return nil
}

func readiness(pod *corev1.Pod) corev1.ConditionStatus {
	if c := readyCondition(pod); c != nil {
		return c.Status
	}
	return ""
}

// stepPods moves each pod's life on, and their number toward the count. A pod
// that changes is a new object: the old one may be in a cache.
func (w *world) stepPods(count int32) {
	if w.chance(w.oddPods / 4) {
		w.template = w.newTemplate()
	}
	alive := int32(0)
	for _, name := range w.podNames() {
		pod := w.pods[name].DeepCopy()
		w.pods[name] = pod
		if pod.DeletionTimestamp != nil {
			if w.chance(0.5) {
				delete(w.pods, name)
			}
			continue
		}
		if alive++; alive > count && w.chance(0.8) {
			pod.DeletionTimestamp = w.before(3)
			continue
		}
		w.stepPod(pod)
	}
	for ; alive < count && w.chance(0.9); alive++ {
		w.addPod(false)
	}
}

func (w *world) stepPod(pod *corev1.Pod) {
	switch {
	case w.chance(w.oddPods / 2):
		w.spoilPod(pod)
	case pod.Status.Phase == corev1.PodPending:
		if w.chance(0.7) {
			w.startPod(pod)
		}
	case readiness(pod) != corev1.ConditionTrue:
		if w.chance(0.6) {
			setReady(pod, corev1.ConditionTrue, *w.before(20))
		}
	case w.chance(0.01):
		setReady(pod, corev1.ConditionFalse, *w.before(20))
	}
}

func (w *world) spoilPod(pod *corev1.Pod) {
	switch w.r.IntN(8) {
	case 0:
		pod.Status.Phase = corev1.PodFailed
	case 1:
		pod.Status.Phase = corev1.PodSucceeded
	case 2:
		pod.Status.Conditions = nil
	case 3:
		pod.Status.StartTime = nil
	case 4:
		setReady(pod, corev1.ConditionUnknown, *w.before(60))
	case 5:
		pod.Status.Phase = pick(w.r, corev1.PodUnknown, corev1.PodPending, "")
	case 6:
		setReady(pod, corev1.ConditionFalse, *w.before(900))
	case 7:
		pod.DeletionTimestamp = w.before(3)
	}
}
