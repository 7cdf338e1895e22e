package scaleup

import (
	"cmp"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/expander"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
)

// trial packs pods on new nodes of one pool.
type trial struct {
	*planner
	pool Pool
	spec nodepool.Pool
	o    *option
	// zones counts the pool's nodes in each of its zones.
	zones map[string]int
	// full holds, by class, how many of the new nodes are known to refuse it.
	full map[string]int
}

func (t *trial) countZones() {
	t.zones = map[string]int{}
	for _, n := range t.w.Snapshot.Nodes {
		if n.Pool == t.pool.Name {
			t.zones[n.Labels[corev1.LabelTopologyZone]]++
		}
	}
	for _, r := range slices.Concat(t.spec.Requested, t.result.Growth[t.pool.Name].Nodes) {
		if _, registered := t.w.Snapshot.Nodes[r.Name]; !registered {
			t.zones[r.Zone]++
		}
	}
}

// place finds room on the new nodes, or opens one more.
func (t *trial) place(key string) error {
	class := t.w.Snapshot.Pods[key].Class
	from := 0
	if !t.w.Class(key).Related() {
		if _, no := t.refused[class][t.pool.Name]; no {
			return nil
		}
		from = t.full[class]
	}
	ask := t.w.Ask(key)
	for i := from; i < len(t.o.nodes); i++ {
		if node := t.o.nodes[i].Name; ask.Fits(node).Fits() {
			t.full[class] = i
			return t.put(key, node)
		}
	}
	t.full[class] = len(t.o.nodes)
	if len(t.o.nodes) >= t.pool.Room {
		return nil
	}
	return t.open(key, class)
}

// open tries a fresh node in each zone, the emptiest first.
func (t *trial) open(key, class string) error {
	sequence, name := t.next()
	var refusal Refusal
	for _, zone := range t.order() {
		r := nodepool.Request{Name: name, Zone: zone, At: t.w.Snapshot.Now}
		n := t.spec.NewNode(t.pool.Name, r)
		if err := t.w.Open(name, n); err != nil {
			return err
		}
		v := t.w.Ask(key).Fits(name)
		if v.Fits() {
			t.o.nodes, t.o.sequence = append(t.o.nodes, r), sequence
			t.zones[zone]++
			t.o.Offered = plus(t.o.Offered, amount(n.Allocatable))
			return t.put(key, name)
		}
		t.w.Close(name)
		if refusal.Rule == "" {
			refusal = Refusal{Rule: v.Plugin, Message: v.String()}
		}
	}
	if t.refused[class] == nil {
		t.refused[class] = map[string]Refusal{}
	}
	t.refused[class][t.pool.Name] = refusal
	return nil
}

func (t *trial) put(key, node string) error {
	t.o.placed = append(t.o.placed, placement{pod: key, node: node})
	t.o.Used = plus(t.o.Used, amount(t.w.Class(key).Requests))
	return t.w.Place(key, node)
}

// next is the next name that nothing has.
func (t *trial) next() (int64, string) {
	for sequence := t.o.sequence + 1; ; sequence++ {
		name := t.pool.Name + "-" + strconv.FormatInt(sequence, 10)
		if _, taken := t.w.Snapshot.Nodes[name]; !taken && !t.w.Has(name) {
			return sequence, name
		}
	}
}

// order gives the pool's zones from the one with the fewest nodes on; a pool
// without zones has one without a name.
func (t *trial) order() []string {
	if len(t.spec.Template.Zones) == 0 {
		return []string{""}
	}
	zones := slices.Clone(t.spec.Template.Zones)
	slices.SortFunc(zones, func(a, b string) int {
		return cmp.Or(cmp.Compare(t.zones[a], t.zones[b]), cmp.Compare(a, b))
	})
	return zones
}

func plus(a, b expander.Amount) expander.Amount {
	return expander.Amount{CPU: a.CPU + b.CPU, Memory: a.Memory + b.Memory}
}
