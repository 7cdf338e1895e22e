package vpa

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metricsapi "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// wait is how long it is to the next turn.
func (c *cluster) wait() time.Duration {
	steps := []time.Duration{time.Minute, time.Minute, time.Minute, 10 * time.Minute, 3 * time.Hour}
	if c.long {
		steps = append(steps, 30*time.Hour)
	}
	d := steps[c.random.IntN(len(steps))]
	if c.rolling && c.now.Add(d).Sub(c.start) > 4*day {
		// What upstream forgets of labels that are gone is forgotten later.
		return time.Minute
	}
	return d
}

// step changes the cluster and measures it.
func (c *cluster) step(now time.Time) {
	c.turn++
	c.now, c.usage, c.updates, c.restart = now, nil, nil, noRestart
	if c.turn > c.late+1 {
		for _, a := range c.apps {
			c.change(a)
		}
	}
	if c.chance(12) {
		i := c.random.IntN(len(c.vpas))
		changed := c.vpas[i].DeepCopy()
		changed.Spec.ResourcePolicy = c.policy()
		changed.Generation++
		c.vpas[i] = changed
		c.happened("policy changes")
	}
	if c.turn > c.late+1 && !c.lost && c.chance(10) {
		c.restart = restart(1 + c.random.IntN(3))
		c.happened([]string{"", "restart from own checkpoints", "restart from the other's checkpoints", "restart without loss"}[c.restart])
	}
	for _, a := range c.apps {
		for _, name := range slices.Sorted(maps.Keys(a.pods)) {
			c.kill(a, name)
			c.measure(a, a.pods[name])
			a.shown[name] = true
		}
	}
}

// change lets pods come and go.
func (c *cluster) change(a *app) {
	a.lost = max(0, a.lost-1)
	switch {
	case c.rolling && c.chance(12):
		c.happened("rollout")
		a.revision++
		for _, name := range slices.Sorted(maps.Keys(a.pods)) {
			if !c.chance(4) {
				delete(a.pods, name)
				a.add(c)
			}
		}
	case c.chance(10):
		a.add(c)
		c.happened("pod comes")
	case c.chance(10) && len(a.pods) > 0:
		names := slices.Sorted(maps.Keys(a.pods))
		delete(a.pods, names[c.random.IntN(len(names))])
		c.happened("pod goes")
	case c.chance(20):
		for _, name := range slices.Sorted(maps.Keys(a.pods)) {
			done := a.pods[name].DeepCopy()
			done.Status.Phase = []corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed, corev1.PodUnknown}[c.random.IntN(3)]
			a.pods[name] = done
		}
		c.happened("pods end")
	case c.chance(25):
		a.lost, c.lost = 1+c.random.IntN(3), true
		c.happened("target is missing")
	}
}

// kill ends a container of a pod for lack of memory, now and then twice.
func (c *cluster) kill(a *app, name string) {
	if !a.shown[name] || !c.chance(15) {
		return
	}
	times := 1 + c.random.IntN(4)/3
	ago := time.Duration(c.random.IntN(25)) * time.Second
	container := c.random.IntN(len(a.pods[name].Spec.Containers))
	for i := range times {
		before := a.pods[name]
		after := before.DeepCopy()
		s := &after.Status.ContainerStatuses[container]
		end := &corev1.ContainerStateTerminated{Reason: "OOMKilled", FinishedAt: metav1.NewTime(c.now.Add(-ago - time.Duration(times-1-i)*20*time.Second))}
		s.RestartCount++
		if c.chance(2) && before.Status.ContainerStatuses[container].State.Running != nil {
			s.LastTerminationState = corev1.ContainerState{Terminated: end}
			c.happened("kill of a container that runs again")
		} else {
			s.State, s.LastTerminationState = corev1.ContainerState{Terminated: end}, corev1.ContainerState{}
			c.happened("kill")
		}
		c.updates = append(c.updates, update{before, after})
		a.pods[name] = after
	}
	if s := a.pods[name].Status.ContainerStatuses[container]; s.State.Terminated != nil && c.chance(2) {
		before := a.pods[name]
		after := before.DeepCopy()
		again := &after.Status.ContainerStatuses[container]
		again.LastTerminationState, again.State = again.State, running(c.now)
		c.updates = append(c.updates, update{before, after})
		a.pods[name] = after
	}
}

// measure says what a pod uses, unless metrics fail it.
func (c *cluster) measure(a *app, pod *corev1.Pod) {
	if c.turn <= c.late || a.shown[pod.Name] && c.chance(12) {
		c.happened("pod without metrics")
		return
	}
	at := c.now.Add(-time.Duration(c.random.IntN(50)) * time.Second)
	m := metricsapi.PodMetrics{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pod.Name}, Timestamp: metav1.NewTime(at)}
	of := func(name string, milli, bytes int64) {
		m.Containers = append(m.Containers, metricsapi.ContainerMetrics{Name: name, Usage: corev1.ResourceList{
			corev1.ResourceCPU:    *resource.NewScaledQuantity(milli*1000+c.random.Int64N(1000), resource.Micro),
			corev1.ResourceMemory: *resource.NewQuantity(bytes, resource.BinarySI),
		}})
	}
	for _, container := range pod.Spec.Containers {
		cpu, memory := a.cpu[container.Name], a.memory[container.Name]
		of(container.Name, int64(cpu*(0.5+c.random.Float64())), int64(memory*(0.5+c.random.Float64())))
	}
	for _, container := range pod.Spec.InitContainers {
		of(container.Name, 100, 1e8)
	}
	c.usage = append(c.usage, m)
}
