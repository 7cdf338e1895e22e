package fit

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/quartet-autoscaling/quartet/internal/resourcepolicy"
)

// Block is one thing that keeps a change from being made. Object is what blocks,
// as ResourceQuota compute; Message says how, and which change would help.
type Block struct {
	Reason  string `json:"reason"`
	Object  string `json:"object,omitempty"`
	Message string `json:"message"`
}

// Reasons of a block.
const (
	ReasonUnknown    = "FitUnknown"
	ReasonQuota      = "OverQuota"
	ReasonLimitRange = "OutsideLimitRange"
	ReasonQoS        = "QoSWouldChange"
	ReasonNoRoom     = "NoRoom"
)

// Place is where a pod would go: a node that is there, or a new one of a pool.
// Both are empty where the pod asks for no node, as one that blocks.
type Place struct {
	Node string `json:"node,omitempty"`
	Pool string `json:"pool,omitempty"`
}

// Room is what is left of a cluster while changes are planned one after the other.
type Room struct {
	cluster Cluster
	nodes   []Node
	pools   []Pool
	used    []Amounts
}

// NewRoom begins with a cluster as it is. The cluster is not changed.
func NewRoom(c Cluster) *Room {
	r := &Room{cluster: c, nodes: slices.Clone(c.Nodes), pools: slices.Clone(c.Pools)}
	for _, q := range c.Quotas {
		r.used = append(r.used, q.Used)
	}
	return r
}

// Ask tells where the pod would go after the change, or everything that blocks it,
// in the order in which the API server and the scheduler would look.
func (r *Room) Ask(c Change) (Place, []Block) {
	if r.cluster.Unknown != "" {
		return Place{}, []Block{{Reason: ReasonUnknown, Message: r.cluster.Unknown}}
	}
	var blocks []Block
	if before, after := c.QoSChange(); before != after {
		blocks = append(blocks, qosBlock(before, after))
	}
	blocks = append(blocks, r.ranges(c)...)
	blocks = append(blocks, r.quotas(c)...)
	place, block := r.place(c)
	if block != nil {
		blocks = append(blocks, *block)
	}
	if len(blocks) > 0 {
		return Place{}, blocks
	}
	return place, nil
}

// Taken is what one change takes of the room: of a node, or of a pool one node, and
// of quotas by their names.
type Taken struct {
	Place
	Requests Amounts            `json:"requests,omitempty"`
	Quotas   map[string]Amounts `json:"quotas,omitempty"`
}

// Take takes what the change needs at the place that Ask gave.
func (r *Room) Take(c Change, at Place) Taken {
	taken := Taken{Place: at}
	for _, q := range r.cluster.Quotas {
		if counts := c.counts(q); len(counts) > 0 {
			if taken.Quotas == nil {
				taken.Quotas = map[string]Amounts{}
			}
			taken.Quotas[q.Name] = counts
		}
	}
	need := c.requests().add(Amounts{corev1.ResourcePods: 1})
	if c.Manner == InPlace {
		need = c.requests().less(c.Requests)
	} else if c.Manner == Replace && at.Node != "" && at.Node == c.Node {
		need = need.less(c.Requests).less(Amounts{corev1.ResourcePods: 1})
	}
	taken.Requests = need
	r.take(taken)
	return taken
}

func (r *Room) take(taken Taken) {
	for i, q := range r.cluster.Quotas {
		r.used[i] = r.used[i].add(taken.Quotas[q.Name])
	}
	for i := range r.nodes {
		if taken.Node != "" && r.nodes[i].Name == taken.Node {
			r.nodes[i].Free = r.nodes[i].Free.less(taken.Requests)
		}
	}
	for i := range r.pools {
		if taken.Pool != "" && r.pools[i].Name == taken.Pool {
			r.pools[i].Nodes++ // one for each pod: never too few
		}
	}
}

// Less is the cluster after what was taken of it, as far as it does not show yet.
// The cluster is not changed.
func (c Cluster) Less(all []Taken) Cluster {
	r := NewRoom(c)
	for _, taken := range all {
		r.take(taken)
	}
	c.Nodes, c.Pools, c.Quotas = r.nodes, r.pools, slices.Clone(c.Quotas)
	for i := range c.Quotas {
		c.Quotas[i].Used = r.used[i]
	}
	return c
}

func qosBlock(before, after corev1.PodQOSClass) Block {
	return Block{
		Reason: ReasonQoS, Object: "QoS class " + string(before),
		Message: fmt.Sprintf("the pod's QoS class would change from %s to %s: give the template requests and limits of the class that is wanted, or controlledValues RequestsAndLimits", before, after),
	}
}

// ranges holds the containers, and the pod, against the LimitRanges.
func (r *Room) ranges(c Change) []Block {
	var out []Block
	for _, limits := range r.cluster.Ranges {
		if limits.Type == corev1.LimitTypePod {
			all := slices.Concat(c.After, c.Fixed)
			out = append(out, limits.block("the pod", sums(all, requestsOf), sums(all, limitsOf))...)
			continue
		}
		for _, container := range c.After {
			out = append(out, limits.block("container "+container.Name, scaled(container.Requests), scaled(container.Limits))...)
		}
	}
	return out
}

// block tells what of one container or pod is outside the range.
func (l Range) block(who string, requests, limits Amounts) []Block {
	var out []Block
	say := func(format string, args ...any) {
		out = append(out, Block{
			Reason: ReasonLimitRange, Object: "LimitRange " + l.Name,
			Message: fmt.Sprintf("LimitRange %s: %s would ", l.Name, who) + fmt.Sprintf(format, args...),
		})
	}
	for _, name := range both {
		request, limit := requests[name], limits[name]
		if most, ok := l.Max[name]; ok {
			if highest := max(request, limit); highest > most {
				say("have %s %s, above its max %s: lower maxAllowed, or raise the max by %s", name, text(name, highest), text(name, most), text(name, highest-most))
			}
		}
		if least, ok := l.Min[name]; ok && request > 0 && request < least {
			say("request %s %s, below its min %s: raise minAllowed, or lower the min by %s", name, text(name, request), text(name, least), text(name, least-request))
		}
		// In floating point, since a product of bytes and thousands may be too large.
		if ratio, ok := l.Ratio[name]; ok && request > 0 && limit > 0 && float64(limit)*1000 > float64(float64(request)*float64(ratio)) {
			say("have a limit of %s %s for a request of %s, above its maxLimitRequestRatio: lower the limit of the template", name, text(name, limit), text(name, request))
		}
	}
	return out
}

// counts is by how much the change moves what a quota has counted.
func (c Change) counts(q Quota) Amounts {
	out := Amounts{}
	if q.matches(c, c.After) {
		out = c.usage(c.After)
	}
	if c.Manner != Surge && q.matches(c, c.Before) {
		out = out.less(c.usage(c.Before))
	}
	for name := range out {
		if _, stated := q.Hard[name]; !stated {
			delete(out, name)
		}
	}
	return out
}

// usage is what a quota counts of a pod with these containers. Init containers are
// the same before and after, and cancel out but for a surge, where what the pod
// has beyond its containers comes once more.
func (c Change) usage(containers []resourcepolicy.Container) Amounts {
	out := Amounts{corev1.ResourcePods: 1}
	requests, limits := sums(containers, requestsOf), sums(containers, limitsOf)
	rest := c.Requests.less(sums(c.Before, requestsOf))
	for _, name := range both {
		out[requestsPrefix+name] = requests[name] + max(rest[name], 0)
		out[limitsPrefix+name] = limits[name]
	}
	return out
}

// quotas holds the namespace's use after the change against the ResourceQuotas.
func (r *Room) quotas(c Change) []Block {
	var out []Block
	for i, q := range r.cluster.Quotas {
		if !q.matches(c, c.After) {
			continue
		}
		usage, more := c.usage(c.After), c.counts(q)
		for _, name := range q.Hard.names() {
			then := r.used[i][name] + more[name]
			if then <= q.Hard[name] || usage[name] == 0 {
				continue
			}
			over := then - q.Hard[name]
			out = append(out, Block{
				Reason: ReasonQuota, Object: "ResourceQuota " + q.Name,
				Message: fmt.Sprintf("ResourceQuota %s: %s would be %s of %s: raise it by %s, or lower maxAllowed so that the pod takes that much less",
					q.Name, name, text(name, then), text(name, q.Hard[name]), text(name, over)),
			})
		}
	}
	return out
}

// matches tells whether a quota counts the pod with these containers. A scope that
// is not known counts it.
func (q Quota) matches(c Change, containers []resourcepolicy.Container) bool {
	bestEffort := QoS(slices.Concat(containers, c.Fixed)) == corev1.PodQOSBestEffort
	return !slices.ContainsFunc(q.Scopes, func(s corev1.ScopedResourceSelectorRequirement) bool {
		switch s.ScopeName {
		case corev1.ResourceQuotaScopeBestEffort:
			return !bestEffort
		case corev1.ResourceQuotaScopeNotBestEffort:
			return bestEffort
		case corev1.ResourceQuotaScopeTerminating:
			return !c.Deadline
		case corev1.ResourceQuotaScopeNotTerminating:
			return c.Deadline
		case corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
			return !c.Across
		case corev1.ResourceQuotaScopePriorityClass:
			return !selected(s, c.Priority)
		}
		return false
	})
}

func selected(s corev1.ScopedResourceSelectorRequirement, class string) bool {
	switch s.Operator {
	case corev1.ScopeSelectorOpIn:
		return slices.Contains(s.Values, class)
	case corev1.ScopeSelectorOpNotIn:
		return !slices.Contains(s.Values, class)
	case corev1.ScopeSelectorOpDoesNotExist:
		return class == ""
	}
	return class != ""
}

// place finds a node, the one that the pod is on first, else a pool. A pod that
// waits for a node already has nothing to lose.
func (r *Room) place(c Change) (Place, *Block) {
	if c.Node == "" {
		return Place{}, nil
	}
	need := c.requests().add(Amounts{corev1.ResourcePods: 1})
	search := search{need: need}
	for i := range r.nodes {
		n := &r.nodes[i]
		own := n.Name == c.Node
		switch {
		case c.Manner == InPlace && !own, c.Tied != "" && !own:
			continue
		case c.Manner != InPlace && !c.Admits(*n):
			search.refusing++
			continue
		}
		free := n.Free
		if own && c.Manner != Surge {
			// What the pod leaves, or has already, is room for it.
			free = free.add(c.Requests).add(Amounts{corev1.ResourcePods: 1})
		}
		search.offer(n.Name, free, own)
	}
	if search.found != "" {
		return Place{Node: search.found}, nil
	}
	if c.Manner != InPlace && c.Tied == "" {
		for _, pool := range r.pools {
			if search.pool(c.Pod, pool) {
				return Place{Pool: pool.Name}, nil
			}
		}
	}
	block := search.block(c)
	return Place{}, &block
}

// search looks for a node, and remembers what came nearest.
type search struct {
	need     Amounts
	found    string
	refusing int
	// nearest is the node that lacks least, by the part of what is needed.
	nearest string
	lacks   Amounts
	lacking float64
	pools   []string
}

// offer looks at one node. The pod's own goes before others that have room.
func (s *search) offer(name string, free Amounts, own bool) {
	missing, part := Amounts{}, 0.0
	for resource, n := range s.need {
		if short := n - free[resource]; n > 0 && short > 0 {
			missing[resource] = short
			part = max(part, float64(short)/float64(n))
		}
	}
	switch {
	case len(missing) == 0 && (s.found == "" || own):
		s.found = name
	case len(missing) > 0 && (s.nearest == "" || part < s.lacking):
		s.nearest, s.lacks, s.lacking = name, missing, part
	}
}

// pool tells whether a new node of a pool would do, and notes why not.
func (s *search) pool(p Pod, pool Pool) bool {
	missing := s.need.less(pool.Free)
	maps.DeleteFunc(missing, func(name corev1.ResourceName, n int64) bool { return n <= 0 || s.need[name] <= 0 })
	switch {
	case !p.admitsPool(pool):
		return false
	case len(missing) > 0:
		s.pools = append(s.pools, fmt.Sprintf("a new node of NodePool %s would lack %s", pool.Name, missing))
	case pool.Still != "":
		s.pools = append(s.pools, fmt.Sprintf("NodePool %s does not grow: %s", pool.Name, pool.Still))
	case pool.Nodes >= pool.Max:
		s.pools = append(s.pools, fmt.Sprintf("NodePool %s has all of its %d nodes: raise its max", pool.Name, pool.Max))
	default:
		return true
	}
	return false
}

// block tells why there is no room, and what is nearest to it.
func (s *search) block(c Change) Block {
	b := Block{Reason: ReasonNoRoom}
	said := []string{"no node has room for " + strings.Replace(s.need.String(), ", pods 1", "", 1)}
	if c.Tied != "" {
		said[0] = fmt.Sprintf("node %s, to which %s ties it, has no room for %s", c.Node, c.Tied, strings.Replace(s.need.String(), ", pods 1", "", 1))
	}
	if c.Manner == InPlace {
		said[0] = fmt.Sprintf("node %s has no room for it to become %s", c.Node, strings.Replace(s.need.String(), ", pods 1", "", 1))
	}
	if s.nearest != "" {
		b.Object = "Node " + s.nearest
		said = append(said, fmt.Sprintf("node %s comes nearest and lacks %s", s.nearest, s.lacks))
	}
	if s.refusing > 0 {
		said = append(said, fmt.Sprintf("%d nodes are not for it by their labels or taints", s.refusing))
	}
	b.Message = strings.Join(append(said, s.pools...), "; ")
	return b
}
