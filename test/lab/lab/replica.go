package lab

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/quartet-autoscaling/quartet/test/lab/kubelet"
)

// AddReplica runs one more pod of a Deployment of the chart, beside the one that runs: as NAME-2 and so on, with a log
// of its own, on ports of its own that no Service leads to. It is started again and goes as the others do.
func (r *Release) AddReplica(name string) (*Process, error) {
	at := slices.IndexFunc(r.deployments, func(d *appsv1.Deployment) bool { return d.Name == name })
	if at < 0 {
		return nil, fmt.Errorf("the chart has no Deployment %s", name)
	}
	replica := r.deployments[at].DeepCopy()
	number := 2
	for r.Process(fmt.Sprintf("%s-%d", name, number)) != nil {
		number++
	}
	replica.Name = fmt.Sprintf("%s-%d", name, number)
	container := &replica.Spec.Template.Spec.Containers[0]
	for i := range container.Ports {
		port, err := r.lab.ports.take()
		if err != nil {
			return nil, err
		}
		taken := strconv.Itoa(int(container.Ports[i].ContainerPort))
		for n, arg := range container.Args {
			if flag, value, _ := strings.Cut(arg, "="); value == taken {
				container.Args[n] = flag + "=" + strconv.Itoa(port)
			}
		}
		container.Ports[i].ContainerPort = int32(port) //nolint:gosec // A port is below 65536.
	}
	process, err := kubelet.Run(r.kubelet, replica)
	if err != nil {
		return nil, err
	}
	r.processes = append(r.processes, process)
	return process, nil
}
