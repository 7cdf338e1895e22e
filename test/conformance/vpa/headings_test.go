package vpa

// Headings of docs/differences.md that explain what differs here.
const (
	headingUnknown  = "Unknown is not small."
	headingMissing  = "History stays while the target is missing."
	headingYoung    = "`LowConfidence` is set until a day of samples exists"
	headingAtMost   = "A kill at the maximum is told of"
	headingSeenKill = "A kill for memory that is seen at the start is learned"
	headingLastKill = "Of several kills of a container between two passes the last is learned."
	headingKind     = "Eviction tolerance of a controller of an unknown kind is taken of its live pods."
	headingAttempt  = "Each attempt of a resize in place has its own time"
	headingEmpty    = "A resize that would change nothing in the spec is not sent."
	headingInForce  = "In mode `InPlace` what is in force is not infeasible."
	headingNone     = "An object without a recommendation ends no updater."
	headingPanic    = "A LimitRange for pods invents no bounds"
	headingNotes    = "What the annotation `vpaUpdates` lists is sorted"
	headingClaims   = "`resources.claims` of a container are never wiped"
	headingOrder    = "Weights are added up in one order."
)

var headings = []string{headingUnknown, headingMissing, headingYoung, headingAtMost, headingSeenKill, headingLastKill, headingOrder,
	headingPanic, headingNotes, headingClaims, headingKind, headingAttempt, headingEmpty,
	headingInForce, headingNone}

// wanted is what has to happen somewhere, or nothing was compared of it.
var wanted = []string{
	"recommender: flags", "recommender: policy: Off", "recommender: policy: controlledResources", "recommender: policy: oomBumpUpRatio",
	"recommender: policy changes", "recommender: rollout", "recommender: pod comes", "recommender: pod goes", "recommender: pods end",
	"recommender: target is missing", "recommender: kill", "recommender: kill of a container that runs again",
	"recommender: pod without metrics", "recommender: restart from own checkpoints",
	"recommender: restart from the other's checkpoints", "recommender: restart without loss",
	"recommender: recommendation", "recommender: checkpoint", "recommender: LowConfidence",
	"recommender: NoPodsMatched", "recommender: ConfigUnsupported",
	"admission: a zero", "admission: a fraction of a byte", "admission: annotations of before", "admission: init containers and sidecars",
	"admission: no resources", "admission: limits without requests", "admission: limits that are requests", "admission: another resource",
	"admission: update mode ", "admission: update mode Off", "admission: update mode Initial", "admission: update mode Recreate",
	"admission: update mode Auto", "admission: update mode InPlaceOrRecreate", "admission: update mode InPlace",
	"admission: no recommendation", "admission: a recommendation without bounds", "admission: a resource without a name",
	"admission: policy: Off", "admission: policy: RequestsOnly", "admission: policy: RequestsAndLimits",
	"admission: LimitRange of type Container", "admission: LimitRange of type Pod", "admission: patched",
	"updater: flags", "updater: minReplicas of the object", "updater: evictionRequirements", "updater: no controller", "updater: a pending pod",
	"updater: a pod without a node", "updater: a pod that ended", "updater: a pod that is deleted", "updater: observed containers",
	"updater: kill", "updater: recommendation changes", "updater: evict",
	"updater: resize", "updater: a resize is Deferred", "updater: a resize is Infeasible", "updater: a resize is InProgress", "updater: a resize is Error",
	"updater: a resize is done",
}
