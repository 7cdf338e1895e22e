package patch

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
)

// boost is the CPU of one container while it starts.
type boost struct {
	was     resourcepolicy.Container
	request resource.Quantity
	// only tells that limits are not controlled.
	only bool
}

// original is what the annotation of a boosted container holds, in upstream's
// form.
type original struct {
	Requests corev1.ResourceList `json:"requests"`
	Limits   corev1.ResourceList `json:"limits"`
}

// boosts tells whether the object asks for startup boosts at all.
func (v *VPA) boosts() bool {
	if v.StartupBoost != nil {
		return true
	}
	if v.Policy == nil {
		return false
	}
	for i := range v.Policy.ContainerPolicies {
		if v.Policy.ContainerPolicies[i].StartupBoost != nil {
			return true
		}
	}
	return false
}

// boostOf is a container's own boost, else the object's; nil where it has none.
func (v *VPA) boostOf(container string) *vpav1.GenericStartupBoost {
	b := v.StartupBoost
	if p := resourcepolicy.ContainerPolicy(v.Policy, container); p != nil && p.StartupBoost != nil {
		b = p.StartupBoost
	}
	if b == nil {
		return nil
	}
	return b.CPU
}

// boostAll works out the boosts. One that cannot be read leaves the whole pod
// alone, as upstream does.
func boostAll(t *turn) bool {
	if !t.s.Gates.CPUStartupBoost {
		return true
	}
	for i := range t.parts {
		p := &t.parts[i]
		cpu := t.s.VPA.boostOf(p.Name)
		if cpu == nil || resourcepolicy.Off(t.s.VPA.Policy, p.Name) {
			continue
		}
		base := p.was.Requests[corev1.ResourceCPU]
		if f := find(t.fitted, p.Name); f != nil {
			if q := f.Target[corev1.ResourceCPU]; !q.IsZero() {
				base = q
			}
		}
		request, how, err := raised(base, cpu)
		if err != nil {
			return t.stop(ReasonBoostInvalid, fmt.Sprintf("%s: %v: the pod is left alone", p.Name, err))
		}
		if most := t.s.MaxBoost; most != nil && !most.IsZero() && request.Cmp(*most) > 0 {
			request, how = *most, how+", at most "+most.String()
		}
		p.boost = &boost{was: p.was, request: request, only: resourcepolicy.RequestsOnly(t.s.VPA.Policy, p.Name)}
		t.step("cpu "+base.String(), "cpu "+request.String(), "Boosted",
			fmt.Sprintf("%s: %s until %ds after the pod is ready", p.Name, how, seconds(cpu.DurationSeconds)))
	}
	return true
}

// raised applies a boost to a request, in whole thousandths of a core.
func raised(base resource.Quantity, b *vpav1.GenericStartupBoost) (request resource.Quantity, how string, err error) {
	switch {
	case b.Type == vpav1.QuantityStartupBoostType && b.Quantity == nil:
		return base, "", fmt.Errorf("a startup boost of type %s needs a quantity", b.Type)
	case b.Type == vpav1.QuantityStartupBoostType:
		return *resource.NewMilliQuantity(base.MilliValue()+b.Quantity.MilliValue(), resource.DecimalSI), b.Quantity.String() + " of CPU more", nil
	case b.Type != "" && b.Type != vpav1.FactorStartupBoostType:
		return base, "", fmt.Errorf("startup boost of the unknown type %q", b.Type)
	case b.Factor == nil || *b.Factor < 1:
		return base, "", fmt.Errorf("a startup boost of type %s needs a factor of at least 1", vpav1.FactorStartupBoostType)
	}
	milli := int64(float64(base.MilliValue()) * float64(*b.Factor))
	return *resource.NewMilliQuantity(milli, resource.DecimalSI), fmt.Sprintf("CPU times %d", *b.Factor), nil
}

func seconds(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}

// over lays the boost over what is wanted otherwise.
func (b *boost) over(requests, limits corev1.ResourceList) (boostedRequests, boostedLimits corev1.ResourceList) {
	const cpu = corev1.ResourceCPU
	requests = over(requests, corev1.ResourceList{cpu: b.request})
	if b.only {
		if limit, limited := b.was.Limits[cpu]; limited && b.request.MilliValue() > limit.MilliValue() {
			requests[cpu] = below(limit)
		}
		return requests, limits
	}
	proportional, _ := resourcepolicy.ProportionalLimits(b.was, corev1.ResourceList{cpu: b.request}, nil)
	if limit, ok := proportional[cpu]; ok {
		return requests, over(limits, corev1.ResourceList{cpu: limit})
	}
	if limit, ok := limits[cpu]; ok && limit.Cmp(b.request) < 0 {
		// The limit of a LimitRange, in proportion to what is recommended: a pod that
		// requests more than its limit is none.
		return requests, over(limits, corev1.ResourceList{cpu: b.request})
	}
	return requests, limits
}

// below is a limit less 1m, so that a pod does not become Guaranteed for the time
// of its boost; limits up to 1m are kept.
func below(limit resource.Quantity) resource.Quantity {
	milli := resource.MustParse("1m")
	out := limit.DeepCopy()
	if limit.Cmp(milli) > 0 {
		out.Sub(milli)
	}
	return out
}

// boosted tells that the annotation of an earlier boost was believed.
func (p *part) boosted() bool {
	return p.Boosted != "" && (changes(p.Requests, p.was.Requests)+changes(p.Limits, p.was.Limits) > 0)
}

// beforeBoost is the container as its annotation says it was, or as it is where
// there is none.
func beforeBoost(c *Container) resourcepolicy.Container {
	if c.Boosted == "" {
		return c.Container
	}
	var was original
	if err := json.Unmarshal([]byte(c.Boosted), &was); err != nil {
		return c.Container
	}
	out := resourcepolicy.Container{Name: c.Name, Requests: others(c.Requests), Limits: others(c.Limits)}
	out.Requests, out.Limits = over(out.Requests, was.Requests), over(out.Limits, was.Limits)
	return out
}

// others are the resources that no boost's annotation holds.
func others(list corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, q := range list {
		if name != corev1.ResourceCPU && name != corev1.ResourceMemory {
			out[name] = q
		}
	}
	return out
}

// boostNotes are the annotations of the boosts that are not there yet.
func (t *turn) boostNotes() map[string]string {
	out := map[string]string{}
	for i := range t.parts {
		p := &t.parts[i]
		if p.boost == nil {
			continue
		}
		want, err := json.Marshal(original{Requests: controlled(p.was.Requests), Limits: controlled(p.was.Limits)})
		if err == nil && string(want) != p.Boosted {
			out[BoostAnnotation+p.Name] = string(want)
		}
	}
	return out
}

// controlled are CPU and memory of a list.
func controlled(list corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if q, ok := list[name]; ok {
			out[name] = q
		}
	}
	return out
}
