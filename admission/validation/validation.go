// Package validation tells what is wrong with a VerticalPodAutoscaler, by field,
// beyond what its schema says. It is pure and the rules are upstream's: fields of
// alpha features are refused unless the feature is on, and what an object has
// already it may keep. It does not look at other objects.
package validation

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"

	"github.com/quartet-autoscaling/quartet/internal/vertical/features"
)

// modes are the update modes, in the order in which errors list them.
var modes = []vpav1.UpdateMode{
	vpav1.UpdateModeOff, vpav1.UpdateModeInitial, vpav1.UpdateModeRecreate, vpav1.UpdateModeInPlaceOrRecreate, vpav1.UpdateModeInPlace, "Auto",
}

// Validate gives warnings and errors. old is nil for an object that is made, and
// gates are the features that are on.
func Validate(vpa, old *vpav1.VerticalPodAutoscaler, gates features.Gates) (warnings []string, errs field.ErrorList) {
	v := &validator{kept: keptOf(old)}
	v.kept.boost = v.kept.boost || gates.CPUStartupBoost
	v.kept.tuning = v.kept.tuning || gates.PerVPAConfig
	v.kept.inPlace = v.kept.inPlace || gates.InPlace
	spec, at := &vpa.Spec, field.NewPath("spec")
	if spec.TargetRef == nil && old == nil {
		v.errs = append(v.errs, field.Required(at.Child("targetRef"), "it names what is to be scaled"))
	}
	if spec.UpdatePolicy != nil {
		v.updatePolicy(spec.UpdatePolicy, at.Child("updatePolicy"))
	}
	if spec.ResourcePolicy != nil {
		for i := range spec.ResourcePolicy.ContainerPolicies {
			v.containerPolicy(&spec.ResourcePolicy.ContainerPolicies[i], at.Child("resourcePolicy", "containerPolicies").Index(i))
		}
	}
	v.startupBoost(spec.StartupBoost, at.Child("startupBoost"))
	if n := len(spec.Recommenders); n > 1 {
		v.errs = append(v.errs, field.TooMany(at.Child("recommenders"), n, 1))
	}
	return v.warnings, v.errs
}

type validator struct {
	kept     kept
	warnings []string
	errs     field.ErrorList
}

// kept is what an object may have: what it has already, and what a gate allows.
type kept struct {
	boost, tuning, inPlace bool
	resources              map[corev1.ResourceName]bool
}

func keptOf(old *vpav1.VerticalPodAutoscaler) kept {
	k := kept{resources: map[corev1.ResourceName]bool{}}
	if old == nil {
		return k
	}
	k.boost = old.Spec.StartupBoost != nil && old.Spec.StartupBoost.CPU != nil
	if p := old.Spec.UpdatePolicy; p != nil {
		k.tuning = p.EvictAfterOOMSeconds != nil
		k.inPlace = p.UpdateMode != nil && *p.UpdateMode == vpav1.UpdateModeInPlace
	}
	if p := old.Spec.ResourcePolicy; p != nil {
		for _, c := range p.ContainerPolicies {
			k.boost = k.boost || c.StartupBoost != nil
			k.tuning = k.tuning || c.OOMBumpUpRatio != nil || c.OOMMinBumpUp != nil ||
				c.MemoryAggregationIntervalCount != nil || c.MemoryAggregationIntervalSeconds != nil
			if c.ControlledResources != nil {
				for _, name := range *c.ControlledResources {
					k.resources[name] = true
				}
			}
		}
	}
	return k
}

func (v *validator) updatePolicy(p *vpav1.PodUpdatePolicy, at *field.Path) {
	switch mode := p.UpdateMode; {
	case mode == nil:
		v.errs = append(v.errs, field.Required(at.Child("updateMode"), "updateMode is required if UpdatePolicy is used"))
	case !slices.Contains(modes, *mode):
		v.errs = append(v.errs, field.NotSupported(at.Child("updateMode"), *mode, modes))
	case *mode == "Auto":
		v.warnings = append(v.warnings, fmt.Sprintf("%s: mode Auto is deprecated, and does what Recreate does", at.Child("updateMode")))
	case *mode == vpav1.UpdateModeInPlace && !v.kept.inPlace:
		v.errs = append(v.errs, field.Forbidden(at.Child("updateMode"), off(features.InPlace)))
	}
	if n := p.MinReplicas; n != nil && *n <= 0 {
		v.errs = append(v.errs, field.Invalid(at.Child("minReplicas"), *n, "minReplicas has to be positive"))
	}
	v.tuned(at.Child("evictAfterOOMSeconds"), p.EvictAfterOOMSeconds != nil, func() bool { return *p.EvictAfterOOMSeconds >= 1 }, "must be at least 1")
}

// off says what would have to be done for a field to be taken.
func off(gate string) string {
	return "the feature gate " + gate + " of the admission webhook is off"
}

// tuned judges a field of the alpha feature PerVPAConfig.
func (v *validator) tuned(at *field.Path, set bool, valid func() bool, otherwise string) {
	switch {
	case !set:
	case !v.kept.tuning:
		v.errs = append(v.errs, field.Forbidden(at, off(features.PerVPAConfig)))
	case !valid():
		v.errs = append(v.errs, field.Invalid(at, "", otherwise))
	}
}

func (v *validator) containerPolicy(p *vpav1.ContainerResourcePolicy, at *field.Path) {
	if p.ContainerName == "" {
		v.errs = append(v.errs, field.Required(at.Child("containerName"), "a container's name, or *"))
	}
	scaling := []vpav1.ContainerScalingMode{vpav1.ContainerScalingModeAuto, vpav1.ContainerScalingModeOff}
	if p.Mode != nil && !slices.Contains(scaling, *p.Mode) {
		v.errs = append(v.errs, field.NotSupported(at.Child("mode"), *p.Mode, scaling))
	}
	v.bounds(p, at)
	if p.Mode != nil && *p.Mode == vpav1.ContainerScalingModeOff &&
		p.ControlledValues != nil && *p.ControlledValues == vpav1.ContainerControlledValuesRequestsAndLimits {
		v.errs = append(v.errs, field.Forbidden(at.Child("controlledValues"), "controlledValues shouldn't be specified if container scaling mode is off"))
	}
	if p.ControlledResources != nil {
		v.controlled(*p.ControlledResources, at.Child("controlledResources"))
	}
	v.tuned(at.Child("oomBumpUpRatio"), p.OOMBumpUpRatio != nil, func() bool { return p.OOMBumpUpRatio.MilliValue() >= 1000 }, "must be at least 1")
	v.tuned(at.Child("oomMinBumpUp"), p.OOMMinBumpUp != nil, func() bool { return p.OOMMinBumpUp.Value() >= 0 }, "must be at least 0")
	v.tuned(at.Child("memoryAggregationIntervalSeconds"), p.MemoryAggregationIntervalSeconds != nil,
		func() bool { return *p.MemoryAggregationIntervalSeconds >= 1 }, "must be at least 1")
	v.tuned(at.Child("memoryAggregationIntervalCount"), p.MemoryAggregationIntervalCount != nil,
		func() bool { return *p.MemoryAggregationIntervalCount >= 1 }, "must be at least 1")
	v.startupBoost(p.StartupBoost, at.Child("startupBoost"))
}

func (v *validator) bounds(p *vpav1.ContainerResourcePolicy, at *field.Path) {
	for _, name := range slices.Sorted(maps.Keys(p.MinAllowed)) {
		least := p.MinAllowed[name]
		v.whole(at.Child("minAllowed").Key(string(name)), name, least)
		if most, set := p.MaxAllowed[name]; set && most.Cmp(least) < 0 {
			v.errs = append(v.errs, field.Invalid(at.Child("maxAllowed").Key(string(name)), most.String(),
				fmt.Sprintf("is below minAllowed, which is %s", least.String())))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.MaxAllowed)) {
		v.whole(at.Child("maxAllowed").Key(string(name)), name, p.MaxAllowed[name])
	}
}

// whole refuses fractions that no container can request.
func (v *validator) whole(at *field.Path, name corev1.ResourceName, q resource.Quantity) {
	scale, what := resource.Scale(0), "must be a whole number of bytes"
	switch name {
	case corev1.ResourceCPU:
		scale, what = resource.Milli, "must be a whole number of milli CPUs"
	case corev1.ResourceMemory:
	default:
		return
	}
	if _, exact := q.AsScale(scale); !exact {
		v.errs = append(v.errs, field.Invalid(at, q.String(), what))
	}
}

func (v *validator) controlled(names []corev1.ResourceName, at *field.Path) {
	supported := []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}
	for i, name := range names {
		switch {
		case slices.Contains(supported, name):
		case v.kept.resources[name]:
			v.warnings = append(v.warnings, fmt.Sprintf("%s: %q is not supported, and kept because the object has it already", at.Index(i), name))
		default:
			v.errs = append(v.errs, field.NotSupported(at.Index(i), name, supported))
		}
	}
}

func (v *validator) startupBoost(b *vpav1.StartupBoost, at *field.Path) {
	if b == nil {
		return
	}
	if !v.kept.boost {
		v.errs = append(v.errs, field.Forbidden(at, off(features.CPUStartupBoost)))
		return
	}
	if b.CPU == nil {
		return
	}
	cpu, at := b.CPU, at.Child("cpu")
	kinds := []vpav1.StartupBoostType{vpav1.FactorStartupBoostType, vpav1.QuantityStartupBoostType}
	switch cpu.Type {
	case "":
		v.errs = append(v.errs, field.Required(at.Child("type"), "must be either Factor or Quantity"))
	case vpav1.FactorStartupBoostType:
		if cpu.Factor == nil {
			v.errs = append(v.errs, field.Required(at.Child("factor"), "required when type is Factor"))
		} else if *cpu.Factor < 1 {
			v.errs = append(v.errs, field.Invalid(at.Child("factor"), *cpu.Factor, "must be >= 1 for type Factor"))
		}
	case vpav1.QuantityStartupBoostType:
		if cpu.Quantity == nil {
			v.errs = append(v.errs, field.Required(at.Child("quantity"), "required when type is Quantity"))
		} else {
			v.whole(at.Child("quantity"), corev1.ResourceCPU, *cpu.Quantity)
		}
	default:
		v.errs = append(v.errs, field.NotSupported(at.Child("type"), cpu.Type, kinds))
	}
}
