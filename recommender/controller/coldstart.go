package controller

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/internal/decision"
	"github.com/quartet-autoscaling/quartet/internal/verticalpolicy"
	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

// library finds what other objects have learned, for new containers whose policy
// has them begin from it.
type library struct {
	vpas    *vpaCache
	pods    *podCache
	targets *targets
	// state is what the loop remembers of an object.
	state func(decision.Unit) estimator.State
}

// shelf is what is known of containers of the same image, by image and by
// namespace and image: of each the history with the most samples.
type shelf map[string]volume

// volume is one container's history.
type volume struct {
	vpa       types.NamespacedName
	container string
	learned   estimator.Learned
}

// better orders volumes, so that the choice does not hang on the order of a list.
func (v volume) better(than volume) bool {
	return cmp.Or(cmp.Compare(than.learned.Samples, v.learned.Samples), strings.Compare(v.vpa.String(), than.vpa.String()),
		strings.Compare(v.container, than.container)) < 0
}

func unitOf(vpa *vpav1.VerticalPodAutoscaler) decision.Unit {
	return decision.Unit{Kind: estimator.Kind, Namespace: vpa.Namespace, Name: vpa.Name, UID: string(vpa.UID)}
}

// histories gives what new containers of an object may begin from. It is asked
// only where a policy says so and there is such a container.
func (l *library) histories(ctx context.Context, v *visit, s *estimator.Snapshot) ([]estimator.History, error) {
	state := l.state(unitOf(v.vpa))
	images := map[string]string{}
	for _, pod := range s.Pods {
		for name, c := range pod.Containers {
			if !s.Begins(state, name) {
				continue
			}
			images[name] = cmp.Or(c.Image, images[name])
		}
	}
	var out []estimator.History
	for _, container := range slices.Sorted(maps.Keys(images)) {
		for _, source := range s.Policy.ColdStart {
			h := estimator.History{Container: container, Source: source}
			found := false
			switch source {
			case verticalpolicy.StartWorkload:
				h.Of, h.Learned, found = l.sameTarget(v.vpa, container)
			case verticalpolicy.StartImage:
				shelf, err := v.pass.images.get(ctx, "")
				if err != nil {
					return nil, err
				}
				h.Of, h.Learned, found = shelf.of(v.vpa.Namespace, images[container])
			}
			if found {
				out = append(out, h)
			}
		}
	}
	return out, nil
}

// sameTarget finds the history of a container of the same name that another object
// learned of the same workload.
func (l *library) sameTarget(vpa *vpav1.VerticalPodAutoscaler, container string) (string, estimator.Learned, bool) {
	var best volume
	for _, other := range l.vpas.all() {
		if other.Namespace != vpa.Namespace || other.Name == vpa.Name || !sameTarget(other, vpa) {
			continue
		}
		learned, known := l.state(unitOf(other)).Learned[container]
		v := volume{types.NamespacedName{Namespace: other.Namespace, Name: other.Name}, container, learned}
		if known && learned.Samples > 0 && (best.container == "" || v.better(best)) {
			best = v
		}
	}
	return fmt.Sprintf("container %s of VerticalPodAutoscaler %s, which has the same target", container, best.vpa.Name), best.learned, best.container != ""
}

func sameTarget(a, b *vpav1.VerticalPodAutoscaler) bool {
	return a.Spec.TargetRef != nil && b.Spec.TargetRef != nil && *a.Spec.TargetRef == *b.Spec.TargetRef
}

// of finds the history of an image, of the same namespace first. Of another
// namespace no names are told.
func (s shelf) of(namespace, image string) (string, estimator.Learned, bool) {
	if image == "" {
		return "", estimator.Learned{}, false
	}
	if v, found := s[shelfKey(namespace, image)]; found {
		return fmt.Sprintf("container %s of VerticalPodAutoscaler %s, which has the image %s too", v.container, v.vpa.Name, image), v.learned, true
	}
	v, found := s[shelfKey("", image)]
	return fmt.Sprintf("a container of another namespace, which has the image %s too", image), v.learned, found
}

func shelfKey(namespace, image string) string { return namespace + " " + image }

// images reads what is known of all images. It is asked once a pass at most.
func (l *library) images(ctx context.Context, _ string) (shelf, error) {
	out := shelf{}
	for _, vpa := range l.vpas.all() {
		state := l.state(unitOf(vpa))
		if len(state.Learned) == 0 || vpa.Spec.TargetRef == nil {
			continue
		}
		ref := vpa.Spec.TargetRef
		selector, err := l.targets.selector(ctx, vpa.Namespace, estimator.Target{APIVersion: ref.APIVersion, Kind: ref.Kind, Name: ref.Name})
		if err != nil {
			// A target that is not known has no pods to tell images by.
			continue
		}
		for _, pod := range l.pods.matching(vpa.Namespace, selector) {
			for _, c := range pod.containers {
				learned := state.Learned[c.name.Value()]
				if c.image.Value() == "" || learned.Samples == 0 {
					continue
				}
				v := volume{types.NamespacedName{Namespace: vpa.Namespace, Name: vpa.Name}, c.name.Value(), learned}
				for _, key := range []string{shelfKey("", c.image.Value()), shelfKey(vpa.Namespace, c.image.Value())} {
					if have, known := out[key]; !known || v.better(have) {
						out[key] = v
					}
				}
			}
		}
	}
	return out, nil
}

// imageName is an image without its tag and digest.
func imageName(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if colon := strings.LastIndexByte(image, ':'); colon > strings.LastIndexByte(image, '/') {
		image = image[:colon]
	}
	return image
}

// addForPolicy adds what only some policies ask for.
func (o *observer) addForPolicy(ctx context.Context, v *visit, s *estimator.Snapshot, pods []*podRecord) error {
	p := s.Policy
	if p == nil || !p.Bound && len(p.ColdStart) == 0 {
		return nil
	}
	for _, pod := range pods {
		containers := s.Pods[pod.name].Containers
		for _, from := range pod.containers {
			c := containers[from.name.Value()]
			if p.Bound {
				c.Requests = estimator.Amounts{CPU: pointer(from.cpu), Memory: pointer(from.memory)}
			}
			if len(p.ColdStart) > 0 {
				c.Image = from.image.Value()
			}
			containers[from.name.Value()] = c
		}
	}
	if len(p.ColdStart) == 0 {
		return nil
	}
	var err error
	s.Histories, err = o.library.histories(ctx, v, s)
	return err
}
