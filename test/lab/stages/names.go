package stages

// Annotations or labels of a node; where it has both, the annotation counts. Labels are read because a NodePool's
// template carries nothing else.
const (
	// BootSeconds is how long after its creation a node becomes Ready, in whole seconds, or Never. Default: at once.
	BootSeconds = "lab.quartet.dev/boot-seconds"
	// DeletionSeconds is how long a node stays after its deletion was asked for, in whole seconds, or Never: until
	// Hold is taken off. Default: it goes at once.
	DeletionSeconds = "lab.quartet.dev/deletion-seconds"
	// Never is the value of both for what does not happen.
	Never = "never"
)

// Hold is the finalizer that keeps a node whose deletion takes time.
const Hold = "lab.quartet.dev/hold"

// Annotations of a pod.
const (
	// Resize makes the node refuse to resize the pod's containers in place: Deferred or Infeasible. Taken off, the
	// resize goes on.
	Resize = "lab.quartet.dev/resize"
	// ResizeDelay is how long a resize takes, as 1500ms or 2s. Default: 300ms.
	ResizeDelay = "lab.quartet.dev/resize-delay"
)
