package eviction_test

import (
	"encoding/json"
	"fmt"
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
	"github.com/quartet-autoscaling/quartet/test/golden"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// TestScenarios plays the files of testdata. A file is a list of blocks, parted
// by empty lines. The lines of a block before "----" change the world, then one
// turn runs, and what it decided stands after "----". The words are:
//
//	mode Recommend | update InPlace | least 1 | older shop/first | rival TEXT
//	recommend CONTAINER cpu=LOWER/TARGET/UPPER memory=LOWER/TARGET/UPPER | forget
//	group KIND/NAME REPLICAS | group KIND/NAME error TEXT
//	pod NAME KIND/NAME CONTAINER age=1h cpu=100m memory=1Gi oom=5m pending observed=a,b
//	... limit-cpu=1 asked-cpu=200m asked-limit-cpu=1 resize=Deferred since=3m says=text qos=Guaranteed restarts refused-cpu=2
//	... was-cpu=100m ready=30s used=300Mi unread=TEXT
//	gate InPlace | memory-by-usage | boost 60 | skip-budget | after-oom 300 | requests-only | default-limit cpu=1
//	gone NAME | admission 10s | admission error TEXT | wait 1m | require cpu TargetHigherThanRequests
func TestScenarios(t *testing.T) { golden.Scenarios(t, "testdata/*.txt", play) }

func play(t testing.TB, text string) string {
	w := newWorld()
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		words, _, turns := strings.Cut(block, "----")
		words = strings.TrimRight(words, "\n")
		if i > 0 {
			out.WriteString("\n")
		}
		out.WriteString(words + "\n")
		for line := range strings.SplitSeq(words, "\n") {
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if err := w.word(strings.Fields(line)); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
		if turns {
			out.WriteString("----\n" + tell(w.turn(t)))
		}
	}
	return out.String()
}

func tell(d eviction.Decision) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d -> %d act=%t %s: %s\n", d.At.Format("15:04:05"), d.From, d.To, d.Act, d.Reason, d.Message)
	for _, s := range d.Steps {
		fmt.Fprintf(&b, "  %s [%s>%s] %s: %s\n", s.Rule, s.In, s.Out, s.Reason, s.Message)
	}
	for _, f := range d.Faults {
		fmt.Fprintf(&b, "  fault %s %s: %s\n", f.Source, f.Reason, f.Message)
	}
	return b.String()
}

// world is a cluster with one object.
type world struct {
	s     eviction.Snapshot
	state eviction.State
}

func newWorld() *world {
	return &world{s: eviction.Snapshot{
		Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Mode: eviction.ModeAuto,
		Config: eviction.Config{
			MinReplicas: 2, Tolerance: 0.5, UpdateThreshold: 0.1, PodLifetime: 12 * time.Hour,
			OOMThreshold: 10 * time.Minute, NeedsAdmission: true, LeaseTimeout: time.Minute,
		},
		VPA:       eviction.VPA{Namespace: "shop", Name: "web", UID: "1", Target: "Deployment/web", UpdateMode: vpav1.UpdateModeRecreate},
		Admission: eviction.Admission{Lease: "quartet-system/vpa-admission-controller", Renewed: time.Date(2026, 3, 1, 11, 59, 50, 0, time.UTC)},
		Pods:      map[string]eviction.Pod{}, Groups: map[string]eviction.Group{},
	}}
}

func (w *world) word(f []string) error {
	switch f[0] {
	case "mode":
		w.s.Mode = f[1]
	case "update":
		w.s.VPA.UpdateMode = vpav1.UpdateMode(f[1])
	case "least":
		n, err := strconv.ParseInt(f[1], 10, 32)
		least := int32(n)
		w.s.VPA.MinReplicas = &least
		return err
	case "older":
		w.s.VPA.Older = f[1]
	case "rival":
		w.s.Rival = strings.Join(f[1:], " ")
	case "forget":
		w.s.VPA.Recommendations = nil
	case "recommend":
		return w.recommend(f[1], f[2:])
	case "group":
		return w.group(f[1], f[2:])
	case "pod":
		return w.pod(f[1], f[2], f[3], f[4:])
	case "gone":
		delete(w.s.Pods, f[1])
	case "admission":
		return w.admission(f[1:])
	case "wait":
		d, err := time.ParseDuration(f[1])
		w.s.Now, w.s.Admission.Renewed = w.s.Now.Add(d), w.s.Admission.Renewed.Add(d)
		return err
	case "gate", "skip-budget", "after-oom", "boost", "memory-by-usage", "requests-only", "default-limit":
		return w.resizeSetting(f)
	case "require":
		w.s.VPA.Requirements = append(w.s.VPA.Requirements, eviction.Requirement{
			Resources: []corev1.ResourceName{corev1.ResourceName(f[1])}, Change: vpav1.EvictionChangeRequirement(f[2]),
		})
	default:
		return fmt.Errorf("no word %q", f[0])
	}
	return nil
}

func (w *world) recommend(container string, values []string) error {
	r := resourcepolicy.Recommendation{ContainerName: container, LowerBound: corev1.ResourceList{}, Target: corev1.ResourceList{}, UpperBound: corev1.ResourceList{}}
	for _, v := range values {
		name, three, _ := strings.Cut(v, "=")
		for i, text := range strings.Split(three, "/") {
			q, err := resource.ParseQuantity(text)
			if err != nil {
				return err
			}
			[]corev1.ResourceList{r.LowerBound, r.Target, r.UpperBound}[i][corev1.ResourceName(name)] = q
		}
	}
	w.s.VPA.Recommendations = append(w.s.VPA.Recommendations, r)
	return nil
}

func (w *world) group(key string, f []string) error {
	if f[0] == "error" {
		w.s.Groups[key] = eviction.Group{Error: strings.Join(f[1:], " ")}
		return nil
	}
	n, err := strconv.ParseInt(f[0], 10, 32)
	w.s.Groups[key] = eviction.Group{Replicas: int32(n), Counted: true}
	return err
}

func (w *world) admission(f []string) error {
	if f[0] == "error" {
		w.s.Admission = eviction.Admission{Lease: w.s.Admission.Lease, Error: strings.Join(f[1:], " ")}
		return nil
	}
	d, err := time.ParseDuration(f[0])
	w.s.Admission.Renewed, w.s.Admission.Error = w.s.Now.Add(-d), ""
	return err
}

func (w *world) pod(name, group, container string, f []string) error {
	c := resourcepolicy.Container{Name: container, Requests: corev1.ResourceList{}}
	p := eviction.Pod{UID: name, Group: group}
	if group == "-" {
		p.Group = ""
	}
	for _, v := range f {
		word, text, _ := strings.Cut(v, "=")
		switch word {
		case "pending":
			p.Pending = true
		case "observed":
			p.Observed = strings.Split(text, ",")
		case "age", "oom":
			d, err := time.ParseDuration(text)
			if err != nil {
				return err
			}
			at := w.s.Now.Add(-d)
			if word == "age" {
				p.Started = at
			} else {
				p.OOMs = map[string]eviction.OOM{container: {Started: at.Add(-time.Minute), Finished: at}}
			}
		default:
			if known, err := w.resizeWord(&p, &c, v); known || err != nil {
				if err != nil {
					return err
				}
				continue
			}
			q, err := resource.ParseQuantity(text)
			if err != nil {
				return err
			}
			c.Requests[corev1.ResourceName(word)] = q
		}
	}
	p.Containers = []resourcepolicy.Container{c}
	w.s.Pods[name] = p
	return nil
}

// turn decides, and again on what is left of snapshot and state after JSON: the
// two must be the same, since a replay knows only that.
func (w *world) turn(t testing.TB) eviction.Decision {
	t.Helper()
	d := eviction.Decide(w.s, w.state)
	var s eviction.Snapshot
	var state eviction.State
	throughJSON(t, w.s, &s)
	throughJSON(t, w.state, &state)
	first, second := encode(t, d), encode(t, eviction.Decide(s, state))
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("decided otherwise after JSON:\n%s", diff)
	}
	w.state = eviction.Commit(w.state, d, decision.Outcome{Result: decision.Unneeded})
	return d
}

func encode(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func throughJSON(t testing.TB, from, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(encode(t, from)), to); err != nil {
		t.Fatal(err)
	}
}
