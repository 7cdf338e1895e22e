package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/quartet-autoscaling/quartet/test/lab/resourcemetrics"
	"github.com/quartet-autoscaling/quartet/test/lab/supervisor"
	"github.com/quartet-autoscaling/quartet/test/lab/toolchain"
)

// Options says what a lab consists of. The zero value is a control plane with three nodes, without metrics-server
// and without upstream's HPA controller.
type Options struct {
	// Name appears in the working folder's name and in progress lines. Default: lab.
	Name string
	// Nodes is the number of fake nodes to begin with. Default: 3; below zero: none.
	Nodes int
	// NodeCapacity is what each of them offers. Default: 16 CPUs, 64Gi of memory, 250 pods.
	NodeCapacity corev1.ResourceList
	// UpstreamHPA leaves upstream's HPA controller on, to compare with.
	UpstreamHPA bool
	// Controllers are those that the controller manager runs, by their names there. Default: all, with the HPA
	// controller where UpstreamHPA says so.
	Controllers []string
	// MetricsServer serves metrics.k8s.io from the usage that kwok models.
	MetricsServer bool
	// ResourceMetrics serves metrics.k8s.io from memory instead: see Lab.ResourceMetrics. It is for benchmarks.
	ResourceMetrics bool
	// NoKwok leaves nodes and pods as they are written: for benchmarks that write statuses themselves. No nodes
	// are created then.
	NoKwok bool
	// NoScheduler leaves pods where they are.
	NoScheduler bool
	// ExtraArgs are further arguments of a component, by the name of its program, such as kube-apiserver.
	ExtraArgs map[string][]string
	// Progress gets a line for each thing that takes a while. Default: none.
	Progress io.Writer
}

func (o Options) withDefaults() Options {
	if o.Name == "" {
		o.Name = "lab"
	}
	if o.Nodes == 0 {
		o.Nodes = defaultNodes
	}
	if o.NoKwok || o.Nodes < 0 {
		o.Nodes = 0
	}
	if o.NodeCapacity == nil {
		o.NodeCapacity = defaultNodeCapacity()
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o
}

// Timings says how long a start took, from the call of Start without the build of programs.
type Timings struct {
	Programs  time.Duration // finding, or building, the programs
	APIServer time.Duration // until the API server was ready
	Ready     time.Duration // until everything was ready
}

// Lab is a running control plane. Its methods may be called from several goroutines.
type Lab struct {
	options    Options
	programs   toolchain.Programs
	folder     *folder
	ports      *ports
	supervisor *supervisor.Supervisor
	timings    Timings

	authority   *authorities
	credentials *credentials
	etcdURL     string
	config      *rest.Config
	client      ctrlclient.Client
	kubeconfig  string
	metrics     *resourcemetrics.Server // nil without the option

	background context.Context // ends with the lab
	cancel     context.CancelCauseFunc
	running    sync.WaitGroup // goroutines of the background
	stopOnce   sync.Once
	stopErr    error

	mu        sync.Mutex
	failure   error
	failed    chan struct{}
	stopping  bool
	processes map[string]*supervisor.Process // the control plane's, by name
	accounts  map[string]string              // token files by namespace_name
	usage     *usageModel
}

// ErrStopped is the cause for whatever still waited in a lab when it was stopped.
var ErrStopped = errors.New("the lab was stopped")

// startAttempts is how often a start is tried when another program takes a port between its choice and its use.
const startAttempts = 3

// Start builds what is missing, starts a control plane and returns when all of it is ready. ctx bounds the start
// only: the lab runs until Stop. After a failure nothing runs, and the error names the folder with the logs.
func Start(ctx context.Context, o Options) (*Lab, error) {
	o = o.withDefaults()
	begin := time.Now()
	programs, err := toolchain.Pinned(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	supervise, err := toolchain.Supervise(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	built := time.Since(begin)
	for attempt := 1; ; attempt++ {
		l, err := start(ctx, o, programs, supervise)
		if err == nil {
			l.timings.Programs = built
			return l, nil
		}
		if !errors.Is(err, errPortTaken) || attempt == startAttempts || ctx.Err() != nil {
			return nil, err
		}
		l.say("a port was taken meanwhile, starting again")
	}
}

// start makes one attempt. It returns a stopped lab with an error.
func start(ctx context.Context, o Options, programs toolchain.Programs, supervise string) (*Lab, error) {
	l := &Lab{
		options:   o,
		programs:  programs,
		failed:    make(chan struct{}),
		processes: map[string]*supervisor.Process{},
		accounts:  map[string]string{},
	}
	l.background, l.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	err := l.open(supervise)
	if err == nil {
		err = l.bringUp(ctx)
	}
	if err == nil {
		return l, nil
	}
	if l.folder == nil {
		return l, err
	}
	if ctx.Err() == nil && !errors.Is(err, errPortTaken) {
		l.KeepLogs()
		err = fmt.Errorf("%w\nlogs are kept in %s", err, l.folder.logs())
	}
	return l, errors.Join(err, l.Stop())
}

// open makes the working folder and starts the supervisor that guards it.
func (l *Lab) open(supervise string) error {
	cache, err := toolchain.CacheDir()
	if err != nil {
		return err
	}
	if l.ports, err = newPorts(filepath.Join(cache, "ports")); err != nil {
		return err
	}
	if l.folder, err = newFolder(filepath.Join(cache, "labs"), l.options.Name); err != nil {
		return err
	}
	l.supervisor, err = supervisor.New(supervisor.Config{
		Program: supervise,
		Dir:     l.folder.path,
		Log:     l.logPath("supervisor"),
		Held:    l.folder.held,
	})
	if err != nil {
		return errors.Join(err, os.RemoveAll(l.folder.path))
	}
	l.goBackground(func() {
		select {
		case <-l.supervisor.Gone():
			l.fail(supervisor.ErrGone)
		case <-l.background.Done():
		}
	})
	l.goBackground(l.followParent)
	return nil
}

// Stop ends everything that belongs to the lab and removes its folder, unless the logs are to be kept. It may be
// called again.
func (l *Lab) Stop() error {
	l.stopOnce.Do(func() {
		l.mu.Lock()
		l.stopping = true
		l.mu.Unlock()
		l.cancel(ErrStopped)
		if l.supervisor != nil {
			l.stopErr = l.supervisor.Close()
		}
		l.running.Wait()
		if l.metrics != nil {
			l.stopErr = errors.Join(l.stopErr, l.metrics.Close())
		}
		if l.folder != nil {
			_ = l.folder.held.Close()
		}
		if l.ports != nil {
			l.ports.free()
		}
	})
	return l.stopErr
}

// KeepLogs leaves the working folder, without the database, behind when the lab ends.
func (l *Lab) KeepLogs() {
	if l.folder.markKept() == nil {
		_ = l.supervisor.Keep(etcdData)
	}
}

// Dir returns the lab's working folder. Files that are written there go with the lab.
func (l *Lab) Dir() string { return l.folder.path }

// Logs returns the folder with one log file per process.
func (l *Lab) Logs() string { return l.folder.logs() }

// Config returns an administrator's access, without a limit of its own on the rate of requests.
func (l *Lab) Config() *rest.Config { return rest.CopyConfig(l.config) }

// Client returns an administrator's client that knows the kinds of Kubernetes, of the aggregation layer, of custom
// resources, of metrics.k8s.io, of upstream's vertical autoscaler, and the suite's own. It reads from the API server,
// not from a cache.
func (l *Lab) Client() ctrlclient.Client { return l.client }

// Kubeconfig returns the path of an administrator's kubeconfig.
func (l *Lab) Kubeconfig() string { return l.kubeconfig }

// Timings says how long the start took.
func (l *Lab) Timings() Timings { return l.timings }

// Failed is closed when a part of the lab ended that should run; Err then says which.
func (l *Lab) Failed() <-chan struct{} { return l.failed }

// Err returns why the lab no longer works, with the end of the log of what ended, or nil.
func (l *Lab) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// fail records the first failure of a lab that is not being stopped.
func (l *Lab) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopping || l.failure != nil {
		return
	}
	l.failure = err
	close(l.failed)
}

// goBackground runs a function that ends when the lab's background context does.
func (l *Lab) goBackground(run func()) { l.running.Go(run) }

func (l *Lab) say(format string, args ...any) {
	_, _ = fmt.Fprintf(l.options.Progress, l.options.Name+": "+format+"\n", args...)
}
