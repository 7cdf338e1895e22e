package validation_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	"sigs.k8s.io/yaml"

	"github.com/quartet-autoscaling/quartet/admission/validation"
	"github.com/quartet-autoscaling/quartet/internal/vertical/features"
)

func object(t *testing.T, spec string) *vpav1.VerticalPodAutoscaler {
	t.Helper()
	vpa := &vpav1.VerticalPodAutoscaler{}
	vpa.Spec.TargetRef = &autoscalingv1.CrossVersionObjectReference{Kind: "Deployment", Name: "web"}
	if err := yaml.UnmarshalStrict([]byte(spec), &vpa.Spec); err != nil {
		t.Fatal(err)
	}
	return vpa
}

func TestValidateNamesTheField(t *testing.T) {
	policy := "resourcePolicy: {containerPolicies: [{containerName: app, "
	const tuning = "oomBumpUpRatio: 1500m, oomMinBumpUp: 1Mi, memoryAggregationIntervalSeconds: 60, memoryAggregationIntervalCount: 3}]}"
	var tuned []string
	for _, name := range []string{"oomBumpUpRatio", "oomMinBumpUp", "memoryAggregationIntervalSeconds", "memoryAggregationIntervalCount"} {
		tuned = append(tuned, "spec.resourcePolicy.containerPolicies[0]."+name)
	}
	tests := map[string]struct {
		spec, old string
		update    bool
		gates     features.Gates
		want      []string
		warnings  int
	}{
		"nothing but a target":              {},
		"no target":                         {spec: "targetRef: null", want: []string{"spec.targetRef"}},
		"no target any more":                {spec: "targetRef: null", update: true},
		"a mode that is unknown":            {spec: "updatePolicy: {updateMode: Sometimes}", want: []string{"spec.updatePolicy.updateMode"}},
		"a policy without a mode":           {spec: "updatePolicy: {minReplicas: 1}", want: []string{"spec.updatePolicy.updateMode"}},
		"the mode Auto":                     {spec: "updatePolicy: {updateMode: Auto}", warnings: 1},
		"the mode InPlace":                  {spec: "updatePolicy: {updateMode: InPlace}", want: []string{"spec.updatePolicy.updateMode"}},
		"the mode InPlace as before":        {spec: "updatePolicy: {updateMode: InPlace}", old: "updatePolicy: {updateMode: InPlace}", update: true},
		"no replicas":                       {spec: "updatePolicy: {updateMode: Recreate, minReplicas: 0}", want: []string{"spec.updatePolicy.minReplicas"}},
		"an alpha field":                    {spec: "updatePolicy: {updateMode: Recreate, evictAfterOOMSeconds: 5}", want: []string{"spec.updatePolicy.evictAfterOOMSeconds"}},
		"maximum below minimum":             {spec: policy + "minAllowed: {cpu: 2}, maxAllowed: {cpu: 1}}]}", want: []string{"spec.resourcePolicy.containerPolicies[0].maxAllowed[cpu]"}},
		"a fraction of a milli CPU":         {spec: policy + "minAllowed: {cpu: 100u}}]}", want: []string{"spec.resourcePolicy.containerPolicies[0].minAllowed[cpu]"}},
		"a fraction of a byte":              {spec: policy + "maxAllowed: {memory: 100m}}]}", want: []string{"spec.resourcePolicy.containerPolicies[0].maxAllowed[memory]"}},
		"no container":                      {spec: "resourcePolicy: {containerPolicies: [{mode: Auto}]}", want: []string{"spec.resourcePolicy.containerPolicies[0].containerName"}},
		"a scaling mode that is not":        {spec: policy + "mode: On}]}", want: []string{"spec.resourcePolicy.containerPolicies[0].mode"}},
		"values of what is off":             {spec: policy + "mode: 'Off', controlledValues: RequestsAndLimits}]}", want: []string{"spec.resourcePolicy.containerPolicies[0].controlledValues"}},
		"a resource that is not":            {spec: policy + "controlledResources: [cpu, gpu]}]}", want: []string{"spec.resourcePolicy.containerPolicies[0].controlledResources[1]"}},
		"a resource kept":                   {spec: policy + "controlledResources: [gpu]}]}", old: policy + "controlledResources: [gpu]}]}", update: true, warnings: 1},
		"a startup boost":                   {spec: "startupBoost: {cpu: {type: Factor, factor: 2}}", want: []string{"spec.startupBoost"}},
		"a startup boost of a half":         {spec: "startupBoost: {cpu: {type: Factor, factor: 0}}", old: "startupBoost: {cpu: {type: Factor, factor: 2}}", update: true, want: []string{"spec.startupBoost.cpu.factor"}},
		"the mode InPlace by its gate":      {spec: "updatePolicy: {updateMode: InPlace}", gates: features.Gates{InPlace: true}},
		"a startup boost by its gate":       {spec: "startupBoost: {cpu: {type: Factor, factor: 2}}", gates: features.Gates{CPUStartupBoost: true}},
		"a wrong startup boost by its gate": {spec: "startupBoost: {cpu: {type: Quantity, quantity: 1u}}", gates: features.Gates{CPUStartupBoost: true}, want: []string{"spec.startupBoost.cpu.quantity"}},
		"tuning":                            {spec: policy + tuning, want: tuned},
		"tuning by its gate":                {spec: policy + tuning, gates: features.Gates{PerVPAConfig: true}},
		"tuning by another gate":            {spec: policy + tuning, gates: features.Gates{InPlace: true, CPUStartupBoost: true}, want: tuned},
		"more tuning where there is some":   {spec: policy + tuning, old: policy + "oomMinBumpUp: 1Mi}]}", update: true},
		"wrong tuning by its gate":          {spec: policy + "oomBumpUpRatio: 999m, oomMinBumpUp: -1, memoryAggregationIntervalSeconds: 0, memoryAggregationIntervalCount: 0}]}", gates: features.Gates{PerVPAConfig: true}, want: tuned},
		"two recommenders":                  {spec: "recommenders: [{name: a}, {name: b}]", want: []string{"spec.recommenders"}},
		"two faults in two containers":      {spec: "resourcePolicy: {containerPolicies: [{containerName: ''}, {containerName: ''}]}", want: []string{"spec.resourcePolicy.containerPolicies[0].containerName", "spec.resourcePolicy.containerPolicies[1].containerName"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var old *vpav1.VerticalPodAutoscaler
			if tc.update {
				old = object(t, tc.old)
			}
			warnings, errs := validation.Validate(object(t, tc.spec), old, tc.gates)
			var fields []string
			for _, err := range errs {
				fields = append(fields, err.Field)
			}
			if diff := cmp.Diff(tc.want, fields); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			if len(warnings) != tc.warnings {
				t.Errorf("warnings %q, want %d", warnings, tc.warnings)
			}
		})
	}
}
