// Package world puts the cluster of a snapshot before the scheduler's plugins:
// its nodes, those that are on their way, and its pods, to be moved about in a
// simulation. It changes nothing but itself and decides nothing; scaleup and
// scaledown try their plans on it, one after the other, so that the second sees
// what the first has promised.
package world

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/quartet-autoscaling/quartet/cluster-scaler/nodepool"
	"github.com/quartet-autoscaling/quartet/cluster-scaler/scheduling"
)

// World is a cluster to try things on. It is not safe for concurrent use.
type World struct {
	Snapshot *nodepool.Snapshot
	// Standing are nodes that are up, and Upcoming those that are on their way,
	// each in order of names. A node that is drained is neither.
	Standing, Upcoming []string

	cluster *scheduling.Cluster
	objects map[string]*corev1.Pod
	// on holds the pods of each node, real and promised.
	on map[string]map[string]bool
	// full holds, by class, how many of Standing and Upcoming are known to refuse
	// it: they only fill up, so a class that no other pod matters to need not ask
	// them again.
	full map[string]int
}

// New builds the world of a snapshot. An error means that the plugins could not
// be made, never that an object is odd.
func New(s *nodepool.Snapshot) (*World, error) {
	cluster, err := scheduling.New(s.Namespaces)
	if err != nil {
		return nil, err
	}
	w := &World{
		Snapshot: s, cluster: cluster, objects: map[string]*corev1.Pod{},
		on: map[string]map[string]bool{}, full: map[string]int{},
	}
	requested := map[string]bool{}
	for _, pool := range nodepool.Names(s.Pools) {
		for _, r := range s.Pools[pool].Requested {
			requested[r.Name] = true
		}
	}
	for _, name := range nodepool.Names(s.Nodes) {
		if err := w.addStanding(name, requested[name]); err != nil {
			return nil, err
		}
	}
	for _, pool := range nodepool.Names(s.Pools) {
		for _, r := range s.Pools[pool].Requested {
			if _, registered := s.Nodes[r.Name]; registered || w.cluster.HasNode(r.Name) {
				continue
			}
			if err := w.add(r.Name, s.Pools[pool].NewNode(pool, r)); err != nil {
				return nil, err
			}
			w.Upcoming = append(w.Upcoming, r.Name)
		}
	}
	slices.Sort(w.Upcoming)
	return w, w.addPods()
}

func (w *World) addStanding(name string, requested bool) error {
	n := w.Snapshot.Nodes[name]
	_, draining := n.Draining()
	switch {
	case n.Deleting:
		return nil
	case requested && !draining:
		w.Upcoming = append(w.Upcoming, name)
		return w.add(name, n.Started(w.Snapshot.Pools[n.Pool].Template))
	case n.Ready && !draining:
		w.Standing = append(w.Standing, name)
	}
	return w.add(name, n)
}

func (w *World) add(name string, n nodepool.Node) error {
	if err := w.cluster.AddNode(n.Object(name)); err != nil {
		return err
	}
	w.on[name] = map[string]bool{}
	return nil
}

func (w *World) addPods() error {
	for _, key := range nodepool.Names(w.Snapshot.Pods) {
		p := w.Snapshot.Pods[key]
		if p.Node == "" || !w.cluster.HasNode(p.Node) {
			continue
		}
		if err := w.Place(key, p.Node); err != nil {
			return err
		}
	}
	return nil
}

// Class is what the pod asks for.
func (w *World) Class(key string) nodepool.Class {
	return w.Snapshot.Classes[w.Snapshot.Pods[key].Class]
}

func (w *World) object(key string) *corev1.Pod {
	if have, ok := w.objects[key]; ok {
		return have
	}
	made := w.Class(key).Object(key)
	w.objects[key] = made
	return made
}

// Place puts a pod on a node, whether it fits or not.
func (w *World) Place(key, node string) error {
	if err := w.cluster.Place(w.object(key), node); err != nil {
		return err
	}
	w.on[node][key] = true
	return nil
}

// Take takes a pod off its node.
func (w *World) Take(key string) error {
	pod := w.object(key)
	delete(w.on[w.cluster.On(pod)], key)
	w.full = map[string]int{} // there is room again
	return w.cluster.Take(pod)
}

// Pods are those on a node, real and promised, in order.
func (w *World) Pods(node string) []string { return nodepool.Names(w.on[node]) }

// Where names the node that a pod is on, empty where it is on none.
func (w *World) Where(key string) string { return w.cluster.On(w.object(key)) }

// Has tells whether a node of the name is in the world.
func (w *World) Has(node string) bool { return w.cluster.HasNode(node) }

// Ask prepares the plugins for a pod; answers hold until the world changes.
func (w *World) Ask(key string) *scheduling.Question { return w.cluster.Ask(w.object(key)) }

// Settle places a pod on the first standing node that takes it, or else on the
// first that is on its way. The name is empty where none does.
func (w *World) Settle(key string) (node string, upcoming bool, err error) {
	nodes := slices.Concat(w.Standing, w.Upcoming)
	class := w.Snapshot.Pods[key].Class
	from := 0
	if !w.Class(key).Related() {
		from = min(w.full[class], len(nodes))
	}
	name, refused := w.Ask(key).First(nodes[from:])
	w.full[class] = from + len(refused)
	if name == "" {
		return "", false, nil
	}
	return name, from+len(refused) >= len(w.Standing), w.Place(key, name)
}

// Open adds a node that does not exist yet.
func (w *World) Open(name string, n nodepool.Node) error { return w.add(name, n) }

// Promise makes an opened node one that is on its way.
func (w *World) Promise(name string) {
	w.Upcoming = append(w.Upcoming, name)
	slices.Sort(w.Upcoming)
	w.full = map[string]int{}
}

// Close removes a node with the pods on it.
func (w *World) Close(name string) {
	w.cluster.RemoveNode(name)
	delete(w.on, name)
	same := func(n string) bool { return n == name }
	w.Standing, w.Upcoming = slices.DeleteFunc(w.Standing, same), slices.DeleteFunc(w.Upcoming, same)
	w.full = map[string]int{}
}

// Undrain gives a node that is drained back its place among the standing ones.
func (w *World) Undrain(name string) error {
	if slices.Contains(w.Standing, name) {
		return nil
	}
	n := w.Snapshot.Nodes[name]
	n.Taints = slices.DeleteFunc(slices.Clone(n.Taints), func(t corev1.Taint) bool { return t.Key == nodepool.DrainTaint })
	if err := w.replace(name, n); err != nil {
		return err
	}
	if !n.Ready {
		return nil
	}
	w.Standing = append(w.Standing, name)
	slices.Sort(w.Standing)
	return nil
}

// Drain takes a standing node out of those that take pods. What is on it stays.
func (w *World) Drain(name string) error {
	n := w.Snapshot.Nodes[name]
	if _, draining := n.Draining(); !draining {
		n.Taints = append(slices.Clone(n.Taints), corev1.Taint{Key: nodepool.DrainTaint, Effect: corev1.TaintEffectNoSchedule})
	}
	return w.replace(name, n)
}

// replace changes a node under the pods that are on it.
func (w *World) replace(name string, n nodepool.Node) error {
	pods := maps.Clone(w.on[name])
	w.Close(name)
	if err := w.add(name, n); err != nil {
		return err
	}
	for _, key := range nodepool.Names(pods) {
		if err := w.Place(key, name); err != nil {
			return fmt.Errorf("put a node's pods back: %w", err)
		}
	}
	return nil
}
