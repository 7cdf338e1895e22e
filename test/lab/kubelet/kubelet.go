package kubelet

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"sort"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/lab/supervisor"
)

// Config is what the processes of one namespace share.
type Config struct {
	Supervisor *supervisor.Supervisor
	Client     ctrlclient.Reader        // reads the Secrets and ConfigMaps that pods mention
	Programs   map[string]string        // the program's path by the last element of a container's command
	Kubeconfig Kubeconfig               // gives a service account its way to the API server
	Env        []string                 // what every process finds besides its container's own environment
	Dir        string                   // an existing folder; each pod gets one in it
	Logs       string                   // an existing folder for the logs
	Background context.Context          // ends everything
	Go         func(run func())         // runs a function that ends with Background
	Say        func(f string, a ...any) // tells what a kubelet would write as an event
}

// Kubeconfig returns the path of a kubeconfig that authenticates as a service account.
type Kubeconfig func(ctx context.Context, namespace, account string) (string, error)

// Program returns the name of the program that a Deployment's container runs: the last element of its command.
func Program(d *appsv1.Deployment) (string, error) {
	containers := d.Spec.Template.Spec.Containers
	if len(containers) != 1 || len(d.Spec.Template.Spec.InitContainers) > 0 {
		return "", fmt.Errorf("deployment %s: the lab runs pods of exactly one container", d.Name)
	}
	if len(containers[0].Command) == 0 {
		return "", fmt.Errorf("deployment %s: its container has no command, and the lab has no image to find one in", d.Name)
	}
	return path.Base(containers[0].Command[0]), nil
}

// pod is what a Deployment's template says, ready to be run.
type pod struct {
	config    Config
	name      string // of the Deployment
	namespace string
	spec      corev1.PodSpec
	meta      podMeta
	container corev1.Container
	program   string
	mounts    mounts

	projecting sync.Mutex // one at a time changes the volumes
}

// podMeta are the labels and annotations that the downward API can show.
type podMeta struct{ labels, annotations map[string]string }

// newPod checks that everything the template asks for is something that the lab can give.
func newPod(c Config, d *appsv1.Deployment) (*pod, error) {
	name, err := Program(d)
	if err != nil {
		return nil, err
	}
	program, ok := c.Programs[name]
	if !ok {
		return nil, fmt.Errorf("deployment %s: no program for its command /%s", d.Name, name)
	}
	template := d.Spec.Template
	p := &pod{
		config:    c,
		name:      d.Name,
		namespace: d.Namespace,
		spec:      template.Spec,
		meta:      podMeta{template.Labels, template.Annotations},
		container: template.Spec.Containers[0],
		program:   program,
	}
	dirs := map[string]string{}
	for _, volume := range template.Spec.Volumes {
		if volume.Secret == nil && volume.ConfigMap == nil && volume.EmptyDir == nil {
			return nil, fmt.Errorf("deployment %s: volume %s is of a kind that the lab cannot give", d.Name, volume.Name)
		}
		dirs[volume.Name] = filepath.Join(p.dir(), "volumes", volume.Name)
	}
	for _, mount := range p.container.VolumeMounts {
		dir, ok := dirs[mount.Name]
		if !ok {
			return nil, fmt.Errorf("deployment %s: there is no volume %s to mount", d.Name, mount.Name)
		}
		p.mounts = append(p.mounts, newMount(mount.MountPath, filepath.Join(dir, filepath.FromSlash(mount.SubPath))))
	}
	sort.Slice(p.mounts, func(i, j int) bool { return len(p.mounts[i].inside) > len(p.mounts[j].inside) })
	for what, probe := range p.probes() {
		if probe != nil && probe.HTTPGet == nil && probe.TCPSocket == nil {
			return nil, fmt.Errorf("deployment %s: its %s probe is of a kind that the lab cannot make", d.Name, what)
		}
	}
	return p, nil
}

func (p *pod) dir() string { return filepath.Join(p.config.Dir, p.name) }

func (p *pod) podName() string { return p.name + "-lab" }

func (p *pod) account() string {
	if p.spec.ServiceAccountName == "" {
		return "default"
	}
	return p.spec.ServiceAccountName
}

func (p *pod) probes() map[string]*corev1.Probe {
	return map[string]*corev1.Probe{
		"startup":   p.container.StartupProbe,
		"liveness":  p.container.LivenessProbe,
		"readiness": p.container.ReadinessProbe,
	}
}

// prepare gives everything that has to be there before the process starts, and says what to start.
func (p *pod) prepare(ctx context.Context) (supervisor.Spec, error) {
	if err := p.project(ctx); err != nil {
		return supervisor.Spec{}, err
	}
	kubeconfig, err := p.config.Kubeconfig(ctx, p.namespace, p.account())
	if err != nil {
		return supervisor.Spec{}, err
	}
	env, err := p.environment(ctx)
	if err != nil {
		return supervisor.Spec{}, err
	}
	var args []string
	for _, arg := range append(append([]string{}, p.container.Command[1:]...), p.container.Args...) {
		args = append(args, p.mounts.translate(expand(arg, env.own)))
	}
	return supervisor.Spec{
		Path: p.program,
		Args: append(args, "--kubeconfig="+kubeconfig),
		Env:  env.all(p.config.Env),
		Dir:  p.dir(),
		Log:  p.logPath(),
	}, nil
}

func (p *pod) logPath() string { return filepath.Join(p.config.Logs, p.name+".log") }

// Run starts the pod of a Deployment and keeps it running until the configuration's background ends. It returns at
// once: WaitReady says when the pod works, or why it does not.
func Run(c Config, d *appsv1.Deployment) (*Process, error) {
	p, err := newPod(c, d)
	if err != nil {
		return nil, err
	}
	process := &Process{pod: p, wanted: true, changed: make(chan struct{})}
	c.Go(process.keepRunning)
	c.Go(process.keepVolumes)
	return process, nil
}

// Process is the process of a Deployment's container. Its methods may be called from several goroutines.
type Process struct {
	pod *pod

	mu       sync.Mutex
	current  *supervisor.Process // nil while none runs
	wanted   bool
	restarts int
	lastErr  error         // why none runs, or why the last one ended
	changed  chan struct{} // closed and replaced with each change of the above
}

// Name returns the Deployment's name.
func (p *Process) Name() string { return p.pod.name }

// LogPath returns the file with everything that the process and its predecessors wrote.
func (p *Process) LogPath() string { return p.pod.logPath() }

// HostPath returns where this machine has a path of the container: the file of a volume.
func (p *Process) HostPath(inside string) string { return p.pod.mounts.translate(inside) }

// URL returns the address of the container's first port, https://127.0.0.1:PORT.
func (p *Process) URL() (string, error) {
	if len(p.pod.container.Ports) == 0 {
		return "", errors.New("the container of " + p.pod.name + " names no port")
	}
	return fmt.Sprintf("https://%s:%d", loopback, p.pod.container.Ports[0].ContainerPort), nil
}

// PID returns the number of the running process, or 0 while there is none.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == nil {
		return 0
	}
	return p.current.PID()
}

// Restarts returns how often the process was started again after it ended by itself, by Kill or by its liveness
// probe.
func (p *Process) Restarts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.restarts
}
