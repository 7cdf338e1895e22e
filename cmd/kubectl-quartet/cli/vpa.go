package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/decisionapi/v1alpha1"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
	"github.com/quartet-autoscaling/quartet/updater/eviction"
)

// vpaAnswer is what the recommender and the updater last decided on a
// VerticalPodAutoscaler. Either may be nil, and Unknown then says why.
type vpaAnswer struct {
	Recommender *v1alpha1.Decision `json:"recommender,omitempty"`
	Updater     *v1alpha1.Decision `json:"updater,omitempty"`
	Unknown     unknowns           `json:"unknown,omitempty"`
}

func explainVPA(ctx context.Context, a *asker, name string) (answer, error) {
	v := &vpaAnswer{Unknown: unknowns{}}
	var err, updaterErr error
	if v.Recommender, err = a.decision(ctx, vpaRecommender, objectVPA, name); err != nil {
		v.Unknown.note("what is recommended", err)
	}
	if v.Updater, updaterErr = a.decision(ctx, vpaUpdater, objectVPA, name); updaterErr != nil {
		v.Unknown.note("what becomes of its pods", updaterErr)
	}
	if err != nil && updaterErr != nil {
		return nil, err
	}
	return v, nil
}

func (v *vpaAnswer) value() any { return v }

func (v *vpaAnswer) text(now time.Time) string {
	var b strings.Builder
	if v.Recommender != nil {
		recommendation(&b, v.Recommender, now)
	}
	if v.Updater != nil {
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		updates(&b, v.Updater, now)
	}
	v.Unknown.write(&b)
	return b.String()
}

// recommendation tells what the recommender decided, container by container.
func recommendation(b *strings.Builder, d *v1alpha1.Decision, now time.Time) {
	fmt.Fprintf(b, "%s\n%s\n", recommends(d), decided(d, now))
	reasons(b, d)
	behind(b, d)
	var detail struct {
		Recommendation estimator.Recommendation `json:"recommendation"`
	}
	unpack(d.Detail, &detail)
	amounts(b, detail.Recommendation)
	general, own := byContainer(d.Steps)
	steps(b, "Steps", general)
	table(b, "Steps of each container", []string{"CONTAINER", "RESOURCE", "RULE", "VALUE", "REASON", "MESSAGE"}, own)
	faults(b, d)
	conditions(b, others(d.Conditions))
}

// recommends is the headline of a recommendation.
func recommends(d *v1alpha1.Decision) string {
	switch {
	case d.To == "" || d.To == "none":
		return fmt.Sprintf("%s recommends nothing yet.", d.Unit)
	case d.From == d.To:
		return fmt.Sprintf("%s goes on recommending %s.", d.Unit, d.To)
	case d.Act:
		return fmt.Sprintf("%s recommends %s (before: %s).", d.Unit, d.To, d.From)
	}
	return fmt.Sprintf("%s would recommend %s, and shows %s.", d.Unit, d.To, d.From)
}

// amounts lists what is recommended.
func amounts(b *strings.Builder, all estimator.Recommendation) {
	var rows [][]string
	for _, c := range all {
		for _, resource := range []string{estimator.CPU, estimator.Memory} {
			row := []string{c.Container, resource}
			for _, a := range []estimator.Amounts{c.Target, c.Lower, c.Upper, c.Uncapped} {
				text := "-"
				if amount := a.Of(resource); amount != nil {
					text = estimator.Quantity(resource, *amount).String()
				}
				row = append(row, text)
			}
			if c.Target.Of(resource) != nil {
				rows = append(rows, row)
			}
		}
	}
	table(b, "Recommendation", []string{"CONTAINER", "RESOURCE", "TARGET", "LOWER", "UPPER", "UNCAPPED"}, rows)
}

// byContainer parts the steps that are about one resource of one container,
// whose messages begin with "container resource: ", from all others.
func byContainer(all []decision.Step) (general []decision.Step, own [][]string) {
	for _, s := range all {
		subject, message, ok := strings.Cut(s.Message, ": ")
		container, resource, two := strings.Cut(subject, " ")
		if !ok || !two || (resource != estimator.CPU && resource != estimator.Memory) {
			general = append(general, s)
			continue
		}
		own = append(own, []string{container, resource, s.Rule, change(s), s.Reason, message})
	}
	return general, own
}

// updates tells what the updater decided on the object's pods.
func updates(b *strings.Builder, d *v1alpha1.Decision, now time.Time) {
	fmt.Fprintf(b, "Updates of its pods: %s%s\n%s\n", d.Reason, suffix(": ", d.Message), decided(d, now))
	verdicts, general := podVerdicts(d)
	rows := make([][]string, 0, len(verdicts))
	for _, pod := range sorted(verdicts) {
		rows = append(rows, []string{pod, verdicts[pod].Verdict, verdicts[pod].Message})
	}
	table(b, "Pods", []string{"POD", "VERDICT", "MESSAGE"}, rows)
	steps(b, "Steps", general)
	faults(b, d)
}

// podVerdict is what the updater says of one pod.
type podVerdict struct {
	// Verdict is evicted, refused, evict, would evict, or the reason why not.
	Verdict string `json:"verdict"`
	Message string `json:"message"`
}

// acts are the rules by which pods are updated, and the words for what they do.
var acts = map[string]string{"pod/evict": "evict", "owner/surge": "roll out"}

// ofPods tells whether a rule's steps are what becomes of one pod.
func ofPods(rule string) bool {
	room, _, _ := strings.Cut(rule, "/")
	return rule != "pod/qos" && slices.Contains([]string{"pod", "owner", "budget", "fit"}, room)
}

// podVerdicts gives what an updater's decision says of each pod, and the steps
// that are about the object as a whole. Steps about a pod begin with its name.
func podVerdicts(d *v1alpha1.Decision) (verdicts map[string]podVerdict, general []decision.Step) {
	verdicts = map[string]podVerdict{}
	for _, s := range d.Steps {
		pod, message, ok := strings.Cut(s.Message, ": ")
		if !ok || !ofPods(s.Rule) || strings.Contains(pod, " ") {
			general = append(general, s)
			continue
		}
		verdict := s.Reason
		if act := acts[s.Rule]; act != "" && s.Changed() {
			verdict = "would " + act
			if d.Act {
				verdict = act
			}
		}
		verdicts[pod] = podVerdict{Verdict: verdict, Message: message}
	}
	var detail struct {
		Results []eviction.Result `json:"results"`
	}
	unpack(d.Detail, &detail)
	for _, r := range detail.Results {
		if r.Rollout {
			continue // It is a Deployment's, not a pod's.
		}
		v := verdicts[r.Pod]
		v.Verdict = "evicted"
		if r.Resize {
			v.Verdict = "resized"
		}
		if r.Error != "" {
			v.Verdict, v.Message = "refused", fmt.Sprintf("%s (tried since %s)", r.Error, v.Message)
		}
		verdicts[r.Pod] = v
	}
	return verdicts, general
}

// unpack reads a decision's detail. One of another form, as of another version,
// leaves out what it lacks.
func unpack(detail *runtime.RawExtension, into any) {
	if detail != nil {
		_ = json.Unmarshal(detail.Raw, into)
	}
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
