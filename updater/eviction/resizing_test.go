package eviction_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
	"github.com/quartet-autoscaling/quartet/updater/resize"
)

// resizeSetting is a word of a scenario about resizes in general.
func (w *world) resizeSetting(f []string) error {
	switch f[0] {
	case "gate":
		return json.Unmarshal(fmt.Appendf(nil, `{%q: true}`, f[1]), &w.s.Config.Gates)
	case "skip-budget":
		w.s.Config.SkipBudget = true
	case "memory-by-usage":
		w.s.Config.MemoryByUsage = true
	case "after-oom":
		n, err := strconv.ParseInt(f[1], 10, 32)
		seconds := int32(n)
		w.s.VPA.EvictAfterOOM = &seconds
		return err
	case "boost":
		n, err := strconv.ParseInt(f[1], 10, 32)
		seconds := int32(n)
		w.s.VPA.StartupBoost = &vpav1.StartupBoost{CPU: &vpav1.GenericStartupBoost{DurationSeconds: &seconds}}
		return err
	case "requests-only":
		only := vpav1.ContainerControlledValuesRequestsOnly
		w.s.VPA.Policy = &vpav1.PodResourcePolicy{ContainerPolicies: []vpav1.ContainerResourcePolicy{{ContainerName: "*", ControlledValues: &only}}}
	case "default-limit":
		name, text, _ := strings.Cut(f[1], "=")
		q, err := resource.ParseQuantity(text)
		w.s.Limits.Container = &resourcepolicy.Bounds{Default: corev1.ResourceList{corev1.ResourceName(name): q}}
		return err
	}
	return nil
}

// resizeWord is a word of a scenario about a pod and its resize; known is false
// where it is another.
func (w *world) resizeWord(p *eviction.Pod, c *resourcepolicy.Container, v string) (known bool, err error) {
	word, text, _ := strings.Cut(v, "=")
	if p.Spec == nil {
		p.Spec = &resize.Spec{}
	}
	switch word {
	case "resize":
		p.Resize = &resize.Status{State: resize.State(text)}
	case "says":
		p.Resize.Message = strings.ReplaceAll(text, "_", " ")
	case "since":
		d, err := time.ParseDuration(text)
		p.Resize.Since = w.s.Now.Add(-d)
		return true, err
	case "unread":
		p.Usage = &eviction.Usage{Error: strings.ReplaceAll(text, "_", " ")}
	case "used":
		q, err := resource.ParseQuantity(text)
		p.Usage = &eviction.Usage{Memory: map[string]resource.Quantity{c.Name: q}}
		return true, err
	case "ready":
		d, err := time.ParseDuration(text)
		p.Boosts.Ready = w.s.Now.Add(-d)
		return true, err
	case "qos":
		p.Spec.QOS = corev1.PodQOSClass(text)
	case "restarts":
		p.Spec.Restarts = true
	default:
		kind, name, ok := cutLast(word, "-")
		if !ok {
			return false, nil
		}
		q, err := resource.ParseQuantity(text)
		if err != nil {
			return true, err
		}
		return true, w.resizeValue(p, c, kind, corev1.ResourceList{corev1.ResourceName(name): q})
	}
	return true, nil
}

func (w *world) resizeValue(p *eviction.Pod, c *resourcepolicy.Container, kind string, one corev1.ResourceList) error {
	if strings.HasPrefix(kind, "asked") && len(p.Spec.Asked) == 0 {
		p.Spec.Asked = []resourcepolicy.Container{{Name: c.Name, Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}}
	}
	for name, q := range one {
		switch kind {
		case "limit":
			if c.Limits == nil {
				c.Limits = corev1.ResourceList{}
			}
			c.Limits[name] = q
		case "asked":
			p.Spec.Asked[0].Requests[name] = q
		case "asked-limit":
			p.Spec.Asked[0].Limits[name] = q
		case "was":
			p.Boosts = &eviction.Boosts{Was: map[string]string{c.Name: fmt.Sprintf(`{"requests":{%q:%q},"limits":{}}`, name, q.String())}}
		case "refused":
			p.Refused = eviction.Targets{c.Name: one}
		default:
			return fmt.Errorf("no word %q of a pod", kind)
		}
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// carriedOut changes the world as the kubelet would after a resize that succeeds.
func (w *world) carriedOut(c eviction.Candidate) {
	pod := w.s.Pods[c.Pod]
	for _, change := range c.Resize {
		for i := range pod.Containers {
			if pod.Containers[i].Name == change.Container {
				pod.Containers[i].Requests = laid(pod.Containers[i].Requests, change.Requests)
				pod.Containers[i].Limits = laid(pod.Containers[i].Limits, change.Limits)
			}
		}
	}
	pod.Spec = &resize.Spec{}
	w.s.Pods[c.Pod] = pod
}

func laid(under, over corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	maps.Copy(out, under)
	maps.Copy(out, over)
	if len(out) == 0 {
		return nil
	}
	return out
}

// resizingWorld is a random world in a mode that resizes, with limits and with
// resizes under way.
func resizingWorld(seed uint64) *world {
	w := randomWorld(seed)
	w.s.VPA.UpdateMode = []vpav1.UpdateMode{vpav1.UpdateModeInPlaceOrRecreate, vpav1.UpdateModeInPlace}[seed%2]
	w.s.Config.Gates.InPlace = true
	w.s.Config.SkipBudget = seed%3 == 0
	n := int(seed)
	for _, name := range slices.Sorted(maps.Keys(w.s.Pods)) {
		pod := w.s.Pods[name]
		pod.UID = name
		n++
		for i := range pod.Containers {
			switch (n + i) % 3 {
			case 0:
				pod.Containers[i].Limits = laid(pod.Containers[i].Requests, nil)
			case 1:
				pod.Containers[i].Limits = laid(nil, corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")})
			}
		}
		pod.Spec = &resize.Spec{Restarts: n%5 == 0}
		class, _ := pod.Spec.Class(pod.Containers, nil)
		pod.Spec.QOS = class
		switch n % 4 {
		case 0:
			pod.Resize = &resize.Status{State: []resize.State{resize.Deferred, resize.Infeasible, resize.InProgress, resize.Failed, resize.Unknown}[n%5], Since: w.s.Now.Add(-time.Duration(n%90) * time.Minute)}
			asked := pod.Containers[0]
			asked.Requests = laid(asked.Requests, corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("3")})
			pod.Spec.Asked = []resourcepolicy.Container{asked}
		case 1:
			// As wanted already.
			w.s.Pods[name] = pod
			d := eviction.Decide(w.s, w.state)
			for _, c := range d.Candidates {
				if c.Pod == name {
					w.carriedOut(c)
				}
			}
			continue
		}
		w.s.Pods[name] = pod
	}
	return w
}

// TestAResizeIsNeededAndIsTheLast holds every planned resize to this: it changes
// something, keeps the QoS class, is no eviction in mode InPlace, and once it is
// carried out the next turn asks for nothing of that pod.
func TestAResizeIsNeededAndIsTheLast(t *testing.T) {
	resized, evicted := 0, 0
	for seed := range uint64(2000) {
		w := resizingWorld(seed)
		d := w.turn(t)
		for _, c := range d.Candidates {
			if len(c.Resize) == 0 {
				evicted++
				if w.s.VPA.UpdateMode == vpav1.UpdateModeInPlace {
					t.Fatalf("seed %d: %s is to be evicted in mode InPlace", seed, c.Pod)
				}
				if s := w.s.Pods[c.Pod].Resize; s != nil && !s.GivenUp(w.state.Attempts[c.Pod+"/"+c.UID], w.s.Now) {
					t.Fatalf("seed %d: %s is to be evicted while its resize is %s", seed, c.Pod, s.State)
				}
				continue
			}
			resized++
			pod := w.s.Pods[c.Pod]
			for _, change := range c.Resize {
				if len(change.Requests)+len(change.Limits) == 0 {
					t.Fatalf("seed %d: %s: an empty change of %s", seed, c.Pod, change.Container)
				}
			}
			if now, then := pod.Spec.Class(pod.Containers, c.Resize); now != then {
				t.Fatalf("seed %d: %s would turn from %s into %s", seed, c.Pod, now, then)
			}
			w.carriedOut(c)
		}
		for _, c := range w.turn(t).Candidates {
			if pod := w.s.Pods[c.Pod]; len(c.Resize) > 0 && pod.Resize == nil && len(pod.Spec.Asked) == 0 && wasIn(d.Candidates, c.Pod) {
				t.Fatalf("seed %d: %s was resized and is to be resized again: %s", seed, c.Pod, resize.Describe(c.Resize))
			}
		}
	}
	if resized < 100 || evicted < 10 {
		t.Errorf("only %d resizes and %d evictions in all scenarios", resized, evicted)
	}
}

func wasIn(all []eviction.Candidate, pod string) bool {
	for _, c := range all {
		if c.Pod == pod && len(c.Resize) > 0 {
			return true
		}
	}
	return false
}

// TestAnAttemptIsKnownAfterAKill loses the state in the middle of an attempt: what
// is decided then comes from the pod's own condition.
func TestAnAttemptIsKnownAfterAKill(t *testing.T) {
	for _, lose := range []bool{false, true} {
		w := newWorld()
		for _, line := range []string{
			"update InPlaceOrRecreate", "recommend app cpu=100m/200m/400m", "group ReplicaSet/web 2",
			"pod a ReplicaSet/web app age=1h cpu=50m asked-cpu=200m resize=Deferred since=4m",
			"pod b ReplicaSet/web app age=1h cpu=200m",
		} {
			if err := w.word(strings.Fields(line)); err != nil {
				t.Fatal(err)
			}
		}
		if d := w.turn(t); d.Reason != eviction.ReasonResizing {
			t.Fatalf("decided %s after 4m", d.Reason)
		}
		if lose {
			w.state = eviction.State{}
		}
		w.s.Now = w.s.Now.Add(time.Minute + time.Second)
		w.s.Admission.Renewed = w.s.Now
		if d := w.turn(t); d.Reason != eviction.ReasonEvict {
			t.Errorf("state lost %t: decided %s after 5m1s: %s", lose, d.Reason, d.Message)
		}
	}
}

// TestEachAttemptHasItsTime resizes a pod twice: the second attempt has its own
// five minutes, also where the kubelet keeps the condition's time.
func TestEachAttemptHasItsTime(t *testing.T) {
	w := newWorld()
	begin := w.s.Now
	for _, line := range []string{"update InPlaceOrRecreate", "recommend app cpu=100m/200m/400m", "group ReplicaSet/web 2", "pod b ReplicaSet/web app age=1h cpu=200m"} {
		if err := w.word(strings.Fields(line)); err != nil {
			t.Fatal(err)
		}
	}
	at := func(after time.Duration, asked string) eviction.Decision {
		w.s.Now = begin.Add(after)
		w.s.Admission.Renewed = w.s.Now
		if err := w.word(strings.Fields("pod a ReplicaSet/web app age=1h cpu=50m resize=Deferred asked-cpu=" + asked)); err != nil {
			t.Fatal(err)
		}
		pod := w.s.Pods["a"]
		pod.Resize.Since = begin
		return w.turn(t)
	}
	var got []string
	for _, step := range []struct {
		after time.Duration
		asked string
	}{{time.Minute, "200m"}, {4 * time.Minute, "200m"}, {4*time.Minute + 30*time.Second, "300m"}, {9 * time.Minute, "300m"}, {9*time.Minute + 31*time.Second, "300m"}} {
		got = append(got, at(step.after, step.asked).Reason)
	}
	want := []string{eviction.ReasonResizing, eviction.ReasonResizing, eviction.ReasonResizing, eviction.ReasonResizing, eviction.ReasonEvict}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
	// Once the resize is done nothing is known of it any more.
	if err := w.word(strings.Fields("pod a ReplicaSet/web app age=1h cpu=200m")); err != nil {
		t.Fatal(err)
	}
	w.turn(t)
	if len(w.state.Attempts) != 0 {
		t.Errorf("attempts that are left: %v", w.state.Attempts)
	}
	if diff := cmp.Diff(w.state, eviction.Commit(w.state, eviction.Decide(w.s, w.state), decision.Outcome{Result: decision.Failed})); diff != "" {
		t.Errorf("state after the same turn:\n%s", diff)
	}
}
