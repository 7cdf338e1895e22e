package vpa

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
	vpatyped "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/client/clientset/versioned/typed/autoscaling.k8s.io/v1"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/checkpoint"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/input/oom"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/input/spec"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/logic"
	"k8s.io/autoscaler/vertical-pod-autoscaler/pkg/recommender/model"
	controllerfetcher "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/target/controller_fetcher"
	vpautil "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/utils/vpa"
	corelister "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/quartet-autoscaling/quartet/recommender/estimator"
)

func reference(kind, name string) *autoscalingv1.CrossVersionObjectReference {
	return &autoscalingv1.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: kind, Name: name}
}

// theirs is upstream's recommender on the cluster: its model of the cluster, its
// observer of kills, its estimators and its writer of checkpoints. The packages
// that feed the model and join the steps do not build beside this module's
// Prometheus client, so that the loop is here, step by step as theirs.
type theirs struct {
	t *testing.T
	c *cluster
	// status is each object's, checkpoints are by name: what was written.
	status      map[string]vpav1.VerticalPodAutoscalerStatus
	checkpoints map[string]*vpav1.VerticalPodAutoscalerCheckpoint

	pods     cache.Indexer
	specs    spec.SpecClient
	state    model.ClusterState
	observer oom.Observer
	writer   checkpoint.CheckpointWriter
	// keeps tells that nothing is forgotten: upstream forgets kills of a pod that was
	// never measured.
	keeps bool
	// gone are pods that are to be dropped at the end of the turn.
	gone []model.PodID
}

func newTheirs(t *testing.T, c *cluster) *theirs {
	u := &theirs{t: t, c: c, status: map[string]vpav1.VerticalPodAutoscalerStatus{}, checkpoints: map[string]*vpav1.VerticalPodAutoscalerCheckpoint{}}
	u.begin()
	return u
}

// begin makes the recommender anew from the checkpoints.
func (u *theirs) begin() {
	u.t.Helper()
	u.pods = cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	u.specs = spec.NewSpecClient(corelister.NewPodLister(u.pods))
	u.state, u.observer = model.NewClusterState(time.Hour), oom.NewObserver()
	u.writer = checkpoint.NewCheckpointWriter(u.state, checkpointClients{u: u})
	u.loadVPAs()
	for _, o := range u.checkpoints {
		learned := model.NewAggregateContainerState()
		u.must(learned.LoadFromCheckpoint(&o.Status))
		if v := u.state.VPAs()[modelID(o.Spec.VPAObjectName)]; v != nil {
			v.ContainersInitialAggregateState[o.Spec.ContainerName] = learned
		}
	}
}

func (u *theirs) must(err error) {
	u.t.Helper()
	if err != nil {
		u.t.Fatal(err)
	}
}

// turn runs the main loop once.
func (u *theirs) turn() {
	u.t.Helper()
	for _, change := range u.c.updates {
		u.observer.OnUpdate(change.before, change.after)
	}
	u.loadVPAs()
	u.loadPods()
	u.loadUsage()
	for _, id := range u.gone {
		u.state.DeletePod(id)
	}
	for _, v := range u.c.vpas {
		u.update(v)
	}
	u.writer.StoreCheckpoints(u.t.Context(), 1)
	if !u.keeps {
		u.state.RateLimitedGarbageCollectAggregateCollectionStates(u.t.Context(), time.Now(), parents{})
	}
}

func (u *theirs) loadVPAs() {
	u.t.Helper()
	for _, v := range u.c.vpas {
		shown := *v
		shown.Status = u.status[v.Name]
		selector := labels.Nothing()
		a := u.c.target(v)
		if a.lost == 0 {
			selector = labels.SelectorFromSet(labels.Set{"app": a.name})
		}
		u.must(u.state.AddOrUpdateVpa(&shown, selector))
		of := u.state.VPAs()[modelID(v.Name)]
		of.DeleteCondition(vpav1.ConfigDeprecated)
		if a.lost == 0 {
			of.DeleteCondition(vpav1.ConfigUnsupported)
			continue
		}
		of.SetCondition(vpav1.ConfigUnsupported, true, "", "Cannot read targetRef. Reason: "+errMissing.Error())
	}
}

func (u *theirs) loadPods() {
	u.t.Helper()
	var pods []any
	for _, pod := range u.c.pods() {
		pods = append(pods, pod)
	}
	u.must(u.pods.Replace(pods, ""))
	found, err := u.specs.GetPodSpecs()
	u.must(err)
	there := map[model.PodID]bool{}
	for _, pod := range found {
		there[pod.ID] = true
		u.state.AddOrUpdatePod(pod.ID, pod.PodLabels, pod.Phase)
		for _, c := range pod.Containers {
			u.must(u.state.AddOrUpdateContainer(c.ID, c.Request))
		}
		var inits []string
		for _, c := range pod.InitContainers {
			inits = append(inits, c.ID.ContainerName)
		}
		u.must(u.state.SetInitContainers(pod.ID, inits))
	}
	u.gone = nil
	for id := range u.state.Pods() {
		if !there[id] {
			u.gone = append(u.gone, id)
		}
	}
}

// loadUsage adds samples, and after them the kills. What the model refuses, ours
// has to refuse too.
func (u *theirs) loadUsage() {
	u.t.Helper()
	for _, m := range u.c.usage {
		for _, container := range m.Containers {
			id := model.ContainerID{PodID: model.PodID{Namespace: m.Namespace, PodName: m.Name}, ContainerName: container.Name}
			if pod := u.state.Pods()[id.PodID]; pod == nil || slices.Contains(pod.InitContainers, container.Name) {
				continue
			}
			for name, amount := range map[model.ResourceName]int64{
				model.ResourceCPU: container.Usage.Cpu().MilliValue(), model.ResourceMemory: container.Usage.Memory().Value(),
			} {
				_ = u.state.AddSample(&model.ContainerUsageSampleWithKey{Container: id, ContainerUsageSample: model.ContainerUsageSample{
					MeasureStart: m.Timestamp.Time, Usage: model.ResourceAmount(amount), Resource: name,
				}})
			}
		}
	}
	for {
		select {
		case kill := <-u.observer.GetObservedOomsChannel():
			_ = u.state.RecordOOM(kill.ContainerID, kill.Timestamp, kill.Memory)
		default:
			return
		}
	}
}

// update estimates, and writes the status of one object.
func (u *theirs) update(v *vpav1.VerticalPodAutoscaler) {
	u.t.Helper()
	of := u.state.VPAs()[modelID(v.Name)]
	of.UpdateRecommendation(u.near(v, 0))
	of.UpdateConditions(of.PodCount > 0)
	old := u.status[v.Name]
	_, err := vpautil.UpdateVpaStatusIfNeeded(vpaClients{u: u}, v.Name, of.AsStatus(), &old)
	u.must(err)
}

// logic is what estimates. off moves the percentiles by a part.
func (u *theirs) logic(off float64) logic.PodResourceRecommender {
	c := u.c.options.Rules
	moved := func(p float64) float64 { return p * (1 + off) }
	return logic.CreatePodResourceRecommender(logic.RecommendationConfig{
		SafetyMarginFraction: c.Margin, PodMinCPUMillicores: c.MinCPUMillicores, PodMinMemoryMb: c.MinMemoryMb,
		TargetCPUPercentile: moved(c.CPU.Target), LowerBoundCPUPercentile: moved(c.CPU.Lower), UpperBoundCPUPercentile: moved(c.CPU.Upper),
		ConfidenceIntervalCPU:  c.CPU.Confidence,
		TargetMemoryPercentile: moved(c.Memory.Target), LowerBoundMemoryPercentile: moved(c.Memory.Lower),
		UpperBoundMemoryPercentile: moved(c.Memory.Upper), ConfidenceIntervalMemory: c.Memory.Confidence,
	})
}

func (u *theirs) format() logic.RecommendationFormat {
	c := u.c.options.Rules
	return logic.RecommendationFormat{RoundCPUMillicores: int(c.CPU.Round), RoundMemoryBytes: int(c.Memory.Round)}
}

// near is what would be recommended if the percentiles were off by the part.
func (u *theirs) near(v *vpav1.VerticalPodAutoscaler, off float64) *vpav1.RecommendedPodResources {
	u.t.Helper()
	on := model.ContainerNameToAggregateStateMap{}
	of := u.state.VPAs()[modelID(v.Name)]
	for name, learned := range of.AggregateStateByContainerName() {
		policy := vpautil.GetContainerResourcePolicy(name, v.Spec.ResourcePolicy)
		if policy != nil && policy.Mode != nil && *policy.Mode == vpav1.ContainerScalingModeOff {
			continue
		}
		learned.UpdateFromPolicy(policy)
		on[name] = learned
	}
	list := logic.MapToListOfRecommendedContainerResources(u.logic(off).GetRecommendedPodResources(on), u.format())
	capped, err := vpautil.ApplyVPAPolicy(list, v.Spec.ResourcePolicy, u.most())
	u.must(err)
	return capped
}

// most is what the flags allow containers whose policy states no maximum.
func (u *theirs) most() corev1.ResourceList {
	most := corev1.ResourceList{}
	if q := u.c.options.MaxCPU.Quantity; !q.IsZero() {
		most[corev1.ResourceCPU] = q
	}
	if q := u.c.options.MaxMemory.Quantity; !q.IsZero() {
		most[corev1.ResourceMemory] = q
	}
	return most
}

func modelID(name string) model.VpaID { return model.VpaID{Namespace: namespace, VpaName: name} }

var errMissing = errors.New("no such Deployment shop/app")

// parents says that every controller is at the top.
type parents struct{}

func (parents) FindTopMostWellKnownOrScalable(_ context.Context, key *controllerfetcher.ControllerKeyWithAPIVersion) (*controllerfetcher.ControllerKeyWithAPIVersion, error) {
	return key, nil
}

func (parents) Start(context.Context, time.Duration) {}

// vpaClients write into theirs.
type vpaClients struct {
	vpatyped.VerticalPodAutoscalerInterface
	u *theirs
}

func (c vpaClients) VerticalPodAutoscalers(string) vpatyped.VerticalPodAutoscalerInterface { return c }

func (c vpaClients) Patch(_ context.Context, name string, _ types.PatchType, data []byte, _ metav1.PatchOptions, _ ...string) (*vpav1.VerticalPodAutoscaler, error) {
	var operations []struct {
		Value vpav1.VerticalPodAutoscalerStatus
	}
	if err := json.Unmarshal(data, &operations); err != nil {
		return nil, err
	}
	c.u.status[name] = operations[0].Value
	return nil, nil
}

type checkpointClients struct {
	vpatyped.VerticalPodAutoscalerCheckpointInterface
	u *theirs
}

func (c checkpointClients) VerticalPodAutoscalerCheckpoints(string) vpatyped.VerticalPodAutoscalerCheckpointInterface {
	return c
}

func (c checkpointClients) Patch(_ context.Context, name string, _ types.PatchType, data []byte, _ metav1.PatchOptions, _ ...string) (*vpav1.VerticalPodAutoscalerCheckpoint, error) {
	o := c.u.checkpoints[name]
	if o == nil {
		return nil, fmt.Errorf("%q not found", name)
	}
	var operations []struct {
		Value vpav1.VerticalPodAutoscalerCheckpointStatus
	}
	if err := json.Unmarshal(data, &operations); err != nil {
		return nil, err
	}
	o.Status = operations[0].Value
	return o, nil
}

func (c checkpointClients) Create(_ context.Context, o *vpav1.VerticalPodAutoscalerCheckpoint, _ metav1.CreateOptions) (*vpav1.VerticalPodAutoscalerCheckpoint, error) {
	created := o.DeepCopy()
	created.Namespace = namespace
	through(&o.Status, &created.Status)
	c.u.checkpoints[o.Name] = created
	return created, nil
}

// through passes a value through JSON, as the API server does.
func through[T any](from, to *T) {
	raw, err := json.Marshal(from)
	if err == nil {
		var fresh T
		if err = json.Unmarshal(raw, &fresh); err == nil {
			*to = fresh
		}
	}
	if err != nil {
		panic(fmt.Sprintf("%T does not survive JSON: %v", from, err))
	}
}

// config is what ours decides by.
func (c *cluster) config() estimator.Config { return view(c).Config() }
